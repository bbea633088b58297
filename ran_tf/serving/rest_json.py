"""The JSON of TensorFlow Serving's REST interface: requests to arrays, outputs to answers.

The text of a tensor becomes an array without a Python object for each number and list: `[],` would
take twenty times its bytes.
"""

import base64
import binascii
import json
import re
from typing import Any

import msgspec
import numpy as np

from ran_tf.serving.service import Argument, BadRequestError

# Strings and objects of a request: each becomes a Python object.
_MOST_OBJECTS = 2**18
_MOST_AXES = 8
# Text that is parsed at once: other threads wait for it.
_PIECE = 2**20
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[],"))
# Integers up to here are exact in float64.
_EXACT = 2**53


class Request(msgspec.Struct):
    """{"signature_name"?, "instances" | "inputs"}, the latter two as text."""

    signature_name: str | None = None
    instances: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    inputs: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    @property
    def is_by_row(self) -> bool:
        return self.instances is not msgspec.UNSET

    @property
    def tensors(self) -> msgspec.Raw:
        """Whichever there is."""
        return next(said for said in (self.instances, self.inputs) if said is not msgspec.UNSET)


class _Base64(msgspec.Struct, forbid_unknown_fields=True):
    b64: str


def parse_request(body: bytes) -> Request:
    """Checks all of the text, and builds nothing of its tensors. Raises BadRequestError."""
    request = _decode(body, Request)
    if request.is_by_row == (request.inputs is not msgspec.UNSET):
        raise BadRequestError(
            'the request must be a JSON object with either "instances" or "inputs"'
        )
    return request


def read_inputs(request: Request, *, arguments: dict[str, Argument]) -> dict:
    """The arguments of a signature.

    Args:
      request: from `parse_request`.
      arguments: of the signature, by name.

    Returns:
      argument -> array of numbers, or (lists of) bytes.

    Raises:
      BadRequestError: for what is not the arguments.
    """
    text = bytes(request.tensors)
    objects = text.count(b"{") + text.count(b'"') // 2
    if objects > _MOST_OBJECTS:
        raise BadRequestError(
            f"the request must have at most {_MOST_OBJECTS:,} strings and objects. "
            f"Received: {objects:,}"
        )
    split = _split_rows if request.is_by_row else _split_columns
    columns = split(text, names=list(arguments))
    return {
        name: _read_texts(column, name=name, argument=arguments[name])
        if arguments[name].is_text
        else _read_numbers(column, name=name, argument=arguments[name])
        for name, column in columns.items()
    }


def to_answer(outputs: dict[str, np.ndarray], *, by_row: bool) -> bytes:
    """output -> array[b, ...] as the answer to a request of rows or of columns."""
    lists = {name: value.tolist() for name, value in outputs.items()}
    if not by_row:
        return json.dumps({"outputs": lists}).encode()
    rows = zip(*lists.values(), strict=True)
    return json.dumps(
        {"predictions": [dict(zip(lists, row, strict=True)) for row in rows]}
    ).encode()


def _decode(text: bytes, type):
    try:
        return msgspec.json.decode(text, type=type)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequestError(f"JSON Parse Error: {error}") from error


def _split_rows(text: bytes, *, names: list[str]) -> dict[str, bytes]:
    """argument -> the text of its tensor; a signature's only argument may come without its name."""
    if not re.match(rb"\[\s*[^\s\]]", text):
        raise BadRequestError('"instances" must be a list of at least one row')
    if not _names_arguments(rb"\[\s*", text, names=names):
        return {_only(names): text}
    rows = _decode(text, list[dict[str, msgspec.Raw]])
    if any(row.keys() != set(names) for row in rows):
        raise BadRequestError(f"each instance must name exactly {names}")
    return {name: b"[" + b",".join(row[name] for row in rows) + b"]" for name in names}


def _split_columns(text: bytes, *, names: list[str]) -> dict[str, bytes]:
    if not _names_arguments(b"", text, names=names):
        return {_only(names): text}
    columns = _decode(text, dict[str, msgspec.Raw])
    if columns.keys() != set(names):
        raise BadRequestError(f"input must name exactly {names}")
    return {name: bytes(column) for name, column in columns.items()}


def _names_arguments(before: bytes, text: bytes, *, names: list[str]) -> bool:
    """Whether the (first) value is an object of arguments and not {"b64": ...}."""
    is_object = re.match(before + rb"\{", text)
    return bool(is_object and not (len(names) == 1 and re.match(before + rb'\{\s*"b64"', text)))


def _only(names: list[str]) -> str:
    if len(names) != 1:
        raise BadRequestError(f"each value must name its argument of {names}")
    return names[0]


def _read_texts(text: bytes, *, name: str, argument: Argument):
    """{"b64": text} as its bytes, text as UTF-8, in lists as deep as the argument's shape."""
    form: Any = _Base64 | str
    for _ in range(argument.shape.rank):
        form = list[form]
    try:
        return _to_bytes(_decode(text, form))
    except BadRequestError as error:
        raise BadRequestError(
            f"`{name}` must be {argument}, and an object must be "
            f'{{"b64": "base64 of the bytes"}}. Received: {error}'
        ) from error


def _to_bytes(value):
    if isinstance(value, list):
        return [_to_bytes(item) for item in value]
    if isinstance(value, str):
        return value.encode()
    try:
        return base64.b64decode(value.b64, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequestError(f"not base64: {error}") from error


def _read_numbers(text: bytes, *, name: str, argument: Argument) -> np.ndarray:
    """The numbers of nested lists: i64 for an argument of integers, else f64."""
    text = text.translate(None, b" \t\r\n")
    sides = _read_shape(text)
    numbers = text.translate(None, b"[]")
    integers = argument.dtype.is_integer
    if numbers.translate(None, b"0123456789-," if integers else b"0123456789+-.eE,"):
        raise argument.wrong_values(name)
    array = np.empty(numbers.count(b",") + 1, np.int64 if integers else np.float64)
    start = filled = 0
    while start < len(numbers):
        end = numbers.find(b",", start + _PIECE)
        end = len(numbers) if end < 0 else end
        piece = np.fromstring(numbers[start:end], sep=",")
        if integers and np.abs(piece).max() > _EXACT:
            raise argument.wrong_values(name)
        array[filled : filled + len(piece)] = piece
        start, filled = end + 1, filled + len(piece)
    return array.reshape(sides)


def _read_shape(text: bytes) -> list[int]:
    """The sides of nested lists, which must be regular; `text` has no spaces."""
    brackets = text.translate(None, _ALL_BUT_BRACKETS)
    rank = len(brackets) - len(brackets.lstrip(b"["))
    if rank > _MOST_AXES:
        raise BadRequestError(f"not a tensor: more than {_MOST_AXES} axes")
    if b"[]" in text:
        raise BadRequestError("not a tensor: a list is empty")
    sides: list[int] = []
    unit = b""
    for level in range(1, rank + 1):
        # The first list of a level ends with the first so many brackets in a row.
        start, last = rank - level + 1, brackets.find(b"]" * level) + level - 1
        count = (last - start + 1) // (len(unit) + 1)
        sides.insert(0, count)
        unit = b"[" + (count * (unit + b","))[:-1] + b"]"
    if unit != brackets:
        raise BadRequestError("not a tensor: lists of one level must have equal lengths")
    return sides
