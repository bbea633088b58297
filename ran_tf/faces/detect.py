"""Detectors behind one interface: a list of photos in, for each photo a list of `Face` out."""

import dataclasses
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from ran_tf import registry
from ran_tf.checks import check_choice
from ran_tf.settings import Checked, setting

CHOICES = ("largest", "centre")

# So many faces less than twice as large as the smallest that is searched are a crowd, in which
# smaller ones are searched, too, by this factor.
_CROWD, _FINER = 3, 0.3


@dataclasses.dataclass(frozen=True, eq=False)
class Face:
    """One detected face, in pixels of the photo; pixel centres lie at whole numbers.

    Attributes:
      box: f32[4], y0,x0,y1,x1, clipped to the photo.
      score: the detector's confidence, 0..1.
      landmarks: f32[5,2], x,y in the order of `specs.LANDMARKS`; they may lie outside the photo.
    """

    box: np.ndarray
    score: float
    landmarks: np.ndarray

    @property
    def area(self) -> float:
        """Of the box, square pixels."""
        return float(np.prod(self.box[2:] - self.box[:2]))


@dataclasses.dataclass(frozen=True)
class DetectorConfig(Checked):
    """How faces are searched.

    Example:
      >>> ran_tf.DetectorConfig(min_face=0.5).max_side
      1600
    """

    # mtcnn brings its weights; retinaface is the more accurate one.
    name: str = setting("mtcnn", "Detector.", choices=registry.DETECTORS, flag="detector")
    # Repeats the border; detectors miss tight crops otherwise.
    pad: float = setting(
        0.0,
        "Extend photos by this fraction on every side before the search: 0.25 for tight crops.",
        high=2.0,
    )
    # Where three faces or more are less than twice as large, the photo is searched once more for
    # those down to 0.3 of it. Below 20 pixels, of the photo at `max_side`, mtcnn searches for none.
    min_face: float = setting(
        0.05,
        "Smallest face searched, as a fraction of the photo's shorter side; 0.5 for face crops.",
        high=1.0,
    )
    # mtcnn's own is 0.8, but see tests/faces/test_photos.py.
    min_score: float = setting(0.9, "Lowest confidence of a face, 0..1.", high=1.0)
    max_side: int = setting(
        1600, "Larger photos are searched at this size, and cut from the original.", low=32
    )
    retry_mirrored: bool = setting(False, "Search photos without a face once more in the mirror.")
    upscale: bool = setting(
        True, "Let retinaface enlarge small photos (to 1,024 pixels); faster without."
    )


# From photos to the faces of each, see `create_detector`.
Detect = Callable[[Sequence[np.ndarray]], list[list[Face]]]


def create_detector(config: DetectorConfig, *, threads: int | None = None) -> Detect:
    """Builds a detector.

    Args:
      config: which one, and how it searches.
      threads: of one search with retinaface, None for one a core; mtcnn runs on TensorFlow's own.

    Returns:
      A function from a sequence of photos (u8[H,W,3], RGB, of any sizes) to a list of lists of
      `Face`, one list for each photo, the best score first. Photos of equal size are searched
      together where the detector can, which is many times faster for small ones.

    Raises:
      FileNotFoundError: retinaface's weights are missing; the message says where they belong.
      ValueError: its weights cannot be read.
      RuntimeError: retina-face was imported before, with its TensorFlow engine.
    """
    # Ours are imported here, because each brings its own framework.
    search = registry.DETECTORS.find(config.name, argument="detector")(config, threads=threads)

    def detect(images: Sequence[np.ndarray]) -> list[list[Face]]:
        for position, image in enumerate(images):
            _check_image(image, position=position)
        found = _search_all(search, images, config)
        missed = [i for i, faces in enumerate(found) if not faces]
        if config.retry_mirrored and missed:
            mirrored = _search_all(search, [images[i][:, ::-1] for i in missed], config)
            for i, faces in zip(missed, mirrored, strict=True):
                found[i] = [_mirror(face, width=images[i].shape[1]) for face in faces]
        return found

    return detect


def detect_each(detect: Detect, photos: Sequence[np.ndarray]) -> Sequence[list[Face] | Exception]:
    """As `detect`, which `create_detector` made, but a photo that it fails on fails alone.

    Returns:
      For each photo its faces, or what `detect` raised at it.
    """
    try:
        return detect(photos)
    except Exception as error:  # a detector raises whatever its framework does
        if len(photos) == 1:
            return [error]
        return [found for photo in photos for found in detect_each(detect, [photo])]


def choose_face(faces: Sequence[Face], *, shape: Sequence[int], rule: str = "largest") -> Face:
    """Picks one face of a photo.

    Args:
      faces: at least one.
      shape: of the photo, [H,W,...].
      rule: "largest" (area of the box) or "centre" (box nearest to the photo's centre).

    Raises:
      ValueError: if there is no face, or no such rule.
    """
    check_choice("choose", rule, CHOICES)
    if not faces:
        raise ValueError(f"`faces` must hold at least one face. Received: faces={faces!r}")
    if rule == "largest":
        return max(faces, key=lambda face: face.area)
    y0, x0, y1, x1 = np.stack([face.box for face in faces]).T
    distances = np.hypot((y0 + y1 + 1 - shape[0]) / 2, (x0 + x1 + 1 - shape[1]) / 2)
    return faces[int(np.argmin(distances))]


