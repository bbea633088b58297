"""MTCNN's three networks on ONNX Runtime, with the weights that the package `mtcnn` ships (MIT).

The package's own networks are Keras', and importing it imports TensorFlow. So its code is not
imported: the graphs lie beside this file, without weights (`tests/fixtures/mtcnn_files.py` makes
them), and get those of the package's files.
"""

import importlib.util
import pathlib
from collections.abc import Callable

import numpy as np

from ran_tf.weights import onnx_session

# By the files of their weights: for proposals, to refine them, and for the answer.
NAMES = {"first": "pnet.lz4", "second": "rnet.lz4", "third": "onet.lz4"}


def graph_file(name: str) -> str:
    """The name of a network's graph."""
    return f"mtcnn_{name}.onnx"


def load_weights(name: str) -> dict[str, np.ndarray]:
    """The weights of a network, as ONNX has them, in the order of its layers.

    Raises:
      RuntimeError: the package `mtcnn` is not installed.
    """
    import joblib  # a file of a package that is installed, thus as trusted as code

    found = importlib.util.find_spec("mtcnn")
    if found is None:
        raise RuntimeError("the detector mtcnn needs its package: pip install mtcnn")
    folder = next(iter(found.submodule_search_locations or ()))
    stored = joblib.load(pathlib.Path(folder, "assets", "weights", NAMES[name]))
    given: dict[str, np.ndarray] = {}
    for i, value in enumerate(stored):
        value = np.asarray(value, np.float32)
        if value.ndim == 4:
            value = value.transpose(3, 2, 0, 1)
        elif value.ndim == 3:  # a slope for each channel of a map
            value = value.transpose(2, 0, 1)
        given[f"weight_{i:02}"] = np.ascontiguousarray(value)
    return given


def load(name: str, *, threads: int | None = None) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """A network: from views f32[b, h, w, 3] in -1..1 to "offsets", "odds" and, of the third,
    "landmarks"; of the first as maps.

    Args:
      name: of `NAMES`.
      threads: None is one for each core.

    Raises:
      RuntimeError: the package `mtcnn` is not installed.
    """
    graph = pathlib.Path(__file__).with_name(graph_file(name)).read_bytes()
    session = onnx_session.open_session(graph, weights=load_weights(name), threads=threads)
    return onnx_session.caller(session)
