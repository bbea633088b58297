"""Detectors, landmark order, alignment."""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import textwrap

import cv2
import numpy as np
import pytest
import skimage.data
import skimage.transform

from ran_tf.faces import DetectorConfig, Face, align_face, create_detector
from ran_tf.faces import align as align_lib
from ran_tf.faces.detect import tell_of_crowd
from ran_tf.faces.face import order_landmarks

# Read off the photo by eye, x,y: image-left eye, image-right eye, nose, mouth corners.
ASTRONAUT = np.array([[203, 101], [245, 102], [224, 127], [203, 139], [245, 140]], np.float32)


@pytest.fixture(scope="module")
def astronaut():
    return skimage.data.astronaut()


@pytest.fixture(scope="module")
def crop48(astronaut):
    """The astronaut's face as FERPlus shows faces, and its landmarks in that crop."""
    y, x, side = 60, 165, 120
    crop = cv2.resize(astronaut[y : y + side, x : x + side], (48, 48), interpolation=cv2.INTER_AREA)
    return crop, (ASTRONAUT - (x, y) + 0.5) * 48 / side - 0.5


def assert_finds(faces, landmarks, *, within):
    assert len(faces) == 1
    assert faces[0].landmarks.dtype == np.float32
    np.testing.assert_allclose(faces[0].landmarks, landmarks, atol=within)
    y0, x0, y1, x1 = faces[0].box
    assert (landmarks > (x0, y0)).all() and (landmarks < (x1, y1)).all()


def test_mtcnn_finds_a_face_and_its_mirror_image(astronaut):
    detect = create_detector(DetectorConfig(name="mtcnn"))
    face, mirrored, nothing = detect([astronaut, astronaut[:, ::-1], np.zeros_like(astronaut)])
    assert_finds(face, ASTRONAUT, within=4)
    # The names stay with the sides of the image, not with the sides of the person.
    expected = (511 - ASTRONAUT[:, 0])[[1, 0, 2, 4, 3]], ASTRONAUT[[1, 0, 2, 4, 3], 1]
    assert_finds(mirrored, np.stack(expected, axis=1), within=4)
    assert nothing == []


def test_mtcnn_searches_large_photos_at_max_side(astronaut):
    detect = create_detector(DetectorConfig(name="mtcnn", max_side=512))
    large = cv2.resize(astronaut, (1024, 1024), interpolation=cv2.INTER_LINEAR)
    assert_finds(detect([large])[0], ASTRONAUT * 2 + 0.5, within=8)


@pytest.mark.parametrize("min_face", [0.05, 0.5, 1.0])  # mtcnn alone finds nothing with the last.
def test_mtcnn_finds_tight_faces_of_48_pixels(crop48, min_face):
    crop, landmarks = crop48
    detect = create_detector(DetectorConfig(name="mtcnn", pad=0.25, min_face=min_face))
    # A batch gives what single photos give; so do batches of mixed sizes.
    grey = np.full((48, 48, 3), 127, np.uint8)
    batch = detect([grey, crop, crop[:, ::-1], crop[:, :46]])
    assert batch[0] == []
    assert_finds(batch[1], landmarks, within=2)
    alone = detect([crop])[0]
    np.testing.assert_allclose(batch[1][0].landmarks, alone[0].landmarks, atol=1e-3)
    assert len(batch[3]) == 1


def test_a_missed_face_is_tried_in_the_mirror(monkeypatch):
    seen = []

    def search(images, min_sides):
        seen.append(len(images))
        landmarks = np.array([[2, 3], [6, 3], [4, 5], [2, 8], [7, 8]], np.float32)
        face = Face(box=np.array([1, 1, 9, 8], np.float32), score=0.9, landmarks=landmarks)
        # Finds a face only where the upper left pixel is white.
        return [[face] if image[0, 0, 0] == 255 else [] for image in images]

    monkeypatch.setattr("ran_tf.faces.mtcnn_search.create_search", lambda *_, **__: search)
    black = np.zeros((10, 20, 3), np.uint8)
    left, right = black.copy(), black.copy()
    left[0, 0] = right[0, -1] = 255
    detect = create_detector(DetectorConfig(name="mtcnn", retry_mirrored=True))
    found = detect([left, black, right])
    assert seen == [3, 2]
    assert found[1] == []
    np.testing.assert_array_equal(found[0][0].landmarks[0], [2, 3])
    np.testing.assert_array_equal(found[2][0].box, [1, 11, 9, 18])
    np.testing.assert_array_equal(
        found[2][0].landmarks, [[13, 3], [17, 3], [15, 5], [12, 8], [17, 8]]
    )


