"""The faces of a split by number, in the order of the split: in memory, or left on disk.

An order of training is then one of numbers: cheap to draw, to skip and to repeat, and no face is
read that is not drawn.
"""

import weakref
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from ran_tf.data import order, reader

# Faces that are decoded, or looked at, by one call.
_TOGETHER = 64


class InMemory:
    """Decodes every face once and keeps it.

    Args:
      builder: of the dataset.
      split: TFDS split expression.
      decoder: makes faces of records.

    Attributes:
      labels: i64[n], class of each face.
      fingerprint: hexadecimal digits that are others where any face, label, landmark or vote is, or
        their order.
    """

    def __init__(self, builder: tfds.core.DatasetBuilder, split: str, *, decoder: reader.Decoder):
        def look(serialised):
            return decoder.marks(serialised), decoder.training(serialised)

        decoded = _look(reader.records(builder, split), look)
        _, self._specs = decoded.element_spec
        count = builder.info.splits[split].num_examples
        # Filled in place: joining parts would need their memory a second time.
        self._kept = {
            name: np.empty([count, *spec.shape[1:]], spec.dtype.as_numpy_dtype)
            for name, spec in self._specs.items()
        }
        done, marks = 0, []
        for some, batch in decoded.as_numpy_iterator():
            marks.append(some)
            for name, values in batch.items():
                self._kept[name][done : done + len(values)] = values
            done += len(batch["label"])
        self.labels = self._kept["label"]
        self.fingerprint = order.fingerprint(np.concatenate(marks))

    def fetch(self, numbers) -> dict:
        """The faces of numbers i64[b], as `reader.Decoder.training` gives them; for `tf.data`."""
        # NumPy gathers three times as fast as `tf.gather` on a CPU.
        kinds = [spec.dtype for spec in self._specs.values()]
        found = tf.numpy_function(_unowned(self._take), [numbers], kinds, stateful=False)
        return {
            name: tf.ensure_shape(values, spec.shape)
            for (name, spec), values in zip(self._specs.items(), found, strict=True)
        }

    def _take(self, numbers: np.ndarray) -> list[np.ndarray]:
        return [self._kept[name][numbers] for name in self._specs]


class OnDisk:
    """Reads every record once, to learn its class and where it lies; then those that are drawn.

    Checksums are looked at that once. Arguments and attributes are those of `InMemory`.
    """

    def __init__(self, builder: tfds.core.DatasetBuilder, split: str, *, decoder: reader.Decoder):
        def look(places, serialised):
            labels = reader.parse(serialised, features=decoder.features, names=["label"])["label"]
            length, marks = tf.strings.length(serialised), decoder.marks(serialised)
            return {**places, "label": labels, "length": length, "mark": marks}

        parts = list(_look(reader.located(builder, split), look).as_numpy_iterator())
        self._index = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        self._files = [
            tfds.core.Path(file.filename) for file in builder.info.splits[split].file_instructions
        ]
        self._decoder = decoder
        self.fingerprint = order.fingerprint(self._index.pop("mark"))
        self.labels = self._index["label"]

    def fetch(self, numbers) -> dict:
        """As `InMemory.fetch`."""
        serialised = tf.numpy_function(_unowned(self._read), [numbers], tf.string, stateful=False)
        return self._decoder.training(tf.ensure_shape(serialised, [None]))

    def _read(self, numbers: np.ndarray) -> np.ndarray:
        found = np.empty(len(numbers), object)
        files, starts, lengths = (
            self._index[name][numbers] for name in ("file", "start", "length")
        )
        for number in np.unique(files):
            # Python's own files, once each: TensorFlow's take five times as long to open.
            with self._files[number].open("rb") as file:
                for i in np.flatnonzero(files == number):
                    file.seek(starts[i])
                    found[i] = file.read(int(lengths[i]))
                    if len(found[i]) < lengths[i]:
                        raise OSError(f"{self._files[number]} was cut off")
        return found


def _look(records: tf.data.Dataset, function) -> tf.data.Dataset:
    """A function of batches of records, in order."""
    return reader.map_ahead(records.batch(_TOGETHER), function)


def _unowned(method):
    """A method for `tf.numpy_function`, which keeps what it is given until the process ends.

    Its object lives as long as a dataset whose function calls `fetch`, and no longer.
    """
    kept: Any = weakref.WeakMethod(method)
    return lambda *arguments: kept()(*arguments)
