"""FERPlus with the RAN authors' occlusion and pose subsets."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from ran_tf.vocabulary import LABELS
from tfds_builders.ferplus import copied, source, votes
from tfds_builders.reading import conditions, ran_lists
from tfds_builders.reading.face_builder import FaceBuilder
from tfds_builders.reading.faces import by_split, describe
from tfds_builders.reading.features import face_features

NO_SUBSETS = (
    "The RAN authors' occlusion and pose lists name faces by FERPlus' file names (fer0032220). "
    "The test images of this copy do not have these names, and nothing else joins the two. Every "
    "face counts as neither occluded nor turned, so there are no results on those subsets."
)


class Builder(FaceBuilder):
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
    fer2013.csv (Kaggle) and fer2013new.csv (Microsoft), or a copy in class folders, such as
    train/anger/fer0000000.png, which has no votes. The RAN authors' lists are downloaded
    unless they are in manual_dir, too: jianfei_occlusion_list.txt, pose_30_ferplus_list.txt,
    pose_45_ferplus_list.txt. manual_dir may also hold a landmarks.csv (see README.md), because
    FERPlus itself has no landmarks.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        target = "votes" if self.builder_config.name == "votes" else "label"
        features = face_features(image_shape=(48, 48, 1), emotions=LABELS["ferplus"])
        features["votes"] = tfds.features.Tensor(
            shape=(len(LABELS["ferplus"]),), dtype=np.float32, doc="Share of each emotion, sum 1."
        )
        return self.face_info(
            features, homepage="https://github.com/microsoft/FERPlus", target=target
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        read = source.read_source(dl_manager.manual_dir)
        if read.protocol is None and self.builder_config.name == "votes":
            raise ValueError(
                "a copy in class folders has no votes: build ferplus/majority, or get the votes "
                f"from https://github.com/microsoft/FERPlus. Received: {read.layout}"
            )
        faces = read.faces
        lists = self._read_lists(read, dl_manager=dl_manager)
        splits = select(faces)
        landmarks = self.read_landmarks(
            dl_manager.manual_dir,
            faces=[face for some in splits.values() for face in some],
            ids={face.id: face.id for face in faces},
        )
        test_ids = {face.id for face in splits.get("test", ())}
        subsets = {
            condition: len(test_ids & {row.id for row in rows}) for condition, rows in lists.items()
        }
        logging.log(
            # Faces of the other round are not those of the paper's tables: say it unasked.
            logging.INFO if read.protocol == "label.csv" else logging.WARNING,
            "ferplus: %s: %s; of the test faces %s",
            f"votes of {read.protocol}, majority protocol of the RAN lists"
            if read.protocol
            else "no votes, classes of the folders",
            describe(splits),
            ", ".join(f"{condition} {count}" for condition, count in subsets.items()) or "unknown",
        )
        self.info.metadata.update(layout=read.layout, protocol=read.protocol, subsets=subsets)
        return self.examples(splits, landmarks=landmarks, conditions=conditions.by_face(lists))

    def _read_lists(self, read: source.Source, *, dl_manager) -> dict[str, list]:
        """The authors' lists, held against the labels; none where no name joins them."""
        if not read.joins:
            logging.warning("ferplus: %s", NO_SUBSETS)
            return {}
        lists = conditions.load_lists(ran_lists.FERPLUS_LISTS, dl_manager=dl_manager)
        known = {face.id: _known(face) for face in read.faces if face.split == "test"}
        if read.protocol is None:
            lists = conditions.present(lists, faces=known, of="the test faces of this copy")
            copied.check_lists(lists, faces=known)
        else:
            conditions.check_lists(
                lists,
                faces=known,
                emotions=LABELS["ferplus"],
                of=source.FOLDERS["test"],
                labels_too=read.protocol == "label.csv",  # of the same round as the lists
            )
        return lists

    def read(self, face: source.Face) -> dict:
        if face.votes is None:
            return {"image": face.pixels(), "votes": _NO_VOTES}
        return {
            "image": face.pixels(),
            "label": votes.strongest(face.votes),
            "votes": votes.distribution(face.votes),
        }


_NO_VOTES = np.full(len(LABELS["ferplus"]), np.nan, np.float32)


def _known(face: source.Face) -> conditions.Known:
    if face.votes is None:
        return conditions.Known(label=face.label, cell=f"label={face.label}", source=face.source)
    return conditions.Known(
        label=votes.majority(face.votes), cell=f"votes={face.votes}", source=face.source
    )


def select(faces: Sequence[source.Face]) -> dict[str, list[source.Face]]:
    """The faces with a class (a majority of votes) by split, and the ambiguous ones of Training."""
    agreed = [f for f in faces if f.votes is None or votes.majority(f.votes) is not None]
    ambiguous = [f for f in faces if f.split == "train" and f.votes and votes.ambiguous(f.votes)]
    splits = by_split(agreed)
    return {**splits, "ambiguous": ambiguous} if ambiguous else splits