def test_a_missed_face_is_tried_turned(monkeypatch):
    """Of two turns that show one the better face, in pixels of the photo as it is."""
    landmarks = np.array([[2, 3], [6, 3], [4, 5], [2, 8], [7, 8]], np.float32)
    seen = []

    def search(images, min_sides):
        seen.append([image.shape[:2] for image in images])
        box = np.array([1, 1, 9, 8], np.float32)
        # As sure as the upper left pixel is white; above half of white.
        scores = [float(image[0, 0, 0]) / 255 for image in images]
        return [[Face(box, score, landmarks)] if score > 0.5 else [] for score in scores]

    monkeypatch.setattr("ran_tf.faces.mtcnn_search.create_search", lambda *_, **__: search)
    detect = create_detector(DetectorConfig(name="mtcnn", turned=True))
    upright, quarter, nothing = (np.zeros((10, 20, 3), np.uint8) for _ in range(3))
    upright[0, 0] = 255
    quarter[0, -1] = 255  # on the upper left of the photo turned counterclockwise
    quarter[-1, 0] = 200  # and of it turned clockwise
    found = detect([upright, quarter, nothing])
    assert seen == [[(10, 20)] * 3, [(20, 10)] * 2, [(10, 20)] * 2, [(20, 10)] * 2]
    assert len(found[0]) == 1 and found[2] == []
    ((face,),) = found[1:2]
    assert face.score == 1
    # x of the photo is 19 minus y there, and y is x.
    np.testing.assert_array_equal(face.box, [1, 10, 8, 18])
    np.testing.assert_array_equal(face.landmarks, [[16, 2], [16, 6], [14, 4], [11, 2], [11, 7]])
    untouched = create_detector(DetectorConfig(name="mtcnn"))
    assert untouched([quarter]) == [[]]


@pytest.mark.parametrize(("name", "least"), [("mtcnn", 0.9), ("yunet", 0.7), ("whose", 0.9)])
def test_each_detector_has_its_own_lowest_score(monkeypatch, name, least):
    asked = []
    make = lambda config, threads: asked.append(config.min_score)  # noqa: E731
    monkeypatch.setattr(DetectorConfig, "__post_init__", lambda self: None)
    monkeypatch.setattr("ran_tf.registry.DETECTORS.find", lambda *_, **__: make)
    create_detector(DetectorConfig(name=name))
    create_detector(DetectorConfig(name=name, min_score=0.0))
    assert asked == [least, 0.0]


@pytest.mark.parametrize("quarters", range(4))
def test_landmarks_are_ordered_from_left_to_right_of_the_face(quarters):
    expected = np.array([[1, 0], [5, 1], [3, 2], [2, 4], [4, 5]], np.float32)
    for _ in range(quarters):
        expected = np.stack([-expected[:, 1], expected[:, 0]], axis=1)
    for order in ([0, 1, 2, 3, 4], [1, 0, 2, 4, 3], [0, 1, 2, 4, 3]):
        np.testing.assert_array_equal(order_landmarks(expected[order]), expected)


def test_similarity_agrees_with_scikit_image():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(2, 5, 2)) * 50
    expected = skimage.transform.SimilarityTransform.from_estimate(source, target)
    np.testing.assert_allclose(align_lib.similarity(source, target), expected.params[:2], atol=1e-8)
    with pytest.raises(ValueError, match="one place"):
        align_lib.similarity(np.ones((5, 2)), target)


@pytest.mark.parametrize("scale", [0.5, 1.0, 9.0])  # 9: shrunk by area before it is sampled
def test_alignment_moves_the_landmarks_where_it_says(scale):
    angle, size, margin = np.radians(25), 96, 0.2
    template = (align_lib.TEMPLATE + margin) / (1 + 2 * margin)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (template - 0.5) * size * scale @ turn.T
    side = int(np.ceil(4 * np.abs(points).max())) | 1
    points += side / 2 + 3
    # A bright dot at each landmark of the photo must lie at that landmark of the aligned face.
    y, x = np.mgrid[:side, :side]
    sigma = 2.5 * scale
    near = [np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2)) for px, py in points]
    photo = np.repeat((255 * np.max(near, axis=0)).astype(np.uint8)[..., None], 3, axis=2)
    face = align_face(photo, points, size=size, margin=margin)
    assert face.image.shape == (size, size, 3) and face.image.dtype == np.uint8
    np.testing.assert_allclose(face.landmarks, template, atol=1e-4)
    grid_y, grid_x = np.mgrid[:size, :size] + 0.5
    for px, py in face.landmarks * size:
        window = (np.hypot(grid_x - px, grid_y - py) < 7) * face.image[..., 0].astype(float)
        centre = np.sum(window * grid_x), np.sum(window * grid_y)
        np.testing.assert_allclose(np.array(centre) / window.sum(), [px, py], atol=0.25)


