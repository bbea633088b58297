"""A video with its people by the functions behind `predict`: rows, tables, drawings."""

import csv

import numpy as np
import pytest

import ran_tf
from ran_tf.checks import InvalidArgument
from ran_tf.inference import video
from tests.exports.test_export import make_card
from tests.fixtures.moving_faces import LABELS, Squares
from tests.fixtures.video_files import write_clip

SIZE = (160, 96)


class Known(Squares):
    """As far as files ask a `ran_tf.Predictor`."""

    source, detector, card = "squares", "squares", make_card(labels=LABELS)


def picture(i: int) -> np.ndarray:
    """Red is there in frames 2 to 5, and 8 and 9 of ten."""
    image = np.full((SIZE[1], SIZE[0], 3), 120, np.uint8)
    if 2 <= i < 6 or i >= 8:
        image[30:70, 20 + 4 * i : 60 + 4 * i] = (220, 30, 30)
    return image


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "a.mp4"
    return write_clip(path, [picture(i) for i in range(10)], codec="libx264", size=SIZE)


def test_rows_drawings_and_tables_say_the_same(clip, tmp_path):
    done = ran_tf.predict_to_file(
        Known(),
        [clip],
        tmp_path / "rows.csv",
        align=True,
        every=0.1,
        annotate=tmp_path,
        timeline=tmp_path / "time.svg",
    )
    assert (done.photos, done.faces, done.failed) == (1, 6, 0)
    with (tmp_path / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["seconds"]) for row in rows] == pytest.approx([i / 10 for i in range(10)])
    assert [row["person"] for row in rows] == [""] * 2 + ["1"] * 8
    seen = [bool(row["label"]) for row in rows]
    assert seen == [2 <= i < 6 or i >= 8 for i in range(10)]
    for i, row in enumerate(rows):
        filled = {name for name, cell in row.items() if cell}
        if seen[i]:
            assert {"score", "y0", "s_dark", "p_light", "w_1", "annotated"} <= filled
            assert abs(float(row["x0"]) - (20 + 4 * i)) <= 2 and not row["face"]
        else:
            assert filled <= {"path", "seconds", "person"}
    drawn = list(video.read_frames(tmp_path / "a.mp4", every=0))
    assert len(drawn) == 10 and rows[2]["annotated"] == str(tmp_path / "a.mp4")
    text = (tmp_path / "time.svg").read_text()
    assert "person 1" in text and "a.mp4" in text and LABELS[0] in text


def test_what_was_there_stays_if_nobody_comes_for_the_rows(clip, tmp_path):
    (tmp_path / "time.png").write_bytes(b"before")
    rows = ran_tf.predict_files(
        Known(), [clip], align=True, annotate=tmp_path / "out", timeline=tmp_path / "time.png"
    )
    next(rows)
    rows.close()
    assert (tmp_path / "time.png").read_bytes() == b"before"
    assert list((tmp_path / "out").iterdir()) == []


def test_a_video_without_anybody_has_no_timeline(tmp_path):
    path = write_clip(tmp_path / "a.mp4", [90] * 10)
    rows = list(
        ran_tf.predict_files(Known(), [path], align=True, every=0.5, timeline=tmp_path / "time.png")
    )
    assert rows[:2] == [{"path": str(path), "seconds": s} for s in (0.0, 0.5)]
    assert rows[2:] == [{"path": str(path), "error": "no face was found in any of 2 frames"}]
    assert not (tmp_path / "time.png").exists()


@pytest.mark.parametrize(
    ("count", "align", "file", "said"),
    [
        (1, True, "a.txt", "ends in"),
        (1, False, "a.png", "absent without align"),
        (0, True, "a.png", r"for exactly one video .*there are 0\)"),
        (2, True, "a.png", r"for exactly one video .*there are 2\)"),
    ],
)
def test_a_timeline_is_of_one_video(count, align, file, said, clip, tmp_path):
    paths = [clip, clip.with_name("b.mp4")][:count]
    with pytest.raises(InvalidArgument, match=f"`timeline` must be .*{said}"):
        next(ran_tf.predict_files(Known(), paths, align=align, timeline=tmp_path / file))
