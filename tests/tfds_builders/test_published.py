"""The faces of each class of a copy, held against the published numbers."""

import dataclasses
import types

import pytest

from tfds_builders.affectnet import copied as affectnet
from tfds_builders.ferplus import copied as ferplus
from tfds_builders.raf_db import source
from tfds_builders.reading import published

RAF_DB = source.RELEASE
PUBLISHED = {split: list(numbers) for split, numbers in RAF_DB.counts.items()}


def check(counts, *, release=RAF_DB):
    faces = [
        types.SimpleNamespace(split=split, label=label)
        for split, numbers in counts.items()
        for label, number in enumerate(numbers)
        for _ in range(number)
    ]
    return published.check_counts(faces, release=release, where="copy")


@pytest.mark.parametrize(
    ("release", "totals"),
    [
        (RAF_DB, {"train": 12_271, "test": 3_068}),
        (affectnet.RELEASE, {"train": 287_651, "validation": 4_000}),
        (ferplus.RELEASE, {"train": 25_045, "validation": 3_191, "test": 3_137}),
    ],
    ids=["RAF-DB", "AffectNet", "FERPlus"],
)
def test_published_counts_add_up(release, totals):
    assert {split: sum(n) for split, n in release.counts.items()} == totals


def test_the_published_counts_pass_without_a_word(caplog):
    assert check(PUBLISHED)
    assert not caplog.records


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_published_counts_of_other_classes_are_another_order(split):
    by_alphabet = [n for _, n in sorted(zip(RAF_DB.classes, PUBLISHED[split], strict=True))]
    with pytest.raises(
        ValueError,
        match=rf"copy: {split} has the published numbers of faces, .* in another order than",
    ):
        check(PUBLISHED | {split: by_alphabet})


def with_more(split, number):
    return [PUBLISHED[split][0] + number, *PUBLISHED[split][1:]]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"train": with_more("train", -1)}, "a part of the dataset"),
        ({"test": []}, "a part of the dataset"),
        (
            {"train": with_more("train", -9), "test": with_more("test", 9)},
            "the same total, but split or",
        ),
        ({"validation": [5]}, "more faces, augmented"),
    ],
)
def test_other_counts_are_told(caplog, changed, said):
    assert not check(PUBLISHED | changed)
    assert said in caplog.text


def test_classes_that_no_count_is_published_of_are_left_out():
    release = dataclasses.replace(RAF_DB, classes=(*RAF_DB.classes, "none"))
    assert check({split: [*n, 99] for split, n in PUBLISHED.items()}, release=release)
