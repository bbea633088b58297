"""MTCNN without TensorFlow, beside the package whose weights it runs."""

import numpy as np
import pytest
import skimage.data

from ran_tf.faces import DetectorConfig, create_detector, mtcnn_networks


@pytest.fixture(scope="module")
def package():
    """Its own code, which makes its networks with Keras."""
    return pytest.importorskip("mtcnn").MTCNN(device="CPU:0")


@pytest.mark.parametrize(("name", "side"), [("first", 40), ("second", 24), ("third", 48)])
def test_networks_say_what_the_package_s_say(package, name, side):
    views = np.random.default_rng(0).uniform(-1, 1, (3, side, side, 3)).astype(np.float32)
    network = package.get_stage(stage_id=1 + list(mtcnn_networks.NAMES).index(name)).model
    expected = [np.asarray(array) for array in network(views)]
    said = list(mtcnn_networks.load(name)(views).values())
    assert len(said) == len(expected)
    for one, other in zip(said, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_faces_are_those_that_the_package_finds(package):
    astronaut = skimage.data.astronaut()
    # With another smallest face than 20 pixels the package fails on this photo.
    (want,) = package.detect_faces(astronaut, threshold_onet=0.9, box_format="xyxy")
    ((face,),) = create_detector(DetectorConfig(name="mtcnn", min_face=20 / 512))([astronaut])
    x0, y0, x1, y1 = want["box"]
    np.testing.assert_allclose(face.box, [y0, x0, y1, x1], atol=1)  # it rounds
    assert face.score == pytest.approx(want["confidence"], abs=1e-5)
    names = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
    points = np.float32([want["keypoints"][name] for name in names])
    np.testing.assert_allclose(face.landmarks, points, atol=1)
