"""Where in the documents an answer comes from: quotes that are looked up, and passages that attention read."""
