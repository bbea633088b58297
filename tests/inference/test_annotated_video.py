"""Annotated videos: what is drawn where, at which time, and whole or not at all."""

import av
import numpy as np
import pytest

from ran_tf.inference import annotated_video
from ran_tf.inference.following import PersonInFrame, VideoFrame
from ran_tf.inference.prediction import FoundFace, Prediction
from tests.exports.test_export import make_card
from tests.fixtures.moving_faces import BOXES, LABELS, LANDMARKS, portrait

CARD = make_card()
# The square that `align_face` cuts for LANDMARKS["hopper"], margin and drop 0.


def person(number=1, *, weights=(0.3, 0.7), box=(140, 60, 290, 250), name="hopper"):
    prediction = Prediction("light", np.float32([0.1, 0.9]), np.float32(weights), BOXES)
    face = FoundFace(
        prediction,
        box=np.float32(box),
        score=1.0,
        image=np.zeros((8, 8, 3), np.uint8),
        landmarks=LANDMARKS[name],
    )
    return PersonInFrame(number, face=face, smoothed=np.float32([0.2, 0.8]))


def frame(seconds, *people, image=None):
    image = portrait("hopper") if image is None else image
    return VideoFrame(seconds, image=image, people=people)


def draw(*people, image=None):
    return annotated_video.draw_people(frame(0.0, *people, image=image), card=CARD, labels=LABELS)


def changed(*people):
    """Where drawing changed a picture of grey: bool[H, W]."""
    grey = np.full((340, 290, 3), 128, np.uint8)
    clock = draw(image=grey)
    return (draw(*people, image=grey) != clock).any(axis=-1)


def test_each_has_a_box_and_a_plate_of_their_colour():
    drawn = draw(person(1), PersonInFrame(2))
    assert (drawn[215, 60] == annotated_video.colour_of(1)).all()
    assert (drawn[290, 150] == annotated_video.colour_of(1)).all()
    plate = (drawn[90:140] == annotated_video.colour_of(1)).all(axis=-1)
    assert plate.sum() > 1000
    assert len({annotated_video.colour_of(i) for i in range(1, 8)}) == 7
    assert (frame(0.0).image == portrait("hopper")).all(), "the frame's own pixels stay"


def test_the_heaviest_region_is_veiled_where_the_network_saw_it():
    """Its corners, by the alignment itself: pixels of the crop that lie in the region."""
    from ran_tf.faces import align

    shape = (340, 290)
    ys, xs = np.mgrid[: shape[0], : shape[1]]
    size = 200
    # Where each pixel of the photo goes in the crop, by aligning two pictures of coordinates.
    matrix = align.align_for(CARD, portrait("hopper"), LANDMARKS["hopper"], size=size).matrix
    x, y = (matrix[i, 0] * xs + matrix[i, 1] * ys + matrix[i, 2] for i in (0, 1))
    y0, x0, y1, x1 = BOXES[1] * size
    inside = (y > y0) & (y < y1) & (x > x0) & (x < x1)
    box = (0, 0, 1, 1)  # out of the way, as the plate is
    veiled = changed(person(box=box)) & ~changed(person(weights=(0.5, 0.5), box=box))
    veiled[:60] = inside[:60] = False
    assert (veiled == inside).mean() > 0.97
    # The whole face is not veiled, nor one of equal regions.
    assert not changed(person(weights=(0.7, 0.3), box=box))[100:].any()


@pytest.mark.parametrize("box", [(-5, -9, 400, 400), (0, 250, 40, 289), (330, 280, 339, 289)])
def test_faces_at_the_edges(box):
    assert draw(person(box=box)).shape == (340, 290, 3)


def write(path, frames, **options):
    with annotated_video.open_annotated(path, card=CARD, labels=LABELS, **options) as film:
        for one in frames:
            film.add(one)


def read(path):
    with av.open(str(path)) as container:
        return [(f.time, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]


def test_frames_have_the_times_that_they_had(tmp_path):
    """Uneven, one twice at a time, and of odd sides."""
    times = [0.0, 0.2, 0.2, 1.0, 1.033, 4.0]
    image = np.full((91, 121, 3), 60, np.uint8)
    write(tmp_path / "new" / "a.mp4", [frame(t, image=image + 20 * i) for i, t in enumerate(times)])
    found = read(tmp_path / "new" / "a.mp4")
    assert [t for t, _ in found] == pytest.approx([0, 0.2, 1.0, 1.033, 4.0], abs=1e-3)
    assert {f.shape for _, f in found} == {(92, 122, 3)}
    assert [f[10, 10, 1] for _, f in found] == pytest.approx([60, 80, 120, 140, 160], abs=6)


def test_a_frame_of_another_size_is_fitted_in(tmp_path):
    images = [np.full((100, 200, 3), 200, np.uint8), np.full((300, 100, 3), 200, np.uint8)]
    write(tmp_path / "a.mp4", [frame(float(i), image=im) for i, im in enumerate(images)])
    (_, first), (_, second) = read(tmp_path / "a.mp4")
    assert first.shape == second.shape == (100, 200, 3)
    assert first[50, 20].min() > 180 and second[50, 20].max() < 20 and second[50, 100].min() > 180


def test_whole_or_absent(tmp_path):
    path = tmp_path / "a.mp4"
    write(path, [])
    assert list(tmp_path.iterdir()) == []

    def break_off(error):
        with (
            pytest.raises(error),
            annotated_video.open_annotated(path, card=CARD, labels=LABELS) as film,
        ):
            film.add(frame(0.0, person()))
            raise error

    break_off(KeyboardInterrupt)
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"before")
    break_off(RuntimeError)
    assert path.read_bytes() == b"before"
