"""One pass of a model over a split: what it says of every face."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ran_tf import vocabulary
from ran_tf.inference.classifier import Classifier, mirror


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a model says of every face of a split, and what is known of the faces.

    Attributes:
      id: str[b], unique.
      label: i64[b], true classes.
      probabilities: f32[b, n].
      weights: f32[b, k], share of each region in the prediction; region 0 is the whole face.
      mu: f32[b, k], self-attention, or None where the model does not tell (exports).
      occlusion: i64[b], index into `vocabulary.OCCLUSION_KINDS`.
      pose_30, pose_45: bool[b], turned by more than 30 and 45 degrees.
      covered: f32[b, k], how much of each region is covered, by the dataset's list; NaN of a masked
        region; None where nobody looked.
      votes: f32[b, n], shares of the classes in the annotators' votes, zeros where they are not
        known; None where nobody looked.
    """

    id: np.ndarray
    label: np.ndarray
    probabilities: np.ndarray
    weights: np.ndarray
    mu: np.ndarray | None
    occlusion: np.ndarray
    pose_30: np.ndarray
    pose_45: np.ndarray
    covered: np.ndarray | None = None
    votes: np.ndarray | None = None

    def __post_init__(self):
        faces = len(self.id)
        finite = np.isfinite(self.probabilities).all(axis=1)
        if not finite.all():
            raise ValueError(
                "the model's probabilities must be finite; its weights or the face may be "
                f"damaged. Received: {int((~finite).sum())} of {faces} faces, first "
                f"id={str(self.id[np.argmin(finite)])!r}"
            )
        ids, counts = np.unique(self.id, return_counts=True)
        if ids.size != faces:
            raise ValueError(
                "`id` must be unique; prepare the dataset again. "
                f"Received: id={str(ids[np.argmax(counts)])!r} {counts.max()} times"
            )

    @property
    def predicted(self) -> np.ndarray:
        """i64[b], the most probable class."""
        return self.probabilities.argmax(axis=1)

    def subset(self, name: str) -> np.ndarray:
        """bool[b], which faces belong to a subset of `vocabulary.SUBSETS`."""
        return {
            "all": np.ones(len(self.id), bool),
            "occlusion": self.occlusion != vocabulary.OCCLUSIONS.index("none"),
            "pose_30": self.pose_30,
            "pose_45": self.pose_45,
        }[name]

    def in_order_of(self, ids: np.ndarray) -> "Predictions":
        """The same predictions with their rows joined to `ids`, str[b], by id.

        Raises:
          ValueError: unless both hold the same faces.
        """
        missing = np.setxor1d(self.id, ids)
        if missing.size:
            raise ValueError(
                "model and baseline must be evaluated on the same faces. "
                f"Received: {missing.size} ids in only one of them, first {str(missing[0])!r}"
            )
        # The place in `self` of every id: sorted ids line up with sorted ids.
        rows = np.empty(len(ids), np.int64)
        rows[np.argsort(ids)] = np.argsort(self.id)
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        told = {name: values for name, values in fields.items() if values is not None}
        return dataclasses.replace(self, **{name: values[rows] for name, values in told.items()})


def collect(
    classifier: Classifier,
    batches: Iterable[dict],
    *,
    flip_average: bool = False,
    on_faces: Callable[[int], None] = lambda count: None,
) -> Predictions:
    """Runs a model once over the batches of `data.pipeline.eval_batches`.

    Args:
      classifier: the model.
      batches: evaluation batches.
      flip_average: average the probabilities of a face and its mirror image. Region weights and
        `mu` are always those of the face as it is.
      on_faces: told the number of faces of each finished batch.

    Raises:
      ValueError: if there is no face, or the model's output is not finite.
    """
    columns: dict[str, list[np.ndarray]] = {}
    for batch in batches:
        batch = {key: np.asarray(value) for key, value in batch.items()}
        if not len(batch["id"]):  # a last batch without a face for this worker
            continue
        outputs = classifier.predict(batch)
        if flip_average:
            mirrored = classifier.predict(mirror(batch))["probabilities"]
            outputs["probabilities"] = (outputs["probabilities"] + mirrored) / 2
        known = ("id", "label", "occlusion", "pose_30", "pose_45")
        known += tuple({"votes", "covered"} & set(batch))
        for key, value in {**{key: batch[key] for key in known}, **outputs}.items():
            columns.setdefault(key, []).append(value)
        on_faces(len(batch["id"]))
    if not columns:
        raise ValueError("the split must hold at least one face. Received: an empty split")
    arrays: dict[str, Any] = {key: np.concatenate(values) for key, values in columns.items()}
    arrays["id"] = np.char.decode(arrays["id"].astype(bytes), "utf-8")
    return Predictions(**{"mu": None, **arrays})
