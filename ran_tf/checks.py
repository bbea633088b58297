"""Checks of arguments; each error names the argument, what was expected, and what was received."""

import numbers
import unicodedata
from typing import Any, Self

# What a value may make this process allocate. Beyond is a mistake, or a stranger's file.
MAX_SIDE, MAX_REGIONS, MAX_COUNT = 4096, 256, 10**6
# Characters of a class' name: it is a word or two, and stands in tables.
MAX_LABEL = 100
# Control characters, halves of characters (a file's name that is no UTF-8), ends of lines.
_NO_TEXT = ("Cc", "Cs", "Zl", "Zp")


class InvalidArgument(ValueError):
    """An argument, setting or flag has a value that it cannot have.

    Args:
      name: of the argument, such as "augment.erase".
      expected: what it must be, such as "in 0..1".
      value: what was received.
    """

    def __init__(self, name: str, expected: str, value: Any):
        self.name, self.expected, self.value = name, expected, value
        super().__init__(f"`{name}` must be {expected}. Received: {name}={_shown(value)}")

    def renamed(self, name: str) -> Self:
        """The same error of an argument that the user knows by another name."""
        return type(self)(name, self.expected, self.value)


def check_choice(name: str, value: Any, choices) -> None:
    """Raises InvalidArgument unless `value` is one of `choices`."""
    try:
        known = value in choices
    except (TypeError, ValueError):  # such as a list, or an array
        known = False
    if not known:
        raise InvalidArgument(name, f"one of {tuple(choices)}", value)


def unknown(name: str, value: Any) -> InvalidArgument:
    """The error for a valid choice that the code at this place has no rule for."""
    return InvalidArgument(name, "one that is supported here", value)


def is_label(text: str) -> bool:
    """Whether the name of a class is one line of text that files keep as it is, one a line."""
    return (
        0 < len(text) <= MAX_LABEL
        and text == text.strip()
        and "\N{REPLACEMENT CHARACTER}" not in text
        and not any(unicodedata.category(character) in _NO_TEXT for character in text)
    )


def check_range(name: str, value: float, *, low: float, high: float = float("inf")) -> None:
    """Raises InvalidArgument unless `low <= value <= high`, and `value` is finite and no bool."""
    try:
        inside = bool(low <= value <= high) and abs(value) != float("inf")
    except (TypeError, ValueError):  # such as text, or an array
        inside = False
    if isinstance(value, bool) or not inside:
        bounds = f"at least {low:g}" if high == float("inf") else f"in {low:g}..{high:g}"
        if isinstance(value, numbers.Real) and value == float("inf"):
            bounds += " and finite"
        raise InvalidArgument(name, bounds, value)


def check_whole(name: str, value: int, *, low: int, high: float = float("inf")) -> None:
    """Raises InvalidArgument unless `value` is an integer, and `low <= value <= high`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise InvalidArgument(name, "an integer", value)
    check_range(name, value, low=low, high=high)


def check_size(name: str, value: Any, *, low: int = 1) -> tuple[int, int]:
    """Returns (height, width); raises InvalidArgument unless both are `low..MAX_SIDE` pixels."""
    try:
        height, width = value
    except (TypeError, ValueError):
        raise InvalidArgument(name, "(height, width)", value) from None
    for side in (height, width):
        check_whole(name, side, low=low, high=MAX_SIDE)
    return int(height), int(width)


def check_framing(margin: float, drop: float, *, prefix: str = "") -> None:
    """Raises InvalidArgument unless a face can be cut out so, see `faces.align.align_face`."""
    check_range(f"{prefix}margin", margin, low=-0.4, high=4.0)
    check_range(f"{prefix}drop", drop, low=-1.0, high=1.0)


def _shown(value: Any) -> str:
    """A value in an error: whole, unless it would hide what the error says."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python prints
        text = "an integer of thousands of digits"
    text = " ".join(text.split()) if "\n" in text else text
    return text if len(text) <= 200 else f"{text[:200]}..."
