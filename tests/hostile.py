"""Strange bytes: what every fuzz test draws, and how often.

RAN_TF_FUZZ=100000 tries so many cases of each test; without it a few, in seconds, always the same.
"""

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

ASKED = int(os.environ.get("RAN_TF_FUZZ", "0"))

# What parsers stumble over: ends, lengths of all widths, names that lead elsewhere.
_TOKENS = (b"\0", b"\xff" * 4, b"\xff" * 8, b"\x7f" + b"\xff" * 3, b"\0" * 8, b"../", b"9" * 30)


def hostile(cases: int, *, at_most: int = 10**9) -> settings:
    """Settings of a fuzz test.

    Args:
      cases: in the suite.
      at_most: in a long run, for tests of which a case is slow.
    """
    return settings(
        max_examples=min(ASKED, at_most) if ASKED else cases,
        deadline=None,
        database=None,
        derandomize=not ASKED,
        # Folders are written anew for every case; decoders are slow on purpose.
        suppress_health_check=list(HealthCheck),
    )


@st.composite
def damaged(draw, data: bytes, *, tokens: tuple[bytes, ...] = _TOKENS, most: int = 6):
    """A file with some of its bytes flipped, replaced, left out, doubled or put in, or cut off."""
    data = bytearray(data)
    for _ in range(draw(st.integers(0, most))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 8)))
        kind = draw(st.sampled_from(("flip", "replace", "token", "double")))
        if kind == "flip" and start < len(data):
            data[start] ^= 1 << draw(st.integers(0, 7))
        elif kind == "replace":
            data[start:end] = draw(st.binary(max_size=8))
        elif kind == "token":
            token = draw(st.sampled_from(tokens))
            # In place as often as put in: offsets stay what they were.
            data[start : start + len(token) * draw(st.integers(0, 1))] = token
        else:
            data[start:start] = data[start : start + draw(st.integers(0, 64))]
    if draw(st.integers(0, 4)) == 0:
        del data[draw(st.integers(0, len(data))) :]
    return bytes(data)


def assert_one_line(error: BaseException, *parts: str) -> None:
    """An error for people: one line, not long, that names what it is of."""
    text = str(error)
    assert text and "\n" not in text and len(text) < 2000, text
    for part in parts:
        assert part in text, text