def order_landmarks(landmarks: np.ndarray) -> np.ndarray:
    """Orders the eyes, and the mouth corners, from left to right, which detectors name oppositely.

    Left is that of the upright face, however it lies: the mouth is below the eyes.

    Args:
      landmarks: [5,2], x,y: two eyes, the nose, two mouth corners.

    Returns:
      f32[5,2] in the order of `specs.LANDMARKS`.
    """
    landmarks = np.asarray(landmarks, np.float32)
    across, down = landmarks[3:].mean(axis=0) - landmarks[:2].mean(axis=0)
    right = np.array([down, -across]) if across or down else np.array([1, 0])
    eyes = landmarks[:2][np.argsort(landmarks[:2] @ right, kind="stable")]
    mouth = landmarks[3:][np.argsort(landmarks[3:] @ right, kind="stable")]
    return np.concatenate([eyes, landmarks[2:3], mouth])


def overlap(one: Face, other: Face) -> float:
    """Area that two boxes share, as a fraction of what they cover together."""
    low, high = np.maximum(one.box[:2], other.box[:2]), np.minimum(one.box[2:], other.box[2:])
    shared = float(np.prod(np.maximum(high - low, 0)))
    return shared / max(one.area + other.area - shared, 1e-9)


def _check_image(image: np.ndarray, *, position: int) -> None:
    shape: Sequence[int] = getattr(image, "shape", ())
    dtype = getattr(image, "dtype", None)
    if dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
        raise ValueError(
            f"`images[{position}]` must be a u8[H,W,3] RGB array. Received: "
            f"images[{position}]={type(image).__name__} of shape {shape}, dtype {dtype}"
        )


def _search_all(search, images, config: DetectorConfig) -> list[list[Face]]:
    """Shrinks and pads the photos, searches them, and maps the faces back to the photos."""
    prepared, offsets, scales = [], [], []
    for image in images:
        scale = min(1.0, config.max_side / max(image.shape[:2]))
        if scale < 1:
            height, width = (max(1, round(side * scale)) for side in image.shape[:2])
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        y, x = (round(config.pad * side) for side in image.shape[:2])
        scales.append(scale)
        offsets.append((x, y))
        prepared.append(
            np.ascontiguousarray(cv2.copyMakeBorder(image, y, y, x, x, cv2.BORDER_REPLICATE))
        )
    min_sides = [
        config.min_face * min(image.shape[:2]) * scale
        for image, scale in zip(images, scales, strict=True)
    ]
    found = _search_crowds(search, prepared, min_sides)
    results = []
    for image, faces, offset, scale in zip(images, found, offsets, scales, strict=True):
        restored = []
        for face in faces:
            # Half a pixel, because the centres of pixels, not their corners, are whole numbers.
            points = (face.landmarks - offset + 0.5) / scale - 0.5
            # A detection whose points coincide is no face, and cannot be aligned.
            if not np.isfinite(points).all() or np.ptp(points, axis=0).max() < 0.01:
                continue
            box = (face.box - (offset[1], offset[0]) * 2 + 0.5) / scale - 0.5
            high = np.tile(np.subtract(image.shape[:2], 1), 2)
            restored.append(
                Face(
                    box=np.clip(box, 0, high).astype(np.float32),
                    score=face.score,
                    landmarks=order_landmarks(points),
                )
            )
        results.append(sorted(restored, key=lambda face: -face.score))
    return results


def _search_crowds(search, images, min_sides) -> list[list[Face]]:
    """Searches for smaller faces, too, where several are about as small as was searched."""
    found = search(images, min_sides)
    crowds = [
        i
        for i, (faces, least) in enumerate(zip(found, min_sides, strict=True))
        if sum(max(f.box[2:] - f.box[:2]) < 2 * least for f in faces) >= _CROWD
    ]
    if crowds:
        finer = search([images[i] for i in crowds], [min_sides[i] * _FINER for i in crowds])
        for i, faces in zip(crowds, finer, strict=True):
            # The two searches shrink the photo by different steps: what one misses the other finds.
            new = [f for f in faces if all(overlap(f, old) < 0.3 for old in found[i])]
            found[i] = found[i] + new
    return found


def _mirror(face: Face, *, width: int) -> Face:
    y0, x0, y1, x1 = face.box
    points = np.stack([width - 1 - face.landmarks[:, 0], face.landmarks[:, 1]], axis=1)
    return Face(
        box=np.array([y0, width - 1 - x1, y1, width - 1 - x0], np.float32),
        score=face.score,
        landmarks=order_landmarks(points),
    )
