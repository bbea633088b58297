"""No tensor of a foreign file is lost, and no variable of ours is left to chance."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np


@dataclasses.dataclass(frozen=True)
class Converted:
    """A model that holds foreign weights.

    Attributes:
      model: ours: a backbone, or a `RegionAttentionNetwork`.
      arguments: what `build_backbone` ("backbone" and "preprocessing") or `RegionAttentionNetwork`
        must be called with for these weights.
      left_out: tensors of the source that have no place in the model, and why.
      fresh: variables that keep their random start; none unless `allow_partial`.
    """

    model: keras.Model
    arguments: Mapping[str, Any]
    left_out: Mapping[str, str]
    fresh: tuple[str, ...] = ()


class Taken:
    """Hands out tensors by name and remembers which, so that none is lost or invented."""

    def __init__(self, tensors: Mapping[str, np.ndarray], *, source: Path):
        self._tensors = tensors
        self._source = source
        self._seen: set[str] = set()
        self._missing: list[str] = []

    def __call__(self, name: str) -> np.ndarray:
        """The tensor; an array without elements if there is none, which `finish` reports."""
        self._seen.add(name)
        if name not in self._tensors:
            self._missing.append(name)
            return np.zeros((0,), "float32")
        return self._tensors[name]

    def constant(self, name: str, value) -> None:
        """Checks a tensor that our model has built in."""
        found = self(name)
        if name in self._tensors and not np.array_equal(found, value):
            raise ValueError(
                f"{self._source}: {name} must be {value}, which our model has as a fixed value. "
                f"Received: {name}={found.tolist()}"
            )

    def finish(self, *, left_out: Mapping[str, str], allow_partial: bool) -> dict[str, str]:
        """What is left out, those tensors included that only `allow_partial` lets pass.

        Raises:
          ValueError: tensors that were asked for and are not there, or that nobody asked for.
        """
        missing = sorted(self._missing)
        unused = sorted(set(self._tensors) - self._seen - set(left_out))
        if (missing or unused) and not allow_partial:
            raise ValueError(
                f"{self._source}: the tensors are not those of this format; check that this is "
                f"the right file. Received: missing={missing}, unused={unused}"
            )
        return {**left_out, **dict.fromkeys(unused, "unknown to this format")}


def variables_of(model: keras.Model) -> dict[str, keras.Variable]:
    """The variables of a functional model, keyed `<layer name>/<variable name>`."""
    return {f"{layer.name}/{v.name}": v for layer in model.layers for v in layer.variables}


def assign_variables(
    variables: Mapping[str, keras.Variable], arrays: Mapping[str, np.ndarray], *, source: Path
) -> tuple[str, ...]:
    """Sets every variable from the array of its name; those without elements stay as they are.

    Returns:
      The variables that do, which `Taken.finish` has let pass.

    Raises:
      ValueError: an array of another shape; no variable has changed then.
    """
    arrays = {name: array for name, array in arrays.items() if array.size}
    wrong = [
        f"{name} is {array.shape}, the model's {tuple(variables[name].shape)}"
        for name, array in arrays.items()
        if array.shape != tuple(variables[name].shape)
    ]
    if wrong:
        raise ValueError(f"{source}: tensors must have the shapes of our model. Received: {wrong}")
    for name, array in arrays.items():
        variables[name].assign(array)
    return tuple(sorted(variables.keys() - arrays.keys()))
