"""Names of classes that a dataset can keep: TFDS writes them one a line, without spaces around."""

import unicodedata
from collections.abc import Mapping

# Characters. A class is named in a word or two, and its name stands in tables.
MAX_LENGTH = 100
# Control characters, halves of characters (a file's name that is no UTF-8), ends of lines.
_REFUSED = ("Cc", "Cs", "Zl", "Zp")


def check(sources: Mapping[str, str]) -> None:
    """Checks that every name is one line of text, and that people can tell them apart.

    Args:
        sources: by name what names the class so, for errors: a folder, or file and row.

    Raises:
        ValueError: for the first that is not.
    """
    alike: dict[str, str] = {}
    for name, source in sources.items():
        if not is_name(name):
            raise ValueError(
                f"{source}: the name of a class must be one line of at most {MAX_LENGTH} "
                "characters, without spaces around it and without control characters: change it. "
                f"Received: {name[:MAX_LENGTH]!r}"
            )
        looks = unicodedata.normalize("NFC", name).casefold()
        if looks in alike:
            raise ValueError(
                f"{source}: differs from {sources[alike[looks]]} in capitals alone, or in how its "
                f"letters are put together: give both one name. Received: {name!r}"
            )
        alike[looks] = name


def is_name(name: str) -> bool:
    """Whether a name is one line of text that is read as it was written."""
    return (
        0 < len(name) <= MAX_LENGTH
        and name == name.strip()
        and "\N{REPLACEMENT CHARACTER}" not in name
        and not any(unicodedata.category(character) in _REFUSED for character in name)
    )
