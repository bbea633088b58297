"""Annotated pictures: everything is there, and the outlines are on the right regions."""

import numpy as np
import pytest

import ran_tf
from ran_tf.inference import annotate
from ran_tf.inference.prediction import Prediction

# One colour a quarter of the face, none of them that of an outline.
QUARTERS = {"top left": (250, 200, 0), "top right": (0, 200, 0)}
QUARTERS |= {"bottom left": (90, 0, 200), "bottom right": (0, 220, 220)}


def make_face(height=40, width=40):
    face = np.zeros((height, width, 3), np.uint8)
    for name, colour in QUARTERS.items():
        rows = slice(0, height // 2) if "top" in name else slice(height // 2, None)
        columns = slice(0, width // 2) if "left" in name else slice(width // 2, None)
        face[rows, columns] = colour
    return face


def make_prediction(weights, boxes, *, label="happiness"):
    probabilities = np.float32([0.873, 0.127])
    return Prediction(label, probabilities, np.float32(weights), np.float32(boxes))


def box_of(picture, colour):
    """y0, x0, y1, x1 of the pixels of exactly one colour, or None."""
    rows, columns = np.nonzero((picture == colour).all(axis=-1))
    return (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1) if rows.size else None


def inside_outline(picture, colour, *, tile):
    """The tile whose outline has a colour; its caption below has the same one."""
    _, x0, _, x1 = box_of(picture, colour)
    thick = (x1 - x0 - tile) // 2
    y0 = box_of(picture, colour)[0]
    return picture[y0 + thick : y0 + thick + tile, x0 + thick : x0 + thick + tile]


@pytest.mark.parametrize(
    ("highest", "lowest"), [("top left", "bottom right"), ("bottom left", "top right")]
)
def test_outlines_are_on_the_right_regions(highest, lowest):
    boxes = {"whole": (0, 0, 1, 1), "top left": (0, 0, 0.5, 0.5), "top right": (0, 0.5, 0.5, 1)}
    boxes |= {"bottom left": (0.5, 0, 1, 0.5), "bottom right": (0.5, 0.5, 1, 1)}
    weights = [{highest: 0.4, lowest: 0.1}.get(name, 1 / 6) for name in boxes]
    picture = ran_tf.annotate_face(
        make_face(), make_prediction(weights, list(boxes.values())), tile=60
    )
    assert picture.dtype == np.uint8
    for colour, name in ((annotate.HIGHEST, highest), (annotate.LOWEST, lowest)):
        # The large copy is sampled linearly: its middle is one pixel's blend off the quarter.
        middle = inside_outline(picture, colour, tile=60)[4:-4, 4:-4]
        np.testing.assert_array_equal(middle.reshape(-1, 3), [QUARTERS[name]] * (52 * 52))


@pytest.mark.parametrize("k", [1, 2, 6, 8, 9, 16])
def test_every_region_has_its_tile(k):
    """The whole face of k stripes once at the left, then stripe i in the i-th tile, row by row."""
    colours = [(10 * i + 20, 255 - 10 * i, 128) for i in range(k)]
    face = np.repeat(np.uint8(colours), 12, axis=0)[np.newaxis].repeat(12 * k, axis=0)
    boxes = [(0, i / k, 1, (i + 1) / k) for i in range(k)]
    picture = annotate.annotate_face(face, make_prediction(np.full(k, 1 / k), boxes), tile=48)
    coloured = ~(picture[30:] == 255).all(axis=(0, 2))
    first = int(np.argmax(coloured))
    end = first + int(np.argmin(coloured[first:]))
    whole, tiles = picture[:, :end], picture[:, end:]
    tall = 48 if k <= 8 else 48 + 48 + round(0.12 * 48) + round(0.16 * 48)
    # Its last stripe ends where the face does.
    assert box_of(whole, colours[-1])[2:] == (box_of(whole, colours[0])[0] + tall, first + tall)
    if k == 1:
        assert not (tiles == colours[0]).all(axis=-1).any(), "the face alone"
        return
    # The face is scaled twice on its way into a tile; the colour holds in the middle.
    rows, columns = np.array([box_of(tiles, colour)[2:] for colour in colours]).T
    for i in range(1, k):
        if i % 8:
            assert columns[i] > columns[i - 1] + 40 and rows[i] == rows[i - 1]
        else:
            assert rows[i] > rows[i - 1] + 48 and abs(columns[i] - columns[0]) <= 1
    assert box_of(picture, annotate.HIGHEST) is box_of(picture, annotate.LOWEST) is None, "equal"


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 500), (500, 1), (30, 90), (300, 200)])
def test_faces_of_any_size(shape):
    weights = [0.1, 0.3, 0.15, 0.15, 0.2, 0.1]
    face = np.full((*shape, 3), (1, 128, 7), np.uint8)
    prediction = make_prediction(weights, ran_tf.fixed_boxes(6))
    picture = annotate.annotate_face(face, prediction, tile=64)
    square = annotate.annotate_face(np.full((9, 9, 3), 0, np.uint8), prediction, tile=64)
    assert picture.shape == square.shape
    y0, x0, y1, x1 = box_of(picture, (1, 128, 7))
    assert y0 > 0 and x0 > 0 and y1 < picture.shape[0] and x1 < picture.shape[1]
    # The face keeps its proportions; it is the first thing from the left.
    first = (picture == (1, 128, 7)).all(axis=-1)[:, x0:]
    width = int(np.argmin(first.any(axis=0)))
    height = int(first[:, :width].any(axis=1).sum())
    assert max(height, width) == 64
    assert height / width == pytest.approx(
        shape[0] / shape[1], abs=1 / min(height, width)
    ) or 1 in (
        height,
        width,
    )


def test_the_title_fits_and_is_written():
    plain = make_prediction([1.0], [(0, 0, 1, 1)], label="joy")
    long = make_prediction([1.0], [(0, 0, 1, 1)], label="sehr überraschter Gesichtsausdruck")
    face = make_face()
    short, wide = (annotate.annotate_face(face, p, tile=64) for p in (plain, long))
    assert wide.shape[1] > short.shape[1]
    for picture in (short, wide):
        ink = (picture < 128).all(axis=-1)
        assert ink[:20].any(), "a title"
        assert not ink[:20, -3:].any(), "not cut off"
        assert (picture[[0, -1]] == 255).all() and (picture[:, [0, -1]] == 255).all()


@pytest.mark.parametrize(
    "face",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        [[1]],
    ],
)
def test_other_arrays_are_refused(face):
    with pytest.raises(ValueError, match=r"`face` must be u8\[H, W, 3\].*Received: face.shape="):
        annotate.annotate_face(face, make_prediction([1.0], [(0, 0, 1, 1)]))
    with pytest.raises(ValueError, match="`tile` must be at least 16"):
        annotate.annotate_face(make_face(), make_prediction([1.0], [(0, 0, 1, 1)]), tile=3)
