"""The answers of a run as one web page."""
