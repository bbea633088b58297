"""SFEW 2.0: faces of films with seven emotions."""

from collections import Counter
from typing import ClassVar

import tensorflow_datasets as tfds
from absl import logging
from etils import epath

from ran_tf.vocabulary import LABELS
from tfds_builders.reading import class_folders
from tfds_builders.reading.face_builder import FaceBuilder
from tfds_builders.reading.faces import by_split
from tfds_builders.reading.features import face_features
from tfds_builders.sfew import source


class Builder(FaceBuilder):
    """One example is a face with one of seven emotions; see README.md beside this file."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    manual_dir is the folder that holds the unpacked Train_Aligned_Faces/ and Val_Aligned_Faces/ of
    SFEW 2.0 (in each Angry/, Disgust/, Fear/, Happy/, Neutral/, Sad/, Surprise/), or Train/ and
    Val/. Ask its authors for it: https://users.cecs.anu.edu.au/~few_group/AFEW.html.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return self.face_info(
            face_features(image_shape=(None, None, 3), emotions=LABELS["sfew"]),
            homepage="https://users.cecs.anu.edu.au/~few_group/AFEW.html",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        manual_dir = epath.Path(dl_manager.manual_dir)
        faces = source.read_faces(manual_dir)
        ids = class_folders.names_of(faces, manual_dir=manual_dir)
        landmarks = self.read_landmarks(manual_dir, faces=faces, ids=ids)
        self.info.metadata["subsets"] = {}  # the authors of RAN have no lists for SFEW
        splits = by_split(faces)
        for split, some in splits.items():
            counts = Counter(face.label for face in some)
            logging.info("sfew: %s %d: %s", split, len(some), dict(counts))
        return self.examples(splits, landmarks=landmarks)
