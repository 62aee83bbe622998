"""Attention in Triton kernels, for GPUs."""
