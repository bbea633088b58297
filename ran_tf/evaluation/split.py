"""The faces that a classifier is tried on: a split of a dataset, or a user's own batches."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from ran_tf import vocabulary
from ran_tf.checks import InvalidArgument
from ran_tf.config import RegionConfig
from ran_tf.data import pipeline, prepared
from ran_tf.data.share import WHOLE, Share
from ran_tf.inference.classifier import Classifier
from ran_tf.weights.card import ModelCard, card_for

# What a report calls batches of a user's.
_UNNAMED = "given"


@dataclasses.dataclass(frozen=True)
class Split:
    """A split for one classifier.

    Attributes:
      classifier: that is tried.
      builder: of the dataset; None for a user's batches.
      full_name: of the dataset, with its version.
      split: its name.
      faces: in the split; None for a user's batches, which are not counted beforehand.
      workers: how many share the faces out.
      batches: of this worker, see `data.pipeline`.
      all_batches: of all workers.
    """

    classifier: Classifier
    builder: tfds.core.DatasetBuilder | None
    full_name: str
    split: str
    faces: int | None
    workers: int
    batches: Iterable[dict]
    all_batches: Iterable[dict]


def open_faces(
    classifier: Classifier,
    data: Any,
    *,
    dataset: str | None = None,
    data_dir: str | None = None,
    batch_size: int = 64,
    share: Share = WHOLE,
) -> Split:
    """Opens whatever `ran_tf.evaluate` takes as data.

    Args:
      classifier: that is tried; its card says how faces are brought to size, and which regions.
      data: a split of `ran_tf.load_dataset`, a split expression, or batches (x, y).
      dataset, data_dir: of a split expression; of the card, and TFDS' own, when None.
      batch_size: faces at a time of a split expression, over all workers.
      share: this worker's; batches cannot be shared out.

    Raises:
      FileNotFoundError: if the dataset is not prepared.
      ValueError: if the classifier's labels are not those of the dataset, or the split is unknown
        or too small, or has no landmarks where the classifier's regions follow them.
    """
    known = known_split(data)
    if known is not None:
        source, data = known
        dataset, data_dir = source.dataset.name, source.config.data_dir
        batch_size = source.batch_size
    if isinstance(data, str):
        return _open_split(
            classifier,
            data,
            dataset=dataset or classifier.card.dataset,
            data_dir=data_dir,
            batch_size=batch_size,
            share=share,
        )
    first_batch(data)
    if share.total > 1:
        raise InvalidArgument(
            "data", "a split expression, because several workers share the faces", data
        )
    batches = _Batches(data)
    return Split(
        classifier=classifier,
        builder=None,
        full_name=_UNNAMED,
        split=_UNNAMED,
        faces=None,
        workers=1,
        batches=batches,
        all_batches=batches,
    )


def _open_split(
    classifier: Classifier,
    split: str,
    *,
    dataset: str,
    data_dir: str | None,
    batch_size: int,
    share: Share,
) -> Split:
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
            f"`split` and `batch_size` must each have at least one face for each of {share.total} "
            f"workers. Received: split={split!r} with {faces} faces, batch_size={batch_size}"
        )
    opened.check_regions(config.regions, split=split)
    asked: dict[str, Any] = {"split": split, "batch_size": batch_size}
    return Split(
        classifier=classifier,
        builder=opened.builder,
        full_name=opened.full_name,
        split=split,
        faces=faces,
        workers=share.total,
        batches=pipeline.eval_batches(config, opened, **asked, share=share),
        all_batches=pipeline.eval_batches(config, opened, **asked),
    )


def known_split(data: Any):
    """(`Data`, split expression) of a dataset that `ran_tf.load_dataset` made; None of others."""
    return getattr(data, "ran_tf_split", None)


def card_on(model, data: Any) -> ModelCard:
    """The card that a network is evaluated with: it sees faces as `data` gives them.

    Raises:
      ValueError: for a split expression and a network without a card, or data of other classes.
    """
    if isinstance(data, str):
        return card_for(model)
    if (known := known_split(data)) is not None:
        return card_for(model, known[0])
    x = first_batch(data)
    count = model.arguments["num_classes"]
    height, width = x["image"].shape[1:3]
    regions = model.card.regions if model.card else RegionConfig(kind="random", k=1)
    if regions.k != x["boxes"].shape[1]:
        # Whatever they are: a report calls them by number.
        regions = RegionConfig(kind="random", k=int(x["boxes"].shape[1]))
    return ModelCard(
        dataset=_UNNAMED,
        labels=model.card.labels if model.card else tuple(str(i) for i in range(count)),
        image_size=(int(height), int(width)),
        regions=regions,
        model=model.arguments,
        loss_margin=model.loss_margin,
    )


def first_batch(data: Any) -> dict:
    """The x of the first of a user's batches (x, y).

    Raises:
      InvalidArgument: for what cannot be read, or can be read only once, as a generator.
    """
    wanted = (
        "a split of ran_tf.load_dataset, a split expression, or batches (x, y) that can be read "
        "more than once, with x a dict with image and boxes"
    )
    if not isinstance(data, Iterable) or isinstance(data, Iterator):
        raise InvalidArgument("data", wanted, type(data).__name__)
    batch = next(iter(data), None)
    if not isinstance(batch, (tuple, list)) or len(batch) < 2:
        raise InvalidArgument("data", wanted, type(batch).__name__)
    if not isinstance(batch[0], dict) or not {"image", "boxes"} <= batch[0].keys():
        raise InvalidArgument("data", wanted, str(batch[0])[:80])
    return batch[0]


class _Batches:
    """Batches (x, y) in the form of `data.pipeline.eval_batches`, each time they are asked for."""

    def __init__(self, pairs: Iterable[tuple]):
        self._pairs = pairs

    def __iter__(self) -> Iterator[dict]:
        first = 0
        for x, y, *_ in self._pairs:
            x = {name: np.asarray(value) for name, value in x.items()}
            faces, y = len(x["image"]), np.asarray(y)
            place = np.arange(first, first + faces)
            first += faces
            yield {
                "image": np.clip(np.rint(x["image"]), 0, 255).astype(np.uint8),
                "boxes": x["boxes"].astype(np.float32),
                "mask": x.get("mask", np.ones(x["boxes"].shape[:2], bool)),
                "label": y.argmax(axis=-1) if y.ndim == 2 else y.astype(np.int64),
                "id": np.char.mod("%d", place).astype(bytes),
                "occlusion": x.get(
                    "occlusion", np.full(faces, vocabulary.OCCLUSION_KINDS.index("none"))
                ),
                "votes": x.get("votes", np.zeros((faces, 0), np.float32)),
                "pose_30": x.get("pose_30", np.zeros(faces, bool)),
                "pose_45": x.get("pose_45", np.zeros(faces, bool)),
            }
