"""Weights files that say what they belong to.

A `.weights.h5` of Keras holds arrays and no word of the model they fit. Shapes catch a wrong
architecture; a wrong scaling of the input they do not, and its accuracy is lost in silence.

Every such file, whoever wrote it, is read by a child first (`reader_process`): what this process
parses is the child's copy.
"""

import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import keras
import numpy as np

from ran_tf.models.ran import RegionAttentionNetwork
from ran_tf.safety import files, reader_process

_CHILD = pathlib.Path(__file__).with_name("h5_child.py")
_ATTRIBUTE = "ran_tf"


@dataclasses.dataclass(frozen=True)
class WeightsFile:
    """A weights file that is safe to read.

    Attributes:
      path: the copy, for `load_weights`.
      groups: names at its top.
      arguments: that `save` wrote; empty for a file of Keras' own `save_weights`.
    """

    path: pathlib.Path
    groups: frozenset[str]
    arguments: Mapping[str, Any]


def float_weights(model: keras.Model) -> list[keras.Variable]:
    """The weights of `model`; the states of dropout's random generators are none."""
    return [v for v in model.weights if v.dtype.startswith("float")]


def weights_by_path(model: RegionAttentionNetwork) -> dict[str, keras.Variable]:
    """The weights of a network by path, such as "conv1/kernel": the same for equal networks.

    Keras numbers layers that nobody named through the process ("conv2d_7"), as those of
    `keras.applications` are: here they are numbered through the network.

    Raises:
      ValueError: if two weights have one path.
    """
    paths = {}
    seen: collections.Counter[str] = collections.Counter()
    for layer in model.backbone.layers:
        kind = re.sub(r"_\d+$", "", layer.name)
        if not layer.weights or kind.replace("_", "") != type(layer).__name__.lower():
            continue
        name = f"{kind}_{seen[kind]}" if seen[kind] else kind
        seen[kind] += 1
        for weight in layer.weights:
            paths[id(weight)] = weight.path.replace(layer.name, name, 1)
    weights = float_weights(model)
    named = {paths.get(id(v), v.path): v for v in weights}
    if len(named) != len(weights):
        raise ValueError(
            f"each weight must have its own path. Received: {len(weights)} weights with "
            f"{len(named)} different paths in backbone {model.backbone.name!r}"
        )
    return named


def take_weights(
    model: RegionAttentionNetwork, trained: RegionAttentionNetwork, *, classes: Mapping[int, int]
) -> set[str]:
    """Fills a network from another, by path and shape; what does not fit keeps its values.

    Args:
      model: the network to fill, in place.
      trained: the other.
      classes: which class of the other each class of the network is; those that are not among them
        keep what they have.

    Returns:
      Paths of the weights that were taken over; those of the classifier if any class was.
    """
    old, taken = weights_by_path(trained), set()
    for name, weight in weights_by_path(model).items():
        values, theirs = np.array(weight), np.array(old.get(name, 0.0))
        if not name.startswith("classifier/"):
            fits, values = theirs.shape == values.shape, theirs
        elif fits := bool(classes) and theirs.shape[:-1] == values.shape[:-1]:
            values[..., list(classes)] = theirs[..., list(classes.values())]
        if name in old and fits:
            weight.assign(values)
            taken.add(name)
    return taken


def save(model: keras.Model, path: str | os.PathLike, *, arguments: Mapping[str, Any]) -> None:
    """Writes the weights of `model` and, as JSON in an attribute, the `arguments` that make it."""
    model.save_weights(path)
    with h5py.File(path, "r+") as file:
        file.attrs[_ATTRIBUTE] = json.dumps(dict(arguments))


@contextlib.contextmanager
def safe_copy(path: str | os.PathLike) -> Iterator[WeightsFile]:
    """Yields a copy of a weights file that holds its arrays and nothing else.

    Raises:
      FileNotFoundError: no such file.
      ValueError: it is damaged, or holds what no weights file does: links, compressed arrays, text.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"a weights file must exist. Received: {str(path)!r}")
    with tempfile.TemporaryDirectory(prefix="ran_tf_h5_") as folder:
        copy = pathlib.Path(folder) / "copy.weights.h5"  # the ending that Keras asks for
        try:
            reader_process.read_in_child(_CHILD, path, copy)
        except reader_process.ReaderError as error:
            raise ValueError(
                f"a weights file must be a whole .weights.h5 of Keras. Received: {str(path)!r}: "
                f"{error}"
            ) from error
        with h5py.File(copy, "r") as file:
            groups, text = frozenset(file), file.attrs.get(_ATTRIBUTE, "{}")
        arguments = files.parse_json(text, source=f"the attribute `{_ATTRIBUTE}` of {path}")
        yield WeightsFile(path=copy, groups=groups, arguments=arguments)