def test_alignment_repeats_the_border_and_clips_landmarks():
    photo = np.full((40, 40, 3), 200, np.uint8)
    points = np.array([[-5, 10], [30, 10], [15, 20], [5, 30], [28, 30]])
    face = align_face(photo, points, size=32, margin=-0.3)
    assert (face.image == 200).all()
    assert face.landmarks.min() >= 0 and face.landmarks.max() <= 1
    with pytest.raises(ValueError, match="five finite"):
        align_face(photo, points * np.nan)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "haar"}, "name='haar'"),
        ({"pad": -1}, "pad=-1"),
        ({"min_face": 2.0}, "min_face=2.0"),
        ({"min_score": 7}, "min_score=7"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        DetectorConfig(**settings)


def test_bad_images_are_named():
    detect = create_detector(DetectorConfig(name="mtcnn"))
    with pytest.raises(ValueError, match=r"images\[1\].*float64"):
        detect([np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9, 3))])


@pytest.fixture(scope="module")
def random_retinaface(tmp_path_factory):
    """A DEEPFACE_HOME with retina-face's own network, in ONNX, with random weights.

    The package publishes its ONNX file as an export of its PyTorch class; so is this. The scores of
    one anchor are raised, so that something is found.
    """
    for package in ("torch", "onnx"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    home = tmp_path_factory.mktemp("deepface")
    path = home / ".deepface" / "weights" / "retinaface.onnx"
    path.parent.mkdir(parents=True)
    code = """
        import sys, torch
        from retinaface.model.retinaface_pth_model import RetinaFace
        torch.manual_seed(0)
        network = RetinaFace().eval()
        with torch.no_grad():
            network.face_rpn_stride16.cls_score.bias[3] += 6
        torch.onnx.export(
            network, (torch.zeros(1, 64, 64, 3),), sys.argv[1], input_names=["data"],
            dynamic_axes={"data": [0, 1, 2]}, dynamo=False, opset_version=17,
            do_constant_folding=False,
        )
    """
    # Its own process: its engine is chosen once, and the test's must be ONNX.
    environment = os.environ | {"DEEPFACE_BACKEND_ENGINE": "pytorch"}
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), str(path)]
    subprocess.run(command, env=environment, check=True)
    return home


