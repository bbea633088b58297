"""FER2013 with its own seven classes."""

from typing import ClassVar

import tensorflow_datasets as tfds
from absl import logging

from ran_tf.vocabulary import LABELS
from tfds_builders.fer2013 import source
from tfds_builders.ferplus.source import Face
from tfds_builders.reading.conditions import CLEAR
from tfds_builders.reading.face_builder import FaceBuilder
from tfds_builders.reading.faces import by_split, describe
from tfds_builders.reading.features import face_features

NO_SUBSETS = (
    "The RAN authors' occlusion and pose lists name faces by FERPlus' file names. FER2013 does "
    "not have these names, so this dataset has no occlusion and pose features."
)


class Builder(FaceBuilder):
    """One example is a face with one of seven emotions; see README.md beside this file."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    manual_dir is the folder that holds fer2013.csv or icml_face_data.csv (Kaggle), or a copy in
    class folders, such as train/happy and test/happy. It may also hold a landmarks.csv (see
    README.md).
    """

    def _info(self) -> tfds.core.DatasetInfo:
        features = face_features(image_shape=(48, 48, 1), emotions=LABELS["fer2013"])
        for condition in CLEAR:
            del features[condition]
        return self.face_info(
            features,
            homepage="https://www.kaggle.com/c/"
            "challenges-in-representation-learning-facial-expression-recognition-challenge",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        read = source.read_source(dl_manager.manual_dir)
        landmarks = self.read_landmarks(dl_manager.manual_dir, faces=read.faces)
        self.info.metadata.update(layout=read.layout, subsets={}, subsets_note=NO_SUBSETS)
        splits = by_split(read.faces)
        logging.info("fer2013: %s", describe(splits))
        return self.examples(splits, landmarks=landmarks, conditions=None)

    def read(self, face: Face) -> dict:
        return {"image": face.pixels()}
