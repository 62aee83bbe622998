"""Keys and values of a model's layers, their summaries, and attention over them."""
