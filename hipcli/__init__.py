"""hip: read whole documents in one prompt with a local model."""

__version__ = "0.1.0"
