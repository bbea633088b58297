"""Regions in words, for tables and pages that people read."""

import numpy as np


def describe_region(box: np.ndarray) -> str:
    """A box in words: "whole face", "top left 75%", "centre 90%" and the like."""
    y0, x0, y1, x1 = (float(side) for side in box)
    if (y0, x0, y1, x1) == (0.0, 0.0, 1.0, 1.0):
        return "whole face"

    def side(low, high, names):
        offset = (low + high - 1.0) / 2.0
        return "" if abs(offset) < 0.01 else names[offset > 0]

    words = f"{side(y0, y1, ('top', 'bottom'))} {side(x0, x1, ('left', 'right'))}".strip()
    return f"{words or 'centre'} {max(y1 - y0, x1 - x0):.0%}"
