"""An export, loaded to answer requests: what the REST and the gRPC server have in common.

For tests and small loads; TensorFlow Serving is for production. Answers and errors are those of
TensorFlow Serving where it has them.
"""

import dataclasses
import pathlib
import threading

import numpy as np
import tensorflow as tf
from absl import logging
from tensorflow.core.protobuf import saved_model_pb2

from ran_tf.exports.signatures import load_saved_model
from ran_tf.serving.photo_note import photo_note
from ran_tf.weights.export_folder import SAVED_MODEL

DEFAULT_SIGNATURE = "serving_default"
# Seconds between two lines of the log about photos.
_NOTE_EVERY = 60


class NotServedError(LookupError):
    """The request names a model or version that is not served."""


class BadRequestError(ValueError):
    """The request cannot be answered; the message says why."""


@dataclasses.dataclass(frozen=True)
class Argument:
    """A tensor that a signature takes or gives."""

    dtype: tf.DType
    shape: tf.TensorShape

    def __str__(self):
        return f"{self.dtype.name}{self.shape}"

    @property
    def is_text(self) -> bool:
        return self.dtype == tf.string

    def wrong_values(self, name: str) -> BadRequestError:
        """The error for values that the type does not hold."""
        what = "integers" if self.dtype.is_integer else "numbers"
        return BadRequestError(
            f"`{name}` must be {self}. Received: values that are not {what} in "
            f"{self.dtype.min}..{self.dtype.max}"
        )


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a signature gave.

    Attributes:
      outputs: output -> array.
      note: one line if images of the request are probably not faces, else None.
    """

    outputs: dict[str, np.ndarray]
    note: str | None


class ModelService:
    """One version of one export.

    Thread-safe; a request that fails leaves nothing behind.

    Args:
      version_dir: EXPORT_DIR/<version>.
      name: that clients call the model.
      parallel: requests that `turn` lets through at once. It bounds the memory.
      max_batch: faces in a request; more are refused.
      face_size: (height, width) that the network was trained on, to note photos by.

    Attributes:
      name: of the model.
      version: integer.
      signature_def: name -> SignatureDef, as the SavedModel says.
      parallel: as above.
      turn: a lock to read, answer and write a request in; others wait.
    """

    def __init__(
        self,
        version_dir: pathlib.Path,
        *,
        name: str = "ran",
        parallel: int = 2,
        max_batch: int = 128,
        face_size: tuple[int, int] | None = None,
    ):
        self.name, self.parallel = name, parallel
        self._max_batch, self._face_size = max_batch, face_size
        folder = version_dir.resolve().name
        self.version = int(folder) if folder.isdigit() else 1
        self.signature_def = read_signature_def(version_dir)
        # The signatures live only as long as what they were loaded with.
        self._loaded = load_saved_model(version_dir)
        self.turn = threading.BoundedSemaphore(parallel)

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

    def predict(self, inputs: dict, *, signature: str) -> Answer:
        """Runs a signature; the caller has a `turn`.

        Args:
          inputs: argument -> array, or list of bytes.
          signature: one of `signature_def`.

        Raises:
          BadRequestError: for wrong arguments, and whatever TensorFlow finds wrong with them.
        """
        wanted = self.arguments(signature)
        if inputs.keys() != wanted.keys():
            raise BadRequestError(
                f"input must name exactly {sorted(wanted)}. Received: {sorted(inputs)}"
            )
        try:
            tensors = {
                name: _to_tensor(inputs[name], name=name, argument=argument)
                for name, argument in wanted.items()
            }
            self._check_batch(tensors)
            outputs = self._loaded.signatures[signature](**tensors)
            return Answer(
                outputs={name: value.numpy() for name, value in outputs.items()},
                note=self._note(inputs),
            )
        except tf.errors.OpError as error:
            raise BadRequestError(error.message) from error

    def _check_batch(self, tensors: dict[str, tf.Tensor]) -> None:
        """A face takes megabytes in the network, and 3 bytes in a request."""
        for name, tensor in tensors.items():
            if tensor.shape.rank and tensor.shape[0] > self._max_batch:
                raise BadRequestError(
                    f"`{name}` must have at most {self._max_batch} faces. "
                    f"Received: {tensor.shape[0]:,}"
                )

    def _note(self, inputs: dict) -> str | None:
        """Faces go into a network that answers for anything; what is none can only be noted."""
        images = inputs.get("image_bytes", inputs.get("images"))
        if images is None or self._face_size is None:
            return None
        note = photo_note(images, face_size=self._face_size)
        if note:
            logging.log_every_n_seconds(logging.WARNING, "%s", _NOTE_EVERY, note)
        return note


def _to_tensor(array, *, name: str, argument: Argument) -> tf.Tensor:
    if argument.dtype.is_integer or argument.dtype.is_floating:
        array = np.asarray(array)
        if not _holds(array, dtype=argument.dtype):
            raise argument.wrong_values(name)
    try:
        tensor = tf.constant(array, argument.dtype)
    except (TypeError, ValueError) as error:
        raise BadRequestError(f"`{name}` must be {argument}. Received: {error}") from error
    if not argument.shape.is_compatible_with(tensor.shape):
        raise BadRequestError(
            f"`{name}` must have shape {argument.shape}. Received: shape {tensor.shape}"
        )
    return tensor


def _holds(array: np.ndarray, *, dtype: tf.DType) -> bool:
    """TensorFlow would take 256 for 0 in 8 bits, 1.5 for 1, null for NaN, and "2" for 2. NaN and
    infinity give plausible answers: the network's activations swallow them."""
    if not array.size:
        return True
    if array.dtype.kind not in ("iu" if dtype.is_integer else "iuf"):
        return False
    # Not true of NaN.
    return bool(dtype.min <= array.min() and array.max() <= dtype.max)


def read_signature_def(path: pathlib.Path) -> dict:
    """The signatures of a SavedModel: name -> SignatureDef."""
    saved = saved_model_pb2.SavedModel.FromString((path / SAVED_MODEL).read_bytes())
    signatures = saved.meta_graphs[0].signature_def
    # TensorFlow's own, without a method to call.
    return {name: value for name, value in signatures.items() if not name.startswith("__")}
