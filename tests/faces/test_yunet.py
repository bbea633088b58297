"""YuNet: its file, and where in the photo its numbers lie."""

import os

import cv2
import numpy as np
import pytest
import skimage.data

from ran_tf.faces import DetectorConfig, create_detector
from tests.faces.test_faces import ASTRONAUT, assert_finds


def test_a_missing_file_says_where_it_is_to_be_had(tmp_path):
    for weights in (None, str(tmp_path / "no.onnx")):
        with pytest.raises(
            FileNotFoundError, match=r"--detector_weights=FILE.*SHA|sha256"
        ) as error:
            create_detector(DetectorConfig(name="yunet", weights=weights))
        assert "https://" in str(error.value)
    with pytest.raises(ValueError, match="#sha256="):
        create_detector(DetectorConfig(name="yunet", weights="https://example.com/y.onnx"))


def test_a_broken_file_is_one_error(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"\x08\x07broken")
    with pytest.raises(ValueError, match=r"broken\.onnx is not a YuNet network.*8 bytes"):
        create_detector(DetectorConfig(name="yunet", weights=str(path)))


@pytest.mark.parametrize("side", [48, 1000])
def test_boxes_and_points_are_those_of_the_photo(monkeypatch, tmp_path, side):
    """OpenCV's answer, x, y, width, height, five points, score, of a resized photo in BGR."""
    seen = []

    class Network:
        def setInputSize(self, size):
            seen.append(size)

        def detect(self, image):
            assert image.shape[1::-1] == seen[-1]
            assert image[0, 0].tolist() == [30, 20, 10]
            unit = np.float32([0.2, 0.3, 0.4, 0.5, *np.arange(10) / 10, 0])
            row = unit * image.shape[0] - np.float32([0.5, 0.5, 0, 0, *[0.5] * 10, 0])
            row[14] = 0.88
            return 1, row[None]

    class Creator:
        @staticmethod
        def create(path, config, size, score, overlap, most):
            assert score == np.float32(0.25)
            return Network()

    monkeypatch.setattr(cv2, "FaceDetectorYN", Creator)
    path = tmp_path / "y.onnx"
    path.write_bytes(b"any")
    settings = DetectorConfig(name="yunet", weights=str(path), min_score=0.25)
    photo = np.full((side, side, 3), (10, 20, 30), np.uint8)
    ((face,),) = create_detector(settings)([photo])
    assert seen[0][0] < side or side == 48
    np.testing.assert_allclose((face.box + 0.5) / side, [0.3, 0.2, 0.8, 0.6], atol=1e-3)
    # Each point has a number of its own, whatever order they are brought into.
    found = (face.landmarks + 0.5) / side
    np.testing.assert_allclose(
        found[np.argsort(found[:, 0])], np.arange(10).reshape(5, 2) / 10, atol=1e-3
    )
    assert face.score == np.float32(0.88)


@pytest.mark.large
def test_the_network_itself():
    """RAN_TF_YUNET names the file."""
    path = os.environ.get("RAN_TF_YUNET")
    if not path:
        pytest.skip("no network: set RAN_TF_YUNET")
    detect = create_detector(DetectorConfig(name="yunet", weights=path))
    photo = skimage.data.astronaut()
    face, large, nothing = detect([photo, cv2.resize(photo, (1500, 1500)), photo * 0])
    assert_finds(face, ASTRONAUT, within=6)
    assert_finds(large, (ASTRONAUT + 0.5) * 1500 / 512 - 0.5, within=18)
    assert nothing == []
