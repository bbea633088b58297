"""One's own images in folders that are named by their class."""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import tensorflow_datasets as tfds
from absl import logging
from etils import epath

from tfds_builders.folder_faces import source
from tfds_builders.folder_faces.conditions_file import load_conditions
from tfds_builders.reading import class_folders
from tfds_builders.reading.conditions import CLEAR
from tfds_builders.reading.face_builder import FaceBuilder
from tfds_builders.reading.features import face_features
from tfds_builders.reading.held_out import held_out
from tfds_builders.reading.landmarks import Landmarks


class Builder(FaceBuilder):
    """One example is an image; see README.md beside this file.

    The names of the classes are not known before the folders are read: they are set while the
    dataset is built, kept beside it, and read back when it is opened.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    manual_dir holds images in folders named by class: <split>/<class>/image.jpg with the splits
    train, validation and test, or <class>/image.jpg. It may hold labels.txt (class names in index
    order, one a line), conditions.csv (id,occlusion,pose_30,pose_45) and the landmarks.csv that
    `python -m ran_tf.launch.align` writes.
    """

    @classmethod
    def get_builder_config(cls, name, version=None):
        """A config of any name: `folder_faces/mine` and `folder_faces/other` in one data_dir."""
        return _config(name)

    def _info(self) -> tfds.core.DatasetInfo:
        return self.face_info(face_features(image_shape=(None, None, 3), emotions=None))

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        manual_dir = epath.Path(dl_manager.manual_dir)
        found = source.read_source(manual_dir)
        ids = class_folders.names_of(found.faces, manual_dir=manual_dir)
        conditions = load_conditions(manual_dir, ids=ids)
        landmarks = self.read_landmarks(manual_dir, faces=found.faces, ids=ids)

        self.info.features["label"].names = found.labels
        splits = _with_validation(found.splits)
        self.info.metadata["subsets"] = _count(splits.get("test", ()), conditions=conditions)
        logging.info(
            "folder_faces: %s; classes %s",
            ", ".join(f"{split} {len(faces)}" for split, faces in splits.items()),
            ", ".join(found.labels),
        )
        return {
            split: self._generate_examples(
                split, faces=faces, conditions=conditions, landmarks=landmarks
            )
            for split, faces in splits.items()
        }

    def _generate_examples(
        self,
        split: str,
        *,
        faces: Sequence[class_folders.Face],
        conditions: Mapping[str, dict],
        landmarks: Landmarks,
    ) -> Iterator[tuple[str, dict]]:
        for face in self.track(faces, description=split):
            yield class_folders.make_example(
                face, conditions=conditions.get(face.id, CLEAR), landmarks=landmarks
            )


@functools.cache
def _config(name: str) -> tfds.core.BuilderConfig:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ValueError(
            "the name of a folder_faces dataset must be letters, digits, _ and -. "
            f"Received: {name!r}"
        )
    return tfds.core.BuilderConfig(name=name, description="Images of one folder.")


def _with_validation(
    splits: Mapping[str, Sequence[class_folders.Face]],
) -> dict[str, Sequence[class_folders.Face]]:
    """The splits, with a validation split held out of train where the folders have none."""
    if "validation" in splits or "train" not in splits:
        return dict(splits)
    chosen = held_out({face.id: face.label for face in splits["train"]})
    if not chosen:
        logging.warning(
            "folder_faces: no validation split: no class has the ten images of which one is held "
            "out"
        )
        return dict(splits)
    return {
        "train": [face for face in splits["train"] if face.id not in chosen],
        "validation": [face for face in splits["train"] if face.id in chosen],
        **{split: faces for split, faces in splits.items() if split != "train"},
    }


def _count(
    faces: Sequence[class_folders.Face], *, conditions: Mapping[str, dict]
) -> dict[str, int]:
    """Faces by condition; nothing where no conditions are known."""
    if not conditions or not faces:
        return {}
    values = [conditions.get(face.id, CLEAR) for face in faces]
    return {
        "occlusion": sum(value["occlusion"] != "none" for value in values),
        "pose_30": sum(bool(value["pose_30"]) for value in values),
        "pose_45": sum(bool(value["pose_45"]) for value in values),
    }
