"""Attention in plain PyTorch, for CPUs and for what has no kernel."""
