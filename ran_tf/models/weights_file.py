"""Weights files that say what they belong to.

A `.weights.h5` of Keras holds arrays and no word of the model they fit. Shapes catch a wrong
architecture; a wrong scaling of the input they do not, and its accuracy is lost in silence.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

import h5py
import keras

_ATTRIBUTE = "ran_tf"


def float_weights(model: keras.Model) -> list[keras.Variable]:
    """The weights of `model`; the states of dropout's random generators are none."""
    return [v for v in model.weights if v.dtype.startswith("float")]


def save(model: keras.Model, path: str | os.PathLike, *, arguments: Mapping[str, Any]) -> None:
    """Writes the weights of `model` and, as JSON in an attribute, the `arguments` that make it."""
    model.save_weights(path)
    with h5py.File(path, "r+") as file:
        file.attrs[_ATTRIBUTE] = json.dumps(dict(arguments))


def read_arguments(path: str | os.PathLike) -> dict[str, Any]:
    """The arguments that `save` wrote; empty for a file of Keras' own `save_weights`."""
    with h5py.File(path, "r") as file:
        return json.loads(file.attrs.get(_ATTRIBUTE, "{}"))
