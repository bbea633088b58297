"""Drawn faces, some occluded or turned, built from nothing in seconds."""

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from ran_tf.vocabulary import LABELS
from tfds_builders.reading.features import face_features
from tfds_builders.synthetic_faces.drawing import SIZE, draw_face

_SEED = 2020


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """How faces of one kind are hidden or turned.

    Attributes:
        occlusion: one of `OCCLUSIONS`.
        yaw: least and greatest angle in degrees, to either side.
    """

    occlusion: str = "none"
    yaw: tuple[float, float] = (0.0, 20.0)


KINDS = {
    "clean": Kind(),
    "upper": Kind(occlusion="upper"),
    "lower": Kind(occlusion="lower"),
    "side": Kind(occlusion="side"),
    "glasses": Kind(occlusion="glasses"),
    "beyond_30": Kind(yaw=(31.0, 44.0)),
    "beyond_45": Kind(yaw=(46.0, 70.0)),
}

#: How many faces of each kind are in a split; a multiple of eight holds every emotion equally.
SPLITS = {
    "train": dict.fromkeys(KINDS, 40) | {"clean": 3760},
    "validation": dict.fromkeys(KINDS, 8) | {"clean": 752},
    "test": dict.fromkeys(KINDS, 504),
}


def plan(split: str) -> list[str]:
    """The kind of every face of a split, in the order of their index."""
    return [kind for kind, count in SPLITS[split].items() for _ in range(count)]


def make_example(split: str, *, index: int, kind: str) -> dict:
    """The face number `index` of a split; a function of its arguments alone."""
    rng = np.random.default_rng((_SEED, list(SPLITS).index(split), index))
    emotion = LABELS["ferplus"][index % len(LABELS["ferplus"])]
    occlusion = KINDS[kind].occlusion
    yaw = rng.uniform(*KINDS[kind].yaw)
    face = draw_face(rng, emotion=emotion, occlusion=occlusion, yaw=rng.choice((-1, 1)) * yaw)
    return {
        **face,
        "label": emotion,
        "id": f"{split}_{index:05d}",
        "occlusion": occlusion,
        "pose_30": yaw > 30,
        "pose_45": yaw > 45,
    }


def _subsets() -> dict[str, int]:
    """Number of test faces by condition."""
    kinds = [KINDS[kind] for kind in plan("test")]
    return {
        "occlusion": sum(kind.occlusion != "none" for kind in kinds),
        "pose_30": sum(kind.yaw[0] > 30 for kind in kinds),
        "pose_45": sum(kind.yaw[0] > 45 for kind in kinds),
    }


class Builder(tfds.core.GeneratorBasedBuilder):
    """One example is a drawn face; see README.md beside this file."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}

    #: Wraps the faces while they are written; a caller may set a progress bar's `track` here.
    track = staticmethod(lambda faces, description: faces)

    def _info(self) -> tfds.core.DatasetInfo:
        features = face_features(image_shape=(SIZE, SIZE, 3), emotions=LABELS["ferplus"])
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            metadata=tfds.core.MetadataDict(target="label", seed=_SEED, subsets=_subsets()),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        del dl_manager  # nothing to download
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict]]:
        for index, kind in enumerate(self.track(plan(split), description=split)):
            example = make_example(split, index=index, kind=kind)
            yield example["id"], example
