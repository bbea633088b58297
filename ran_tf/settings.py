"""Settings of a run compared with those that an earlier one wrote down."""

from collections.abc import Callable


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
