"""Keys and values of a model's layers, what attention remembers of them, and attention over them."""
