"""From packed faces to batches of NumPy arrays: the same, in the same order, as `pipeline`'s."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from ran_tf import vocabulary
from ran_tf.augment import draws
from ran_tf.config import DataConfig
from ran_tf.data import order, packed
from ran_tf.data.lesson import Lesson
from ran_tf.data.share import WHOLE, Share
from ran_tf.images import resampling
from ran_tf.regions import kinds

_CONDITIONS = {"occlusion": np.int64, "pose_30": bool, "pose_45": bool}


@dataclasses.dataclass(frozen=True)
class Batches:
    """Batches, made as they are asked for; every pass over them is the same.

    Attributes:
      make: `make(places)`: the batch of places i64[b] among all faces.
      faces: number of all.
      first: where the first batch begins.
      batch_size: of all replicas together.
      share: whose; there is an element for each replica of it.
    """

    make: Callable[[np.ndarray], dict[str, np.ndarray]]
    faces: int
    first: int
    batch_size: int
    share: Share

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        for start in range(self.first, self.faces, self.batch_size):
            places = np.arange(start, min(start + self.batch_size, self.faces))
            for replica in range(self.share.first, self.share.first + self.share.count):
                yield self.make(places[replica :: self.share.total])


class TrainingData:
    """As `pipeline.TrainingData`; faces stay in memory.

    Args:
      data: what to read.
      dataset: from `packed.open_packed`.
      batch_size: global batch; the last batch of an epoch may be smaller.
      seed: of order, augmentation and random regions.
    """

    def __init__(self, data: DataConfig, dataset: packed.Dataset, *, batch_size: int, seed: int):
        self.size = dataset.size(data.train_split)
        if self.size == 0:
            raise ValueError(
                f"`train_split` holds no faces. Received: train_split={data.train_split!r}"
            )
        self._data, self._seed, self._batch_size = data, seed, batch_size
        self._classes = len(dataset.labels)
        self.lesson: Lesson | None = None
        self.steps_per_epoch = -(-self.size // batch_size)
        marks = "vote_marks" if data.target == "votes" else "label_marks"
        self._faces = dataset.read(
            data.train_split,
            names=("image", "label", "votes", "landmarks", "occlusion", marks),
        )
        self._faces.setdefault("occlusion", np.zeros(self.size, np.int64))
        # That of the TFDS dataset: a run may go on with it.
        self.fingerprint = order.fingerprint(self._faces.pop(marks))

    def epoch(self, epoch: int, *, first_step: int = 0, share: Share = WHOLE) -> Batches:
        """The batches of one epoch, from batch `first_step` on."""
        numbers = order.of_epoch(
            self._faces["label"], balanced=self._data.balanced, seed=self._seed, epoch=epoch
        )

        def make(places: np.ndarray) -> dict[str, np.ndarray]:
            faces = {name: array[numbers[places]] for name, array in self._faces.items()}
            keys = draws.face_keys(self._seed, epoch * self.size + places)
            made = _shown(faces, keys, data=self._data, classes=self._classes)
            if self.lesson is not None:
                made["labels"] = self.lesson.mixed(made["labels"], numbers[places])
            return {**made, "occlusion": faces["occlusion"], "key": keys}

        return Batches(
            make=make,
            faces=self.size,
            first=first_step * self._batch_size,
            batch_size=self._batch_size,
            share=share,
        )


def eval_batches(
    data: DataConfig,
    dataset: packed.Dataset,
    *,
    split: str,
    batch_size: int,
    share: Share = WHOLE,
) -> Batches:
    """As `pipeline.eval_batches`."""
    names = ("image", "label", "votes", "landmarks", "id", *_CONDITIONS)
    found = dataset.read(split, names=names)
    size, classes = dataset.size(split), len(dataset.labels)
    found["votes"] = np.nan_to_num(found.get("votes", np.zeros((size, classes), np.float32)))
    for name, kind in _CONDITIONS.items():
        found.setdefault(name, np.zeros(size, kind))

    def make(places: np.ndarray) -> dict[str, np.ndarray]:
        faces = {name: array[places] for name, array in found.items()}
        keys = draws.face_keys(order.EVALUATION_SEED, places)
        made = _shown(faces, keys, data=data, classes=classes)
        for name in ("follows", "landmarks"):
            made.pop(name, None)
        return {
            **made,
            **{name: faces[name] for name in ("label", "votes", "id", *_CONDITIONS)},
            "face": places,
        }

    return Batches(make=make, faces=size, first=0, batch_size=batch_size, share=share)


def _shown(faces: dict, keys: np.ndarray, *, data: DataConfig, classes: int) -> dict:
    """Image, labels, landmarks, boxes, mask and perhaps follows of some faces."""
    count = len(keys)
    nowhere = np.full((count, len(vocabulary.LANDMARKS), 2), np.nan, np.float32)
    landmarks = faces.get("landmarks", nowhere)
    boxes, mask = kinds.make_regions(data.regions, landmarks, keys)
    made = {
        "image": _to_size(faces["image"], size=data.image_size),
        "labels": (
            faces["votes"]
            if data.target == "votes"
            else np.eye(classes, dtype=np.float32)[faces["label"]]
        ),
        "landmarks": landmarks,
        "boxes": boxes,
        "mask": mask,
    }
    if data.regions.follow_landmarks:
        made["follows"] = np.tile(np.arange(data.regions.k) > 0, (count, 1))
    return made


def _to_size(images: np.ndarray, *, size: tuple[int, int]) -> np.ndarray:
    """u8[b, height, width, 3] of u8[b, H, W, C]."""
    if images.shape[-1] == 1:
        images = np.repeat(images, 3, axis=-1)
    if images.shape[1:3] == tuple(size) or not len(images):
        return images.reshape(len(images), *size, 3)
    return np.stack([resampling.resize_array(image, size=size) for image in images])
