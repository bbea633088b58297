"""Drawn faces whose expression is in brows, eyes and mouth: data for a machine that has none."""
