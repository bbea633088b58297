"""What the builders of face datasets share."""

from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow_datasets as tfds
from etils import epath

from tfds_builders.reading.landmarks import Landmarks, load_landmarks


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
