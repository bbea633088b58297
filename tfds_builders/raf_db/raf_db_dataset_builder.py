"""RAF-DB with the RAN authors' occlusion and pose subsets."""

from typing import ClassVar

import tensorflow_datasets as tfds
from absl import logging

from ran_tf.vocabulary import LABELS
from tfds_builders.raf_db import annotation, source
from tfds_builders.reading import conditions, ran_lists, stored_image
from tfds_builders.reading.face_builder import FaceBuilder
from tfds_builders.reading.faces import by_split
from tfds_builders.reading.features import face_features
from tfds_builders.reading.held_out import with_validation

NO_SUBSETS = (
    "The RAN authors' occlusion and pose lists name faces by RAF-DB's file names (test_0001). The "
    "test images of this copy do not have these names, and nothing else joins the two. Every face "
    "counts as neither occluded nor turned, so there are no results on those subsets."
)

_ALIGNED_SIDE = 100  # pixels


class Builder(FaceBuilder):
    """One example is a face with one of seven basic emotions; see README.md beside this file."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    BUILDER_CONFIGS: ClassVar = [
        tfds.core.BuilderConfig(
            name="aligned", description="RAF-DB's aligned faces, 100x100; landmarks unknown."
        ),
        tfds.core.BuilderConfig(
            name="original", description="The whole images, of any size, with five landmarks."
        ),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    manual_dir is RAF-DB's folder `basic`, with EmoLabel/list_patition_label.txt and the unpacked
    Image/aligned/ (or, for the config `original`, Image/original/ and Annotation/manual/), or a
    copy of the aligned faces in class folders (train/1 to train/7, test/1 to test/7). Ask its
    authors for it: http://www.whdeng.cn/RAF/model1.html. The RAN authors' lists are downloaded
    unless they are in manual_dir, too: rafdb_occlusion_list.txt, val_raf_db_list.txt,
    val_raf_db_list_45.txt.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        side = _ALIGNED_SIDE if self.builder_config.name == "aligned" else None
        return self.face_info(
            face_features(image_shape=(side, side, 3), emotions=LABELS["raf_db"]),
            homepage="http://www.whdeng.cn/RAF/model1.html",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        form = self.builder_config.name
        found = source.read_source(dl_manager.manual_dir, form=form)
        faces = found.faces
        lists = self._read_lists(found, dl_manager=dl_manager)
        landmarks = self.read_landmarks(
            found.images,
            faces=faces,
            ids={name: f.id for f in faces for name in (f.id, f"{f.id}_aligned")},
        )
        annotated = form == "original" and not landmarks.path
        annotations = annotation.find(found.root) if annotated else {}
        self.info.metadata["layout"] = found.layout
        self._describe(lists, faces=faces, annotated=annotated, annotations=annotations)

        self._annotations, self._landmarks_file = annotations, bool(landmarks.path)
        return self.examples(
            by_split(with_validation(faces)),
            landmarks=landmarks,
            conditions=conditions.by_face(lists),
        )

    def _read_lists(self, found: source.Source, *, dl_manager) -> dict[str, list]:
        """The authors' lists, held against the labels; none where no name joins them."""
        if not found.joins:
            logging.warning("raf_db: %s", NO_SUBSETS)
            return {}
        known = {
            face.id: conditions.Known(
                label=face.label, cell=f"label={face.label + 1}", source=face.source
            )
            for face in found.faces
            if face.split == "test"
        }
        lists = conditions.load_lists(ran_lists.RAF_DB_LISTS, dl_manager=dl_manager)
        if found.is_copy:
            lists = conditions.present(lists, faces=known, of="the test faces of this copy")
        conditions.check_lists(
            lists, faces=known, emotions=LABELS["raf_db"], of="the test part of the list of labels"
        )
        return lists

    def _describe(self, lists, *, faces, annotated, annotations):
        """Puts what was read into the metadata and the log."""
        subsets = {condition: len(rows) for condition, rows in lists.items()}
        self.info.metadata["subsets"] = subsets
        if annotations:
            known = sum(face.id in annotations for face in faces)
            self.info.metadata["landmarks"] = {
                "known": known,
                "not_found": 0,
                "no_row": len(faces) - known,
            }
        elif annotated:
            logging.warning(
                "raf_db: no landmarks. To have them, unpack Annotation/manual.zip to "
                "Annotation/manual/"
            )
        logging.info(
            "raf_db: %s; of the test faces %s",
            ", ".join(f"{split} {number}" for split, number in source.count(faces).items()),
            ", ".join(f"{condition} {number}" for condition, number in subsets.items()),
        )

    def read(self, face: source.Face) -> dict:
        # The annotators' tools ignored EXIF data, as TensorFlow does; our detectors do not.
        found = self._landmarks_file
        image = stored_image.load_image(face.image, named_by=face.source, upright=found)
        if self.builder_config.name == "aligned":
            _check_side(image, face=face)
        if found:
            return {"image": image.encoded}
        points = annotation.read_landmarks(
            self._annotations.get(face.id), height=image.height, width=image.width
        )
        return {"image": image.encoded, "landmarks": points}


def _check_side(image: stored_image.StoredImage, *, face: source.Face):
    if (image.height, image.width) != (_ALIGNED_SIDE, _ALIGNED_SIDE):
        raise ValueError(
            f"{face.image} (named by {face.source}) must be {_ALIGNED_SIDE}x{_ALIGNED_SIDE} "
            "pixels as in RAF-DB: use the published image, or the dataset folder_faces for your "
            f"own images. Received: shape={(image.height, image.width)}"
        )
