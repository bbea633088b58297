"""SFEW 2.0: faces of films with seven emotions."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import ClassVar

import tensorflow_datasets as tfds
from absl import logging
from etils import epath

from ran_tf.vocabulary import LABELS
from tfds_builders.reading import class_folders
from tfds_builders.reading import landmarks as landmarks_lib
from tfds_builders.reading.conditions import CLEAR
from tfds_builders.reading.features import face_features
from tfds_builders.sfew import source


class Builder(tfds.core.GeneratorBasedBuilder):
    """One example is a face with one of seven emotions; see README.md beside this file."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    manual_dir is the folder that holds the unpacked Train_Aligned_Faces/ and Val_Aligned_Faces/ of
    SFEW 2.0 (in each Angry/, Disgust/, Fear/, Happy/, Neutral/, Sad/, Surprise/), or Train/ and
    Val/. Ask its authors for it: https://users.cecs.anu.edu.au/~few_group/AFEW.html.
    """

    #: Wraps the faces while they are written; a caller may set a progress bar's `track` here.
    track = staticmethod(lambda faces, description: faces)

    #: A caller may set the CSV of landmarks here; `landmarks.csv` in `manual_dir` when None.
    landmarks = None

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                face_features(image_shape=(None, None, 3), emotions=LABELS["sfew"])
            ),
            supervised_keys=("image", "label"),
            homepage="https://users.cecs.anu.edu.au/~few_group/AFEW.html",
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        manual_dir = epath.Path(dl_manager.manual_dir)
        splits = source.read_faces(manual_dir)
        faces = [face for faces in splits.values() for face in faces]
        landmarks = landmarks_lib.load_landmarks(
            self.landmarks,
            manual_dir=manual_dir,
            ids=class_folders.names_of(faces, manual_dir=manual_dir),
        )
        self.info.metadata["subsets"] = {}  # the authors of RAN have no lists for SFEW
        if landmarks:
            self.info.metadata["landmarks"] = landmarks.summary(face.id for face in faces)
        for split, faces in splits.items():
            counts = Counter(face.label for face in faces)
            logging.info("sfew: %s %d: %s", split, len(faces), dict(counts))
        return {
            split: self._generate_examples(split, faces=faces, landmarks=landmarks)
            for split, faces in splits.items()
        }

    def _generate_examples(
        self,
        split: str,
        *,
        faces: Sequence[class_folders.Face],
        landmarks: landmarks_lib.Landmarks | None,
    ) -> Iterator[tuple[str, dict]]:
        for face in self.track(faces, description=split):
            yield class_folders.make_example(face, conditions=CLEAR, landmarks=landmarks)
