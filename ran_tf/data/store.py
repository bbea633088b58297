"""The faces of a split by number, in the order of the split: in memory, or left on disk.

An order of training is then one of numbers: cheap to draw, to skip and to repeat, and no face is
read that is not drawn.
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from ran_tf.data import reader

# Faces that are decoded, or looked at, by one call.
_TOGETHER = 64


@dataclasses.dataclass(frozen=True)
class Store:
    """Faces that can be asked for.

    Attributes:
      labels: i64[n], class of each.
      fetch: gives the faces of numbers i64[b], as `reader.Decoder.training` does; for `tf.data`.
    """

    labels: np.ndarray
    fetch: Callable[[tf.Tensor], dict]


def in_memory(builder: tfds.core.DatasetBuilder, split: str, *, decoder: reader.Decoder) -> Store:
    """Decodes every face once and keeps it."""
    decoded = (
        reader.records(builder, split)
        .batch(_TOGETHER)
        .map(decoder.training, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    )
    specs = decoded.element_spec
    count = builder.info.splits[split].num_examples
    # Filled in place: joining parts would need their memory a second time.
    kept = {
        name: np.empty([count, *spec.shape[1:]], spec.dtype.as_numpy_dtype)
        for name, spec in specs.items()
    }
    done = 0
    for batch in decoded.prefetch(2).as_numpy_iterator():
        for name, values in batch.items():
            kept[name][done : done + len(values)] = values
        done += len(batch["label"])

    def fetch(numbers):
        # NumPy gathers three times as fast as `tf.gather` on a CPU.
        found = tf.numpy_function(
            lambda drawn: [kept[name][drawn] for name in specs],
            [numbers],
            [spec.dtype for spec in specs.values()],
            stateful=False,
        )
        return {
            name: tf.ensure_shape(values, spec.shape)
            for (name, spec), values in zip(specs.items(), found, strict=True)
        }

    return Store(labels=kept["label"], fetch=fetch)


def on_disk(builder: tfds.core.DatasetBuilder, split: str, *, decoder: reader.Decoder) -> Store:
    """Reads every record once, to learn its class and where it lies; a face when it is drawn."""

    def look(places, serialised):
        labels = reader.parse(serialised, features=decoder.features, names=["label"])["label"]
        return {**places, "label": labels, "length": tf.strings.length(serialised)}

    looked = (
        reader.located(builder, split)
        .batch(_TOGETHER)
        .map(look, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    )
    index = _joined(list(looked.prefetch(2).as_numpy_iterator()))
    paths = [tfds.core.Path(f.filename) for f in builder.info.splits[split].file_instructions]

    def read(numbers):
        found = np.empty(len(numbers), object)
        for i, number in enumerate(numbers):
            # Python's own files: TensorFlow's take five times as long to open.
            with paths[index["file"][number]].open("rb") as file:
                file.seek(index["start"][number])
                found[i] = file.read(int(index["length"][number]))
        return found

    def fetch(numbers):
        serialised = tf.numpy_function(read, [numbers], tf.string, stateful=False)
        return decoder.training(tf.ensure_shape(serialised, [None]))

    return Store(labels=index["label"], fetch=fetch)


def _joined(batches: list[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
