"""FERPlus with the RAN authors' occlusion and pose subsets."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from tfds_builders import conditions, ran_lists
from tfds_builders import landmarks as landmarks_lib
from tfds_builders.features import FERPLUS_EMOTIONS, face_features
from tfds_builders.ferplus import source, votes


class Builder(tfds.core.GeneratorBasedBuilder):
    """One example is a face, in most splits one whose annotators agree; see README.md here."""

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES: ClassVar = {
        "1.0.0": "First release.",
        "1.1.0": "The split `ambiguous`; the others are unchanged.",
    }
    BUILDER_CONFIGS: ClassVar = [
        tfds.core.BuilderConfig(
            name="majority", description="The target is the class most annotators chose: `label`."
        ),
        tfds.core.BuilderConfig(
            name="votes",
            description="The target is the annotators' distribution: `votes`. Same faces.",
        ),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    manual_dir is the folder that holds FER2013Train/, FER2013Valid/ and FER2013Test/ (images and
    label.csv in each, as written by https://github.com/microsoft/FERPlus), or the two files
    fer2013.csv (Kaggle) and fer2013new.csv (Microsoft). The RAN authors' lists are downloaded
    unless they lie in it too: jianfei_occlusion_list.txt, pose_30_ferplus_list.txt,
    pose_45_ferplus_list.txt. So may a landmarks.csv (see README.md); FERPlus itself has none.
    """

    #: Wraps the faces while they are written; a caller may set a progress bar's `track` here.
    track = staticmethod(lambda faces, description: faces)

    #: A caller may set the CSV of landmarks here; `landmarks.csv` in `manual_dir` when None.
    landmarks = None

    def _info(self) -> tfds.core.DatasetInfo:
        target = "votes" if self.builder_config.name == "votes" else "label"
        features = face_features(image_shape=(48, 48, 1), emotions=FERPLUS_EMOTIONS)
        features["votes"] = tfds.features.Tensor(
            shape=(len(FERPLUS_EMOTIONS),), dtype=np.float32, doc="Share of each emotion, sum 1."
        )
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", target),
            homepage="https://github.com/microsoft/FERPlus",
            metadata=tfds.core.MetadataDict(target=target),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        protocol, faces = source.read_faces(dl_manager.manual_dir)
        lists = conditions.load_lists(ran_lists.FERPLUS_LISTS, dl_manager=dl_manager)
        same_round = protocol == "label.csv"  # as the lists
        splits = select(faces)
        conditions.check_lists(
            lists,
            faces={
                face.id: conditions.Known(
                    label=votes.majority(face.votes),
                    cell=f"votes={face.votes}",
                    source=face.source,
                )
                for face in faces
                if face.split == "test"
            },
            emotions=FERPLUS_EMOTIONS,
            of=source.FOLDERS["test"],
            labels_too=same_round,
        )

        found = landmarks_lib.load_landmarks(
            self.landmarks, manual_dir=dl_manager.manual_dir, ids={f.id: f.id for f in faces}
        )

        test_ids = {face.id for face in splits["test"]}
        subsets = {
            condition: len(test_ids & {row.id for row in rows}) for condition, rows in lists.items()
        }
        logging.log(
            # Faces of the other round are not those of the paper's tables: say it unasked.
            logging.INFO if same_round else logging.WARNING,
            "ferplus: votes of %s, majority protocol of the RAN lists: %s; of the test faces %s",
            protocol,
            ", ".join(f"{split} {len(faces)}" for split, faces in splits.items()),
            ", ".join(f"{condition} {count}" for condition, count in subsets.items()),
        )
        self.info.metadata.update(protocol=protocol, subsets=subsets)
        if found:
            self.info.metadata["landmarks"] = found.summary(
                face.id for faces in splits.values() for face in faces
            )
        return {
            split: self._generate_examples(split, faces=faces, lists=lists, landmarks=found)
            for split, faces in splits.items()
        }

    def _generate_examples(
        self,
        split: str,
        *,
        faces: Sequence[source.Face],
        lists: dict[str, list[conditions.ListRow]],
        landmarks: landmarks_lib.Landmarks | None,
    ) -> Iterator[tuple[str, dict]]:
        listed = conditions.by_face(lists)
        for face in self.track(faces, description=split):
            yield (
                face.id,
                {
                    "image": face.pixels(),
                    "label": votes.strongest(face.votes),
                    "votes": votes.distribution(face.votes),
                    "id": face.id,
                    **listed.get(face.id, conditions.CLEAR),
                    "landmarks": landmarks.of(face.id) if landmarks else landmarks_lib.UNKNOWN,
                },
            )


def select(faces: Sequence[source.Face]) -> dict[str, list[source.Face]]:
    """The faces with a majority by split, and the ambiguous ones of Training."""
    agreed = [face for face in faces if votes.majority(face.votes) is not None]
    splits = {split: [face for face in agreed if face.split == split] for split in source.FOLDERS}
    ambiguous = [f for f in faces if f.split == "train" and votes.ambiguous(f.votes)]
    # TFDS writes no empty split.
    return {**splits, "ambiguous": ambiguous} if ambiguous else splits
