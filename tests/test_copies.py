"""The faces of each class of a copy, held against the published numbers."""

import dataclasses

import pytest

from tfds_builders import copies
from tfds_builders.raf_db import copied, source

RAF_DB = copied.RELEASE
PUBLISHED = {split: list(numbers) for split, numbers in RAF_DB.counts.items()}


def test_published_counts_add_up():
    sums = {split: sum(numbers) for split, numbers in PUBLISHED.items()}
    assert sums == source.PUBLISHED


def test_the_published_counts_pass_without_a_word(caplog):
    assert copies.check_counts(PUBLISHED, release=RAF_DB, where="copy")
    assert not caplog.records


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_published_counts_of_other_classes_are_another_order(split):
    by_alphabet = [n for _, n in sorted(zip(RAF_DB.classes, PUBLISHED[split], strict=True))]
    counts = PUBLISHED | {split: by_alphabet}
    with pytest.raises(ValueError, match=rf"copy: {split} has as many .* in another order than"):
        copies.check_counts(counts, release=RAF_DB, where="copy")


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"train": [1300, *PUBLISHED["train"][1:]], "test": PUBLISHED["test"]}, "not the whole"),
        (
            {
                "train": [1280, *PUBLISHED["train"][1:]],
                "test": [339, *PUBLISHED["test"][1:]],
            },
            "as many in all: a reshuffled copy",
        ),
        ({"train": PUBLISHED["train"]}, "not the whole release"),
    ],
)
def test_other_counts_are_told(caplog, counts, said):
    assert not copies.check_counts(counts, release=RAF_DB, where="copy")
    assert said in caplog.text


def test_classes_that_no_count_is_published_of_are_left_out(caplog):
    release = dataclasses.replace(RAF_DB, classes=(*RAF_DB.classes, "none"))
    counts = {split: [*numbers, 99] for split, numbers in PUBLISHED.items()}
    assert copies.check_counts(counts, release=release, where="copy")
