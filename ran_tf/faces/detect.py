"""Detectors behind one interface: a list of photos in, for each photo a list of `Face` out."""

import dataclasses
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from ran_tf import registry
from ran_tf.faces.face import Face, from_mirrored, from_turned, order_landmarks, overlap
from ran_tf.settings import Checked, setting

# So many faces less than twice as large as the smallest that is searched are a crowd, in which
# smaller ones are searched, too, by this factor.
CROWD, FINER = 3, 0.3
# The lowest scores where none is given, from the table of docs/guides/detectors.md.
_MIN_SCORES = {"yunet": 0.7}
_MIN_SCORE = 0.9


@dataclasses.dataclass(frozen=True)
class DetectorConfig(Checked):
    """Settings of the search for faces.

    Example:
      >>> ran_tf.DetectorConfig(min_face=0.5).max_side
      1600
    """

    name: str = setting("blazeface", "Detector.", choices=registry.DETECTORS, flag="detector")
    weights: str | None = setting(
        None,
        "File of the network of yunet or retinaface, or its URL#sha256=HEX.",
        flag="detector_weights",
    )
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
    min_score: float | None = setting(
        None,
        "Lowest confidence of a face, 0..1; when absent, 0.9, with yunet 0.7.",
        high=1.0,
    )
    max_side: int = setting(
        1600,
        "Larger photos are reduced to this side for the search, pixels; faces are cut from "
        "the original.",
        low=32,
    )
    retry_mirrored: bool = setting(False, "Search photos without a face a second time, mirrored.")
    turned: bool = setting(
        False, "Search photos without a face again, turned by 90, 180 and 270 degrees."
    )
    upscale: bool = setting(
        True, "Let retinaface enlarge small photos to 1,024 pixels; it is faster without."
    )

    def resolved(self) -> "DetectorConfig":
        """The same settings with a number for `min_score`: the detector's own if it is None."""
        if self.min_score is not None:
            return self
        return dataclasses.replace(self, min_score=_MIN_SCORES.get(self.name, _MIN_SCORE))


DEFAULT = DetectorConfig()


def as_config(detector: str | DetectorConfig) -> DetectorConfig:
    """What the name of a detector, or a config, asks for.

    Raises:
      NotRegisteredError: for a name that nothing goes by.
    """
    if isinstance(detector, DetectorConfig):
        return detector
    registry.DETECTORS.check(detector, argument="detector")
    return DetectorConfig(name=detector)


# From photos to the faces of each, see `create_detector`.
Detect = Callable[[Sequence[np.ndarray]], list[list[Face]]]


def create_detector(config: DetectorConfig, *, threads: int | None = None) -> Detect:
    """Builds a detector.

    Args:
      config: which one, and how it searches.
      threads: of one call with blazeface, mtcnn and retinaface, None for one a core; yunet runs on
        OpenCV's.

    Returns:
      A function from a sequence of photos (u8[H,W,3], RGB, of any sizes) to a list of lists of
      `Face`, one list for each photo, the best score first. Photos of equal size are searched
      together where the detector can, which is many times faster for small ones.

    Raises:
      FileNotFoundError: retinaface's weights are missing; the message says where they belong.
      ValueError: its weights cannot be read.
      RuntimeError: retina-face was imported before, with its TensorFlow engine.
    """
    config = config.resolved()
    # Ours are imported here, because each brings its own framework.
    search = registry.DETECTORS.find(config.name, argument="detector")(config, threads=threads)

    def detect(images: Sequence[np.ndarray]) -> list[list[Face]]:
        for position, image in enumerate(images):
            _check_image(image, position=position)
        found = _search_all(search, images, config)
        for again, wanted in (
            (_search_mirrored, config.retry_mirrored),
            (_search_turned, config.turned),
        ):
            missed = [i for i, faces in enumerate(found) if not faces]
            if wanted and missed:
                answers = again(search, [images[i] for i in missed], config)
                for i, faces in zip(missed, answers, strict=True):
                    found[i] = faces
        return found

    return detect


def tell_of_crowd(faces: Sequence[Face], *, shape: Sequence[int], config: DetectorConfig) -> str:
    """What to tell of a photo [H,W,...] that may show more faces than were found; else "".

    Where the smallest faces found are about as small as was searched, smaller ones may be there.
    """
    least = config.min_face * FINER * min(shape[:2])
    if not _is_crowd(faces, least):
        return ""
    return f"a crowd: faces below {least:.0f} pixels were not searched for (min_face)"


def _is_crowd(faces: Sequence[Face], least: float) -> bool:
    return sum(max(face.box[2:] - face.box[:2]) < 2 * least for face in faces) >= CROWD


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
        if x or y:
            image = cv2.copyMakeBorder(image, y, y, x, x, cv2.BORDER_REPLICATE)
        prepared.append(np.ascontiguousarray(image))
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
        if _is_crowd(faces, least)
    ]
    if crowds:
        finer = search([images[i] for i in crowds], [min_sides[i] * FINER for i in crowds])
        for i, faces in zip(crowds, finer, strict=True):
            # The two searches shrink the photo by different steps: what one misses the other finds.
            new = [f for f in faces if all(overlap(f, old) < 0.3 for old in found[i])]
            found[i] = found[i] + new
    return found


def _search_mirrored(search, images, config: DetectorConfig) -> list[list[Face]]:
    found = _search_all(search, [image[:, ::-1] for image in images], config)
    return [
        [from_mirrored(face, width=image.shape[1]) for face in faces]
        for image, faces in zip(images, found, strict=True)
    ]


def _search_turned(search, images, config: DetectorConfig) -> list[list[Face]]:
    """Of each photo the faces of that quarter turn which shows the best one."""
    best: list[list[Face]] = [[] for _ in images]
    for quarters in (1, 2, 3):
        turned = [np.rot90(image, quarters) for image in images]
        for i, faces in enumerate(_search_all(search, turned, config)):
            # They come with the best first.
            if faces and (not best[i] or faces[0].score > best[i][0].score):
                shape = images[i].shape
                best[i] = [from_turned(x, quarters=quarters, shape=shape) for x in faces]
    return best
