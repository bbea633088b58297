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
from ran_tf.registry import Registry

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
      choices: what it must be one of; of a registry the names known so far.
      open: choices are only examples, for the help.
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
    open: bool = False
    item: Any = None
    optional: bool = False
    identity: bool = True

    def check(self, value: Any) -> None:
        """Raises InvalidArgument unless the setting may have this value."""
        if value is None and self.optional:
            return
        if isinstance(self.choices, Registry) and not self.open:
            self.choices.check(value, argument=self.path)
        elif self.choices is not None and not self.open and self.kind is not tuple:
            check_choice(self.path, value, self.choices)
        elif self.kind == "size":
            check_size(self.path, value, low=int(self.low or 1))
        elif self.kind is tuple:
            if isinstance(value, str) or not isinstance(value, Iterable):
                raise InvalidArgument(self.path, "a tuple", value)
            for item in value:
                self._check_one(self.item, item)
                if self.choices is not None and not self.open:
                    check_choice(self.path, item, self.choices)
        else:
            self._check_one(self.kind, value)

    def values(self) -> str:
        """What the setting may be, in words."""
        if self.choices is not None and tuple(self.choices):
            said = ", ".join(self.choices) + self.open * " or another"
        elif self.kind is tuple:
            said = {str: "names", float: f"numbers {self._bounds()}"}[self.item]
        elif self.kind == "size":
            said = "pixels"
        else:
            words = {bool: "yes or no", str: "text", int: "a whole number", float: "a number"}
            said = words[self.kind]
            if self.kind in (int, float):
                said += f" {self._bounds()}"
        return f"{said}, or nothing" if self.optional else said

    def _bounds(self) -> str:
        low = self.low or 0
        if self.high == float("inf"):
            return f"of at least {low:g}"
        return f"in {low:g}..{self.high:.10g}"

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
    open: bool = False,
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
        "open": open,
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
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
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
            part = isinstance(hint, type) and dataclasses.is_dataclass(hint)
            if part and not isinstance(getattr(self, name), hint):
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


def fingerprint(described: Any, **more: Any) -> dict[str, Any]:
    """What makes two runs, networks or folders the same: what to hold against another's.

    Args:
      described: a dataclass, of settings or not, or a dict, perhaps of others; settings that do not
        count for identity are left out.
      **more: what else counts.

    Returns:
      Values by dotted name, such as "data.regions.k"; equal again when read from JSON.
    """
    found: dict[str, Any] = {}
    for name, value in {**_parts(described), **more}.items():
        if isinstance(value, dict) or dataclasses.is_dataclass(value):
            inside = fingerprint(value)
            found |= {f"{name}.{rest}": inner for rest, inner in inside.items()}
        else:
            found[name] = list(value) if isinstance(value, tuple) else value
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


def _parts(described: Any) -> Mapping[str, Any]:
    if isinstance(described, Mapping):
        return described
    return {
        field.name: getattr(described, field.name)
        for field in dataclasses.fields(described)
        if field.metadata.get(_KEY, {}).get("identity", True)
    }


def replaced(config: Any, changes: Mapping[str, Any]) -> Any:
    """The same settings but for some, by dotted name: {"data.regions.k": 1}."""
    own: dict[str, Any] = {}
    inside: dict[str, dict[str, Any]] = {}
    for path, value in changes.items():
        name, _, rest = path.partition(".")
        if rest:
            inside.setdefault(name, {})[rest] = value
        else:
            own[name] = value
    own |= {name: replaced(getattr(config, name), inner) for name, inner in inside.items()}
    return dataclasses.replace(config, **own)


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, tuple]:
    """What two fingerprints contradict each other in, by dotted name: (there, here).

    What only one of them has, which another version of the package wrote, contradicts nothing.
    """
    return {n: (there[n], here[n]) for n in there if n in here and there[n] != here[n]}


def describe(differences: dict[str, tuple], *, name: Callable[[str], str] = str) -> str:
    """Differences in words; `name` says what people call a setting."""
    return "; ".join(
        f"{name(path)} is {was!r} there and {now!r} here"
        for path, (was, now) in differences.items()
    )


def table(cls: type) -> str:
    """All settings of a dataclass in Markdown, for the documentation."""
    lines = [
        "| Flag | In Python | Default | Values | Meaning |",
        "|---|---|---|---|---|",
    ]
    for described in settings_of(cls):
        flag = f"`--{described.flag}`" if described.flag else ""
        cells = [
            flag,
            f"`{described.path}`",
            f"`{described.default!r}`",
            described.values(),
            described.help.replace("|", r"\|"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
