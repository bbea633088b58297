"""One's own images in folders that are named by their class."""

import functools
import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

import tensorflow_datasets as tfds
from absl import logging
from etils import epath

from tfds_builders.folder_faces import source
from tfds_builders.folder_faces.conditions_file import load_conditions
from tfds_builders.reading import class_folders
from tfds_builders.reading.conditions import CLEAR
from tfds_builders.reading.face_builder import FaceBuilder
from tfds_builders.reading.faces import Face, by_split, describe
from tfds_builders.reading.features import face_features
from tfds_builders.reading.held_out import with_validation


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
        faces = found.faces
        if any(face.split == "train" for face in faces):
            faces = with_validation(faces)
        splits = by_split(faces)
        self.info.metadata["subsets"] = _count(splits.get("test", ()), conditions=conditions)
        classes = ", ".join(found.labels)
        logging.info("folder_faces: %s; classes %s", describe(splits), classes)
        return self.examples(splits, landmarks=landmarks, conditions=conditions)


@functools.cache
def _config(name: str) -> tfds.core.BuilderConfig:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ValueError(
            "the name of a folder_faces dataset must consist of letters, digits, _ and -. "
            f"Received: {name!r}"
        )
    return tfds.core.BuilderConfig(name=name, description="Images of one folder.")


def _count(faces: Sequence[Face], *, conditions: Mapping[str, dict]) -> dict[str, int]:
    """Faces by condition; nothing where no conditions are known."""
    if not conditions or not faces:
        return {}
    values = [conditions.get(face.id, CLEAR) for face in faces]
    return {
        "occlusion": sum(value["occlusion"] != "none" for value in values),
        "pose_30": sum(bool(value["pose_30"]) for value in values),
        "pose_45": sum(bool(value["pose_45"]) for value in values),
    }
