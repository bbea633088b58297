"""A trained network on disk: its card, presets, work directories, and weights of others."""
