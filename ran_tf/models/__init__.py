"""Backbones, attention and the Region Attention Network, in Keras on any backend."""
