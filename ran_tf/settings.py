"""A setting is a field of a frozen dataclass; everything else about it derives from that field.

    erase: float = setting(0.25, "Probability of each of two occluders.", low=0.0, high=1.0)

is the setting, its check, its flag `--erase`, its line of help, its row in the documentation, and
its part of a run's identity.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self

from ran_tf.checks import InvalidArgument, check_choice, check_range, check_size, check_whole

_KEY = "setting"


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting, described.

    Attributes:
      path: dotted name from the outermost dataclass, such as "augment.erase".
      flag: name of its flag; "" has none.
      kind: bool, int, float, str, tuple (of float or str, see `item`), or "size": (height, width),
        of which a flag gives one side.
      default: where nothing is said.
      help: one line.
      low, high: bounds of numbers, of each number of a tuple and each side of a size.
      choices: what it must be one of; of an open registry the names known so far.
      item: type of a tuple's items.
      optional: None is a value too.
      identity: whether runs that differ in it are different runs.
    """

    path: str
    flag: str
    kind: Any
    default: Any
    help: str
    low: float | None = None
    high: float = float("inf")
    choices: Iterable[str] | None = None
    item: Any = None
    optional: bool = False
    identity: bool = True

    def check(self, value: Any) -> None:
        """Raises InvalidArgument unless the setting may have this value."""
        if value is None and self.optional:
            return
        if self.choices is not None:
            check_choice(self.path, value, self.choices)
        elif self.kind == "size":
            check_size(self.path, value, low=int(self.low or 1))
        elif self.kind is tuple:
            if isinstance(value, str) or not isinstance(value, Iterable):
                raise InvalidArgument(self.path, "a tuple", value)
            for item in value:
                self._check_one(self.item, item)
        else:
            self._check_one(self.kind, value)

    def _check_one(self, kind: type, value: Any) -> None:
        if kind is int:
            check_whole(self.path, value, low=int(self.low or 0), high=self.high)
        elif kind is float:
            check_range(self.path, value, low=self.low or 0.0, high=self.high)
        elif not isinstance(value, kind):
            raise InvalidArgument(self.path, {bool: "True or False", str: "text"}[kind], value)


def setting(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float = float("inf"),
    choices: Iterable[str] | None = None,
    flag: str | None = None,
    size: bool = False,
    identity: bool = True,
) -> Any:
    """A field of a dataclass of settings; see the module and `Setting`."""
    details = {
        "help": help,
        "low": low,
        "high": high,
        "choices": choices,
        "flag": flag,
        "size": size,
        "identity": identity,
    }
    return dataclasses.field(default=default, metadata={_KEY: details})


def settings_of(cls: type, *, prefix: str = "") -> Iterator[Setting]:
    """All settings of a dataclass and of those inside it, in their order."""
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            yield from settings_of(hint, prefix=f"{prefix}{field.name}.")
        elif _KEY in field.metadata:
            yield _describe(field, hint, prefix=prefix)


def _describe(field: dataclasses.Field, hint: Any, *, prefix: str) -> Setting:
    details = dict(field.metadata[_KEY])
    flag, size = details.pop("flag"), details.pop("size")
    optional = isinstance(hint, types.UnionType) and type(None) in typing.get_args(hint)
    if optional:
        (hint,) = (t for t in typing.get_args(hint) if t is not type(None))
    kind = typing.get_origin(hint) or hint
    return Setting(
        path=f"{prefix}{field.name}",
        flag=field.name if flag is None else flag,
        kind="size" if size else kind,
        default=field.default,
        item=typing.get_args(hint)[0] if kind is tuple else None,
        optional=optional,
        **details,
    )


class Checked:
    """Base of dataclasses of settings: each value is checked when one is made.

    Raises:
      InvalidArgument: naming the field.
    """

    def __post_init__(self):
        for name, hint in typing.get_type_hints(type(self)).items():
            if dataclasses.is_dataclass(hint) and not isinstance(getattr(self, name), hint):
                raise InvalidArgument(name, f"a {hint.__name__}", getattr(self, name))
        for described in settings_of(type(self)):
            if "." not in described.path:  # those inside have checked themselves
                described.check(getattr(self, described.path))

    @classmethod
    def from_dict(cls, nested: Mapping[str, Any]) -> Self:
        """What `dataclasses.asdict` made a dict of, perhaps by way of JSON."""
        hints, given = typing.get_type_hints(cls), {}
        for name, value in nested.items():
            if dataclasses.is_dataclass(hints.get(name)):
                given[name] = hints[name].from_dict(value)
            else:
                given[name] = tuple(value) if isinstance(value, list) else value
        return cls(**given)


def identity(config: Any) -> dict[str, Any]:
    """The settings by which runs differ, by dotted name; equal again when read from JSON."""
    found = {}
    for described in settings_of(type(config)):
        if described.identity:
            value = config
            for name in described.path.split("."):
                value = getattr(value, name)
            found[described.path] = list(value) if isinstance(value, tuple) else value
    return found


def by_flag(config: Any) -> dict[str, Any]:
    """The settings as their flags would say them, by name of flag; a square size is its side."""
    found = {}
    for described in settings_of(type(config)):
        if described.flag:
            value = config
            for name in described.path.split("."):
                value = getattr(value, name)
            if described.kind == "size" and value and value[0] == value[1]:
                value = value[0]
            found[described.flag] = list(value) if isinstance(value, tuple) else value
    return found


def replaced(config: Any, changes: Mapping[str, Any]) -> Any:
    """The same settings but for some, by dotted name: {"data.regions.k": 1}."""
    own, inside = {}, {}
    for path, value in changes.items():
        name, _, rest = path.partition(".")
        if rest:
            inside.setdefault(name, {})[rest] = value
        else:
            own[name] = value
    own |= {name: replaced(getattr(config, name), inner) for name, inner in inside.items()}
    return dataclasses.replace(config, **own)


def flatten(nested: dict, prefix: str = "") -> dict:
    """Nested settings by dotted names, such as "data.regions.k"."""
    flat = {}
    for key, value in nested.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(there: dict, here: dict) -> dict[str, tuple]:
    """What two nested settings contradict each other in, by dotted name: (there, here).

    A setting that only one of them has, which another version of the package wrote, contradicts
    nothing. Both as JSON has them: lists, no tuples.
    """
    was, now = flatten(there), flatten(here)
    return {n: (was[n], now[n]) for n in was if n in now and was[n] != now[n]}


def describe(differences: dict[str, tuple], *, name: Callable[[str], str] = str) -> str:
    """Differences in words; `name` says what people call a setting."""
    return "; ".join(
        f"{name(path)} is {was!r} there and {now!r} here"
        for path, (was, now) in differences.items()
    )
