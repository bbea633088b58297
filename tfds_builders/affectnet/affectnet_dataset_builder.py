"""AffectNet, in its original and its numbered release, and copies of them in class folders."""

import collections
import dataclasses
import functools
import importlib.util
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from ran_tf.vocabulary import OCCLUSION_KINDS
from tfds_builders.affectnet import copied, face, numbered, original
from tfds_builders.reading import conditions, ran_lists
from tfds_builders.reading.features import face_features

NO_SUBSETS = (
    "The RAN authors' occlusion and pose lists name faces by the hashed file names of AffectNet's "
    "original release. The numbered release has other names, and nothing joins the two. So this "
    "dataset has no occlusion and pose features, and no results on those subsets. For them, get "
    "the original release from AffectNet's authors (training.csv, validation.csv, "
    "Manually_Annotated_Images/) and build affectnet/original_8."
)

#: Faces by number of classes and split, as papers give them; one validation face of contempt is
#: missing from some copies.
PUBLISHED: dict[int, dict[str, tuple[int, ...]]] = {
    8: {"train": (287_651,), "validation": (4_000, 3_999)},
    7: {"train": (283_901,), "validation": (3_500,)},
}

_RELEASES = {"original": original, "numbered": numbered}
_COUNTERS = "affectnet"  # namespace of the Beam counters

Row = original.Row | numbered.Row | copied.Row
Rows = original.Rows | numbered.Rows | list[copied.Row]


@dataclasses.dataclass(kw_only=True)
class Config(tfds.core.BuilderConfig):
    """Which release, and how many classes.

    Attributes:
        release: "original" or "numbered".
        num_classes: 8, or 7 without contempt.
    """

    release: str
    num_classes: int


def _config(release: str, num_classes: int) -> Config:
    return Config(
        name=f"{release}_{num_classes}",
        description=f"The {release} release; {', '.join(face.EXPRESSIONS[:num_classes])}.",
        release=release,
        num_classes=num_classes,
    )


