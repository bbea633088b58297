"""One look for every figure: colours that colour-blind readers tell apart, and letters.

The colours are those of Okabe and Ito, https://jfly.uni-koeln.de/color. Matplotlib is loaded when
something is drawn, not before.
"""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

BLUE, VERMILION, ORANGE, GREEN = "#0072b2", "#d55e00", "#e69f00", "#009e73"
SKY, PURPLE, GREY, INK, FAINT = "#56b4e9", "#cc79a7", "#6e6e6e", "#222222", "#dddddd"

# Model and baseline, or two parts of one thing.
FIRST, SECOND = BLUE, VERMILION

_STYLE = {
    # Twice the pixels of a page, so that fine screens and print show sharp letters.
    "figure.dpi": 200,
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "figure.titlesize": 12,
    "figure.titleweight": "bold",
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    # Letters stay letters.
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}

_P = ParamSpec("_P")
_R = TypeVar("_R")


def rgb(colour: str) -> tuple[int, int, int]:
    """A colour "#rrggbb" as three numbers of 0..255."""
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue


def styled(draw: Callable[_P, _R]) -> Callable[_P, _R]:
    """A function whose figures have this look, whatever the user's own settings are."""

    @functools.wraps(draw)
    def drawn(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        import matplotlib

        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return drawn
