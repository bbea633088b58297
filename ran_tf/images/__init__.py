"""Bytes of an image file to pixels, and pixels to other sizes."""