class Builder(tfds.core.GeneratorBasedBuilder):
    """One example is a face with one of the emotions; see README.md beside this file.

    Faces are read one by one. Where the download config names a Beam runner or Beam options, the
    same examples are made by a Beam pipeline.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    BUILDER_CONFIGS: ClassVar = [
        _config("numbered", 8),
        _config("numbered", 7),
        _config("original", 8),
        _config("original", 7),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    AffectNet is given to researchers who sign its agreement
    (http://mohammadmahoor.com/pages/databases/affectnet/). manual_dir is the folder that holds
    train_set/ and val_set/ (images/ and annotations/ in each) for the configs numbered_8 and
    numbered_7, or training.csv, validation.csv and Manually_Annotated_Images/ for original_8 and
    original_7, or a copy in class folders (train/0 to train/7, Train/anger). The RAN authors'
    lists fit only the original release. They are downloaded unless they are in manual_dir, too:
    occlusion_affectnet_list.txt, pose_30_affectnet_list.txt, pose_45_affectnet_list.txt.
    """

    #: Wraps the faces while they are written; a caller may set a progress bar's `track` here.
    track = staticmethod(lambda faces, description: faces)

    _use_beam = False
    _is_copy = False

    @property
    def _emotions(self) -> tuple[str, ...]:
        return face.EXPRESSIONS[: self.builder_config.num_classes]

    def _info(self) -> tfds.core.DatasetInfo:
        features = face_features(image_shape=(None, None, 3), emotions=self._emotions)
        # 290,000 or 450,000 photos: PNG would take ten times the space.
        features["image"] = tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg")
        features["valence"] = tfds.features.Scalar(np.float32, doc="-1 unpleasant to 1 pleasant.")
        features["arousal"] = tfds.features.Scalar(np.float32, doc="-1 calm to 1 excited.")
        if self.builder_config.release == "original":
            features["occlusion"] = tfds.features.ClassLabel(names=OCCLUSION_KINDS)
        else:
            for condition in ran_lists.AFFECTNET_LISTS:
                del features[condition]
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            homepage="http://mohammadmahoor.com/pages/databases/affectnet/",
            metadata=tfds.core.MetadataDict(),
        )

    def _download_and_prepare(self, dl_manager, download_config):
        self._use_beam = bool(download_config.beam_runner or download_config.beam_options)
        if self._use_beam and importlib.util.find_spec("apache_beam") is None:
            raise ModuleNotFoundError(
                'Apache Beam is not installed: pip install "ran_tf[beam]", or leave out '
                "beam_runner and beam_options to build without it. "
                f"Received: beam_runner={download_config.beam_runner!r}"
            )
        super()._download_and_prepare(dl_manager, download_config)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        layout, splits = self._read(dl_manager.manual_dir)
        if self.builder_config.release == "original":
            lists = conditions.load_lists(ran_lists.AFFECTNET_LISTS, dl_manager=dl_manager)
            known = _by_id(splits["validation"])
            if self._is_copy:
                of = "the validation faces of this copy"
                lists = conditions.present(lists, faces=known, of=of)
            else:
                of = str(splits["validation"].table)
            conditions.check_lists(lists, faces=known, emotions=face.EXPRESSIONS, of=of)
            listed = {condition: {row.id for row in rows} for condition, rows in lists.items()}
            subsets = {
                condition: sum(known[name].label in range(len(self._emotions)) for name in names)
                for condition, names in listed.items()
            }
            note = "faces of the validation split, named by the RAN authors' lists"
            counts = ", ".join(f"{name} {count}" for name, count in subsets.items())
            logging.info("affectnet: of the validation faces %s", counts)
        else:
            listed, subsets, note = None, {}, NO_SUBSETS
            logging.warning("affectnet: %s", NO_SUBSETS)
        self.info.metadata.update(layout=layout, subsets=subsets, subsets_note=note, left_out={})
        return {
            split: self._generate_examples(split, rows=rows, listed=listed)
            for split, rows in splits.items()
        }

    def _read(self, manual_dir) -> tuple[str, Mapping[str, Any]]:
        """What the layout looks like, for people, and the `Rows` of each split."""
        release = self.builder_config.release
        if not any(made.is_there(manual_dir) for made in _RELEASES.values()):
            copy = copied.read_copy(manual_dir, release=release)
            if copy:
                self._is_copy = True
                return copy
        return f"the {release} release", _RELEASES[release].find_splits(manual_dir)

    def _generate_examples(self, split: str, *, rows: Rows, listed: Mapping[str, set[str]] | None):
        if not self._use_beam:
            return self._examples(split, rows=rows, listed=listed)
        beam = tfds.core.lazy_imports.apache_beam
        # The rows themselves would make a pipeline too large for a cluster to accept.
        return (
            beam.Create([rows])
            | "Rows" >> beam.FlatMap(_each)
            | beam.Reshuffle()
            | "Faces"
            >> beam.FlatMap(
                functools.partial(
                    _beam_examples, split=split, num_classes=len(self._emotions), listed=listed
                )
            )
        )

    def _examples(
        self, split: str, *, rows: Rows, listed: Mapping[str, set[str]] | None
    ) -> Iterator[tuple[str, dict]]:
        counts: collections.Counter[int] = collections.Counter()
        for row in self.track(rows, description=split):
            expression = row.expression
            counts[expression] += 1
            if expression < len(self._emotions):
                yield row.key, _example(row, expression, listed=listed)
        self._report(split, counts)

    def _process_pipeline_result(self, pipeline_result):
        super()._process_pipeline_result(pipeline_result)
        beam = tfds.core.lazy_imports.apache_beam
        found = pipeline_result.metrics().query(
            beam.metrics.MetricsFilter().with_namespace(_COUNTERS)
        )
        counts: dict[str, collections.Counter[int]] = collections.defaultdict(collections.Counter)
        for counter in found["counters"]:
            split, expression = counter.key.metric.name.split("/")
            counts[split][int(expression)] = counter.result
        for split, of_split in counts.items():
            self._report(split, of_split)

    def _report(self, split: str, counts: Mapping[int, int]) -> None:
        """Logs and keeps how many faces each class has, and how many of none are left out."""
        kept = {name: counts.get(i, 0) for i, name in enumerate(self._emotions)}
        left_out = {
            name: counts.get(i, 0)
            for i, name in enumerate(face.EXPRESSIONS)
            if i >= len(self._emotions)
        }
        self.info.metadata["left_out"][split] = left_out
        logging.info(
            "affectnet/%s: %s: %d faces (%s); left out %d (%s)",
            self.builder_config.name,
            split,
            sum(kept.values()),
            ", ".join(f"{name} {count}" for name, count in kept.items()),
            sum(left_out.values()),
            ", ".join(f"{name} {count}" for name, count in left_out.items()),
        )
        if not any(kept.values()):
            raise ValueError(
                f"affectnet/{self.builder_config.name}: no face of the {split} split has an "
                "emotion: manual_dir must be the release as published. Received: "
                f"{sum(counts.values())} faces, all left out"
            )
        if self._is_copy:  # held against the release while it was read
            return
        published = PUBLISHED[len(self._emotions)][split]
        if sum(kept.values()) not in published:
            logging.warning(
                "affectnet/%s: %s has %d faces, the published split %s: results are not "
                "comparable.",
                self.builder_config.name,
                split,
                sum(kept.values()),
                " or ".join(f"{count:,}" for count in published),
            )


def _each(rows: Rows) -> Iterator[Row]:
    yield from rows


def _beam_examples(
    row: Row, *, split: str, num_classes: int, listed: Mapping[str, set[str]] | None
) -> Iterator[tuple[str, dict]]:
    """The example of a row, or nothing. A worker gets this alone, hence no method."""
    beam = tfds.core.lazy_imports.apache_beam
    expression = row.expression
    beam.metrics.Metrics.counter(_COUNTERS, f"{split}/{expression}").inc()
    if expression < num_classes:
        yield row.key, _example(row, expression, listed=listed)


def _example(row: Row, expression: int, *, listed: Mapping[str, set[str]] | None) -> dict:
    # A name, not a number: the feature's own order decides the index.
    example = {"label": face.EXPRESSIONS[expression], "id": row.id, **row.face()}
    if listed is not None:
        example["occlusion"] = "unspecified" if row.id in listed["occlusion"] else "none"
        example["pose_30"] = row.id in listed["pose_30"]
        example["pose_45"] = row.id in listed["pose_45"]
    return example


def _by_id(rows: original.Rows) -> dict[str, conditions.Known]:
    """What a table says of each image, by the image's name.

    Raises:
        ValueError: an image has two rows.
    """
    known: dict[str, conditions.Known] = {}
    for row in rows:
        if row.id in known:
            raise ValueError(
                f"{row.source}: repeats the image of {known[row.id].source}: delete one of the two "
                f"rows. Received: id={row.id!r}"
            )
        known[row.id] = conditions.Known(
            label=row.expression, cell=f"expression={row.expression}", source=row.source
        )
    return known
