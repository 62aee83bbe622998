"""Reads documents that were damaged on purpose. See __main__.py."""
