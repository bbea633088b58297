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
from ran_tf.serving import batches
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
class Asked:
    """A request that was read.

    Attributes:
      signature: one of the model's.
      tensors: argument -> tensor.
    """

    signature: str
    tensors: dict[str, tf.Tensor]


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
      parallel: calls of the network at once. It bounds the memory.
      max_batch: faces in a request; more are refused.
      max_joined: faces that requests which wait are joined to, so that one call answers them; 1
        joins none.
      face_size: (height, width) that the network was trained on, to note photos by.

    Attributes:
      name: of the model.
      version: integer.
      signature_def: name -> SignatureDef, as the SavedModel says.
      parallel: as above.
      turn: a lock to call a network in; others wait.
      batches: the line of calls.
    """

    def __init__(
        self,
        version_dir: pathlib.Path,
        *,
        name: str = "ran",
        parallel: int = 2,
        max_batch: int = 128,
        max_joined: int = 8,
        face_size: tuple[int, int] | None = None,
    ):
        self.name, self.parallel = name, parallel
        self._max_batch, self._face_size = max_batch, face_size
        folder = version_dir.resolve().name
        self.version = int(folder) if folder.isdigit() else 1
        self.signature_def = read_signature_def(version_dir)
        self._by_row = {name for name, value in self.signature_def.items() if _has_free_axes(value)}
        # The signatures live only as long as what they were loaded with.
        self._loaded = load_saved_model(version_dir)
        self.turn = threading.BoundedSemaphore(parallel)
        self.batches = batches.Batches(self._run, turn=self.turn, most_rows=max_joined)

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

    def read(self, inputs: dict, *, signature: str) -> Asked:
        """Checks a request.

        Args:
          inputs: argument -> array, or list of bytes.
          signature: one of `signature_def`.

        Raises:
          BadRequestError: for wrong arguments.
        """
        wanted = self.arguments(signature)
        if inputs.keys() != wanted.keys():
            raise BadRequestError(
                f"input must name exactly {sorted(wanted)}. Received: {sorted(inputs)}"
            )
        tensors = {
            name: _to_tensor(inputs[name], name=name, argument=argument)
            for name, argument in wanted.items()
        }
        self._check_batch(tensors)
        return Asked(signature, tensors)

    def answer(self, asked: Asked, *, ticket: batches.Ticket | None = None) -> Answer:
        """Runs a signature, in its turn and with others that wait.

        Args:
          asked: from `read`.
          ticket: a new future, by which another thread may cancel until its turn.

        Raises:
          BadRequestError: for what TensorFlow finds wrong with it.
          CancelledError: of `concurrent.futures`, if it was cancelled.
        """
        outputs = self.batches.answer(
            asked.tensors,
            signature=asked.signature,
            by_row=asked.signature in self._by_row,
            ticket=ticket,
        )
        return Answer(outputs=outputs, note=self._note(asked.tensors))

    def predict(self, inputs: dict, *, signature: str) -> Answer:
        """`read` and `answer`."""
        return self.answer(self.read(inputs, signature=signature))

    def _run(self, signature: str, tensors: dict[str, tf.Tensor]) -> dict[str, np.ndarray]:
        try:
            outputs = self._loaded.signatures[signature](**tensors)
            return {name: value.numpy() for name, value in outputs.items()}
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

    def _note(self, tensors: dict[str, tf.Tensor]) -> str | None:
        """Faces go into a network that answers for anything; what is none can only be noted."""
        images = tensors.get("image_bytes", tensors.get("images"))
        if images is None or self._face_size is None:
            return None
        pixels = images.numpy()
        note = photo_note(
            list(pixels.flat) if images.dtype == tf.string else pixels, face_size=self._face_size
        )
        if note:
            logging.log_every_n_seconds(logging.WARNING, "%s", _NOTE_EVERY, note)
        return note


def _has_free_axes(definition) -> bool:
    """Whether all arguments and outputs of a signature have as many rows as a request wants."""
    tensors = (*definition.inputs.values(), *definition.outputs.values())
    shapes = [tf.TensorShape(info.tensor_shape) for info in tensors]
    return all(shape.rank and shape[0] is None for shape in shapes)


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
