"""An export, loaded to answer requests: what the REST and the gRPC server have in common.

For tests and small loads; TensorFlow Serving is for production. Answers and errors are those of
TensorFlow Serving where it has them.
"""

import dataclasses
import pathlib
import threading

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from ran_tf.serving.signatures import SAVED_MODEL

DEFAULT_SIGNATURE = "serving_default"


class NotServedError(LookupError):
    """The request names a model or version that is not served."""


class BadRequestError(ValueError):
    """The request cannot be answered; the message says why."""


@dataclasses.dataclass(frozen=True)
class Argument:
    """A tensor that a signature takes or gives."""

    dtype: tf.DType
    shape: tf.TensorShape


class ModelService:
    """One version of one export.

    Thread-safe; a request that fails leaves nothing behind.

    Args:
      version_dir: EXPORT_DIR/<version>.
      name: that clients call the model.
      parallel: predictions that run at once; others wait. It bounds the memory.

    Attributes:
      name: of the model.
      version: integer.
      signature_def: name -> SignatureDef, as the SavedModel says.
    """

    def __init__(self, version_dir: pathlib.Path, *, name: str = "ran", parallel: int = 2):
        self.name = name
        folder = version_dir.resolve().name
        self.version = int(folder) if folder.isdigit() else 1
        self.signature_def = read_signature_def(version_dir)
        # The signatures live only as long as what they were loaded with.
        self._loaded = tf.saved_model.load(str(version_dir))
        self._turns = threading.BoundedSemaphore(parallel)

    def find(self, *, name: str, version: int | None = None) -> None:
        """Raises NotServedError unless this is the model and version."""
        if name != self.name or version not in (None, self.version):
            wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise NotServedError(f"Servable not found for request: {wanted}")

    def arguments(self, signature: str) -> dict[str, Argument]:
        """What a signature takes. Raises BadRequestError for an unknown one."""
        if signature not in self.signature_def:
            raise BadRequestError(
                f'Serving signature name: "{signature}" not found in signature def; known: '
                f"{sorted(self.signature_def)}"
            )
        return {
            name: Argument(dtype=tf.as_dtype(info.dtype), shape=tf.TensorShape(info.tensor_shape))
            for name, info in self.signature_def[signature].inputs.items()
        }

    def predict(self, inputs: dict[str, np.ndarray], *, signature: str) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
          inputs: argument -> array.
          signature: one of `signature_def`.

        Returns:
          output -> array.

        Raises:
          BadRequestError: for wrong arguments, and whatever TensorFlow finds wrong with them.
        """
        wanted = self.arguments(signature)
        if inputs.keys() != wanted.keys():
            raise BadRequestError(
                f"input must name exactly {sorted(wanted)}. Received: {sorted(inputs)}"
            )
        try:
            tensors = {name: _to_tensor(inputs[name], name=name, wanted=wanted) for name in wanted}
            with self._turns:
                outputs = self._loaded.signatures[signature](**tensors)
                return {name: value.numpy() for name, value in outputs.items()}
        except tf.errors.OpError as error:
            raise BadRequestError(error.message) from error


def _to_tensor(array: np.ndarray, *, name: str, wanted: dict[str, Argument]) -> tf.Tensor:
    argument = wanted[name]
    try:
        if argument.dtype.is_integer or argument.dtype.is_floating:
            _check_numbers(np.asarray(array), dtype=argument.dtype)
        tensor = tf.constant(array, argument.dtype)
    except (TypeError, ValueError) as error:
        raise BadRequestError(
            f"`{name}` must be {argument.dtype.name}{argument.shape}. Received: {error}"
        ) from error
    if not argument.shape.is_compatible_with(tensor.shape):
        raise BadRequestError(
            f"`{name}` must have shape {argument.shape}. Received: shape {tensor.shape}"
        )
    return tensor


def _check_numbers(array: np.ndarray, *, dtype: tf.DType) -> None:
    """TensorFlow would take 256 for 0 in 8 bits, 1.5 for 1, null for NaN, and "2" for 2."""
    kinds, what = ("iu", "integers") if dtype.is_integer else ("iuf", "numbers")
    known = array.dtype.kind in kinds
    if known:
        finite = array[np.isfinite(array)]
        known = not finite.size or dtype.min <= finite.min() <= finite.max() <= dtype.max
    if array.size and not known:
        raise ValueError(f"values that are not {what} in {dtype.min}..{dtype.max}")


def read_signature_def(path: pathlib.Path) -> dict:
    """The signatures of a SavedModel: name -> SignatureDef."""
    saved = saved_model_pb2.SavedModel.FromString((path / SAVED_MODEL).read_bytes())
    signatures = saved.meta_graphs[0].signature_def
    # TensorFlow's own, without a method to call.
    return {name: value for name, value in signatures.items() if not name.startswith("__")}
