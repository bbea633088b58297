"""Text of others (file names, names of classes) as terminals, Markdown and CSV may take it.

JSON and HTML need no more than `json.dumps` and `html.escape`.
"""

import re
import unicodedata

# Controls (they move the cursor, set titles, read the clipboard), bytes that are no UTF-8, ends of
# lines.
_CONTROLS = ("Cc", "Cs", "Zl", "Zp")
# Marks that turn the direction of what follows: "gnp.exe" may then look like "exe.png".
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# An underscore within a word means nothing.
_MARKDOWN = re.compile(r"[\\`*\[\]<>&|~$]|(?<![^\W_])_|_(?![^\W_])")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def for_terminal(text: str) -> str:
    r"""One line without control characters: they are spelt out, such as \x1b, \n and \u202e.

    A byte of a file name that is no UTF-8 is spelt out as \xff.
    """
    return "".join(map(_spell_out, str(text)))


def for_markdown(text: str, *, code: bool = False) -> str:
    """Text that Markdown shows as it is, within a line or a cell of a table.

    Args:
      text: as it should be read; control characters are spelt out, see `for_terminal`.
      code: as a code span, for paths and commands; not for cells of tables.
    """
    text = for_terminal(text)
    if not code:
        return _MARKDOWN.sub(r"\\\g<0>", text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    # A span that begins or ends with the fence's own sign needs a space, which is not shown.
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


def for_csv(value, *, path: bool = False):
    """A cell that spreadsheets do not take for a formula.

    Text that begins with = + - @, a tab or a carriage return gets an apostrophe before it; a path
    gets ./ instead, so that it still opens. Numbers stay as they are.
    """
    if not isinstance(value, str) or not value.startswith(_FORMULA):
        return value
    return f"./{value}" if path else f"'{value}"


def _spell_out(character: str) -> str:
    if character not in _DIRECTIONS and unicodedata.category(character) not in _CONTROLS:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte, see `os.fsdecode`
        code -= 0xDC00
        return f"\\x{code:02x}"
    return repr(character)[1:-1]
