"""The faces that a classifier is tried on: a split of a dataset, opened and checked."""

import dataclasses
from collections.abc import Iterable

import tensorflow_datasets as tfds

from ran_tf.data import pipeline, prepared, reader
from ran_tf.evaluation.classifier import Classifier


@dataclasses.dataclass(frozen=True)
class Split:
    """A split for one classifier.

    Attributes:
      classifier: that is tried.
      builder: of the dataset.
      full_name: of the dataset, with its version.
      faces: in the split.
      workers: how many share the faces out.
      batches: of this worker, see `data.pipeline`.
      all_batches: of all workers.
    """

    classifier: Classifier
    builder: tfds.core.DatasetBuilder
    full_name: str
    faces: int
    workers: int
    batches: Iterable[dict]
    all_batches: Iterable[dict]


def open_split(
    classifier: Classifier,
    *,
    dataset: str,
    data_dir: str | None,
    split: str,
    batch_size: int,
    share: reader.Share = reader.WHOLE,
) -> Split:
    """Opens a split.

    Args:
      classifier: that is tried; its card says how faces are brought to size, and which regions.
      dataset: TFDS name.
      data_dir: TFDS directory; TFDS' default when None.
      split: TFDS split expression.
      batch_size: faces at a time, over all workers.
      share: this worker's.

    Raises:
      FileNotFoundError: if the dataset is not prepared.
      ValueError: if the classifier's labels are not those of the dataset, or the split is unknown
        or too small, or has no landmarks where the classifier's regions follow them.
    """
    config = pipeline.data_config_of(classifier.card, name=dataset, data_dir=data_dir)
    opened = prepared.open_dataset(config)
    if opened.labels != classifier.card.labels:
        raise ValueError(
            f"the labels of {classifier.name!r}, {classifier.card.labels}, must be those of the "
            f"dataset {dataset!r}, {opened.labels}. Received: dataset={dataset!r}"
        )
    faces = opened.size(split)
    if faces == 0:
        raise ValueError(f"`split` must hold at least one face. Received: split={split!r}")
    if min(faces, batch_size) < share.total:
        raise ValueError(
            f"`split` and `batch_size` must have a face for each of {share.total} workers. "
            f"Received: split={split!r} with {faces} faces, batch_size={batch_size}"
        )
    opened.check_regions(config.regions, split=split)
    asked = {"split": split, "batch_size": batch_size}
    return Split(
        classifier=classifier,
        builder=opened.builder,
        full_name=opened.full_name,
        faces=faces,
        workers=share.total,
        batches=pipeline.eval_batches(config, opened, **asked, share=share),
        all_batches=pipeline.eval_batches(config, opened, **asked),
    )