def test_retinaface_runs_and_leaves_keras_alone(random_retinaface, astronaut, tmp_path):
    np.save(tmp_path / "photo.npy", astronaut[32:192, 128:288])
    code = """
        import os, sys, warnings
        import numpy as np
        from ran_tf.faces import DetectorConfig, create_detector

        before, filters = dict(os.environ), list(warnings.filters)
        photo = np.load(sys.argv[1])
        settings = dict(name="retinaface", upscale=False)
        detect = create_detector(DetectorConfig(**settings), threads=1)
        detect_padded = create_detector(DetectorConfig(**settings, pad=0.2), threads=1)
        faces, padded = detect([photo])[0], detect_padded([photo])[0]
        assert dict(os.environ) == before and list(warnings.filters) == filters
        assert len(faces) > 1 and len(padded) > len(faces) / 2, (len(faces), len(padded))
        for face in faces:
            assert face.box.shape == (4,) and face.landmarks.shape == (5, 2)
            assert (face.box >= 0).all() and (face.box <= 159).all()
            across, down = face.landmarks[3:].mean(axis=0) - face.landmarks[:2].mean(axis=0)
            to_the_right = face.landmarks[[1, 4]] - face.landmarks[[0, 3]]
            assert (to_the_right @ np.array([down, -across]) > -0.1).all()
            assert 0.9 <= face.score <= 1

        # What the package itself answers, by name.
        from retinaface import RetinaFace
        answer = RetinaFace.detect_faces(photo[:, :, ::-1], allow_upscaling=False)
        best = max(answer.values(), key=lambda x: x["score"])
        theirs = {tuple(np.float32(x)) for x in best["landmarks"].values()}
        ours = {tuple(x) for x in faces[0].landmarks}
        assert theirs == ours and len(answer) >= len(faces)

        # Keras 3 is still Keras 3, and trains.
        import keras, tensorflow as tf
        assert keras.__version__.startswith("3.") and tf.keras.__version__ == keras.__version__
        model = tf.keras.Sequential([keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        history = model.fit(np.ones((8, 2)), np.ones(8), epochs=1, verbose=0).history
        assert np.isfinite(history["loss"][0])
    """
    environment = os.environ | {"DEEPFACE_HOME": str(random_retinaface)}
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "photo.npy")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_missing_retinaface_weights_say_where_they_belong(tmp_path, monkeypatch):
    from ran_tf.faces.retinaface_search import find_weights

    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))

    def unasked(*_, **__):
        raise AssertionError("a download that nobody asked for")

    monkeypatch.setattr("requests.head", unasked)
    monkeypatch.setattr("gdown.download", unasked)
    path = tmp_path / ".deepface" / "weights" / "retinaface.onnx"
    config = DetectorConfig(name="retinaface")
    with pytest.raises(FileNotFoundError, match=r"retinaface\.onnx.*detector=mtcnn") as error:
        find_weights(config)
    assert str(path) in str(error.value) and "https://" in str(error.value)
    path.parent.mkdir(parents=True)
    path.with_suffix(".h5").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"retinaface\.h5 exists"):
        find_weights(config)
    named = tmp_path / "named.onnx"
    for broken, weights in ((path, None), (named, str(named))):
        broken.write_bytes(b"broken")
        with pytest.raises(ValueError, match=rf"{broken.name} is not a readable.*6 bytes"):
            create_detector(DetectorConfig(name="retinaface", weights=weights))


def test_opencv_is_the_headless_contrib_wheel():
    # retina-face asks for this one; a second OpenCV wheel would overwrite its files.
    names = {x.name.lower() for x in importlib.metadata.distributions()}
    assert {name for name in names if "opencv" in name} == {"opencv-contrib-python-headless"}
    assert hasattr(cv2, "warpAffine")


def test_half_a_pixel_of_the_small_photo_is_more_of_the_large(monkeypatch):
    points = np.array([[22, 23], [26, 23], [24, 25], [22, 28], [27, 28]], np.float32)

    def search(images, min_sides):
        (image,) = images
        assert image.shape == (48, 48, 3) and min_sides == [16]
        return [[Face(box=np.float32([21, 21, 29, 28]), score=0.9, landmarks=points)]]

    monkeypatch.setattr("ran_tf.faces.mtcnn_search.create_search", lambda *_, **__: search)
    settings = DetectorConfig(name="mtcnn", max_side=32, pad=0.25, min_face=0.5)
    ((face,),) = create_detector(settings)([np.zeros((64, 64, 3), np.uint8)])
    np.testing.assert_allclose(face.landmarks, (points - 8) * 2 + 0.5)
    np.testing.assert_allclose(face.box, [26.5, 26.5, 42.5, 40.5])


def test_a_shrunk_photo_is_not_shifted():
    """A ramp, shrunk by 9.375: within a tenth of a grey level, which is 4 % of a pixel."""
    side, size = 900, 96
    ramp = (np.arange(side) * 255 / (side - 1)).round().astype(np.uint8)
    photo = np.repeat(np.broadcast_to(ramp, (side, side))[..., None], 3, axis=2)
    for image, axis in ((photo, 1), (photo.transpose(1, 0, 2), 0)):
        face = align_face(image, align_lib.TEMPLATE * side - 0.5, size=size)
        want = ((np.arange(size) + 0.5) * side / size - 0.5) * 255 / (side - 1)
        found = face.image[..., 0].mean(axis=1 - axis)
        assert abs((found - want)[3:-3].mean()) < 0.1


def test_a_crowd_is_told_of():
    """Three faces less than twice as large as the smallest that was searched, 0.3 of min_face."""
    config = DetectorConfig(min_face=0.1)
    points = np.zeros((5, 2), np.float32)

    def faces(*sides):
        return [Face(np.float32([0, 0, side, side]), 1.0, points) for side in sides]

    told = tell_of_crowd(faces(40, 50, 59, 300), shape=(1000, 2000, 3), config=config)
    assert "below 30 pixels" in told and "min_face" in told
    for few in (faces(40, 50, 61, 300), faces(), faces(300)):
        assert tell_of_crowd(few, shape=(1000, 2000, 3), config=config) == ""
