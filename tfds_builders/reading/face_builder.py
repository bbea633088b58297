"""What the builders of face datasets share."""

import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow_datasets as tfds
from etils import epath

from tfds_builders.reading import stored_image
from tfds_builders.reading.conditions import CLEAR
from tfds_builders.reading.landmarks import Landmarks, load_landmarks

_NO_CONDITIONS: Mapping[str, Mapping] = types.MappingProxyType({})


# TFDS takes this argument, and has no types to say so.
class FaceBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """A builder of faces whose landmarks may come from a CSV file."""

    #: Wraps the faces while they are written; a caller may set a progress bar's `track` here.
    track = staticmethod(lambda faces, description: faces)

    #: A caller may set the CSV of landmarks here; `landmarks.csv` beside the images when None.
    landmarks = None

    def face_info(
        self, features: dict, *, homepage: str | None = None, target: str = "label"
    ) -> tfds.core.DatasetInfo:
        """The dataset's description; `_split_generators` adds metadata to it."""
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", target),
            homepage=homepage,
            metadata=tfds.core.MetadataDict(),
        )

    def read_landmarks(
        self,
        manual_dir: epath.PathLike,
        *,
        faces: Iterable[Any],
        ids: Mapping[str, str | None] | None = None,
    ) -> Landmarks:
        """The landmarks that there are, see `load_landmarks`; how many is noted as metadata.

        Args:
            manual_dir: folder that may hold `landmarks.csv`.
            faces: of the dataset, each with its `id`.
            ids: id by each name that a row may have for a face; None is the ids themselves.
        """
        known = [face.id for face in faces]
        ids = {name: name for name in known} if ids is None else ids
        found = load_landmarks(self.landmarks, manual_dir=manual_dir, ids=ids)
        if found.path:
            self.info.metadata["landmarks"] = found.summary(known)
        return found

    def examples(
        self,
        splits: Mapping[str, Sequence[Any]],
        *,
        landmarks: Landmarks,
        conditions: Mapping[str, Mapping] | None = _NO_CONDITIONS,
    ) -> dict[str, Iterator[tuple[str, dict]]]:
        """What `_split_generators` returns.

        Args:
            splits: `faces.Face` by split.
            landmarks: of the faces.
            conditions: occlusion and pose flags by face id, `CLEAR` of others; None where the
              dataset has no such features.
        """
        return {
            split: self._generate_examples(
                split, faces=faces, landmarks=landmarks, conditions=conditions
            )
            for split, faces in splits.items()
        }

    def _generate_examples(
        self,
        split: str,
        *,
        faces: Sequence[Any],
        landmarks: Landmarks,
        conditions: Mapping[str, Mapping] | None,
    ) -> Iterator[tuple[str, dict]]:
        for face in self.track(faces, description=split):
            known = {} if conditions is None else conditions.get(face.id, CLEAR)
            example = {"id": face.id, "label": face.label, "landmarks": landmarks.of(face.id)}
            yield face.id, {**example, **known, **self.read(face)}

    def read(self, face: Any) -> dict:
        """The image of a face, and what else a dataset has.

        Raises:
            ValueError: an image that does not decode.
        """
        # Upright, as the detector saw it that the landmarks are from.
        image = stored_image.load_image(face.image, named_by=face.source, upright=True)
        return {"image": image.encoded}
