"""One's own images in folders that are named by their class."""
