"""Similarity alignment: turns, scales and shifts a face so that its landmarks lie in one place."""

import dataclasses

import cv2
import numpy as np

from ran_tf.checks import check_framing, check_whole
from ran_tf.images import resampling
from ran_tf.weights.card import ModelCard

# Where the five landmarks lie in an upright face, as x,y in 0..1 of a square from fringe to chin:
# the 112x112 template that ArcFace (arXiv 1801.07698) and its successors align to.
TEMPLATE = (
    np.array(
        [
            [38.2946, 51.6963],
            [73.5318, 51.5014],
            [56.0252, 71.7366],
            [41.5493, 92.3655],
            [70.7299, 92.2041],
        ]
    )
    + 0.5
) / 112

# A face that is larger than this many times its crop is shrunk before it is turned, for speed.
_FINER = 4


@dataclasses.dataclass(frozen=True, eq=False)
class AlignedFace:
    """An aligned face.

    Attributes:
      image: u8[size,size,3], RGB.
      landmarks: f32[5,2], x,y in 0..1 of `image`, in the order of `specs.LANDMARKS`; a landmark
        that fell outside is moved to the border.
      matrix: f64[2,3], from x,y of the photo to x,y of `image`, both in pixels.
    """

    image: np.ndarray
    landmarks: np.ndarray
    matrix: np.ndarray


def align_face(
    image: np.ndarray,
    landmarks: np.ndarray,
    *,
    size: int = 224,
    margin: float = 0.0,
    drop: float = 0.0,
) -> AlignedFace:
    """Cuts an upright square face out of a photo.

    Args:
      image: u8[H,W,3], RGB.
      landmarks: [5,2], x,y in pixels, in the order of `specs.LANDMARKS`.
      size: side of the result, in pixels.
      margin: what is added on every side of the ArcFace square, as a fraction of its side. 0 shows
        a face from fringe to chin, 0.15 the whole head.
      drop: how far below the ArcFace square the result lies, as a fraction of its side. FERPlus
        cuts its faces like margin -0.05 and drop 0.07, see `specs.CROPS`.

    Returns:
      An `AlignedFace`. Where the square leaves the photo, the photo's border is repeated.

    Raises:
      ValueError: landmarks that are not finite, or all in one place; a size below 8, a margin
        outside of -0.4..4 or a drop outside of -1..1.
    """
    check_whole("size", size, low=8)
    check_framing(margin, drop)
    landmarks = np.asarray(landmarks, np.float64)
    if landmarks.shape != (5, 2) or not np.isfinite(landmarks).all():
        raise ValueError(f"`landmarks` must be five finite x,y. Received: landmarks={landmarks!r}")
    matrix = crop_matrix(landmarks, size=size, margin=margin, drop=drop)
    # A warp takes four pixels for one and would skip the others of a large face. So the face is
    # turned at about the size that it has, and then resized as faces are everywhere.
    scale = np.hypot(*matrix[0, :2])
    finer = int(np.ceil(np.clip(1 / scale, 1, _FINER)))
    warp, before = _rescaled(matrix, after=finer), np.ones(2)
    if scale * finer < 1:
        small = np.maximum(1, np.ceil(np.array(image.shape[1::-1]) * scale * finer)).astype(int)
        before = small / image.shape[1::-1]
        image = cv2.resize(image, small.tolist(), interpolation=cv2.INTER_AREA)
    aligned = cv2.warpAffine(
        image,
        _rescaled(warp, before=before),
        (finer * size, finer * size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    aligned = resampling.resize_array(aligned, size=(size, size))
    points = landmarks @ matrix[:, :2].T + matrix[:, 2]
    return AlignedFace(image=aligned, landmarks=to_unit(points, shape=aligned.shape), matrix=matrix)


def crop_matrix(
    landmarks: np.ndarray, *, size: int, margin: float = 0.0, drop: float = 0.0
) -> np.ndarray:
    """Where `align_face` cuts: f64[2,3], from x,y of the photo to x,y of the face, in pixels."""
    target = (TEMPLATE + np.array([margin, margin - drop])) / (1 + 2 * margin) * size - 0.5
    return similarity(np.asarray(landmarks, np.float64), target)


def align_for(
    card: ModelCard, image: np.ndarray, landmarks: np.ndarray, *, size: int | None = None
) -> AlignedFace:
    """`align_face`, framed as the faces that a model was trained on; by default of `side_for`."""
    return align_face(
        image,
        landmarks,
        size=side_for(card) if size is None else size,
        margin=card.crop_margin,
        drop=card.crop_drop,
    )


def side_for(card: ModelCard) -> int:
    """Side of the square that a face is cut into for a model, pixels."""
    return max(8, *card.image_size)


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least-squares rotation, one scale and shift (no mirroring) from points to points.

    Args:
      source, target: f64[n,2], x,y.

    Returns:
      f64[2,3]: [[a,-b,tx],[b,a,ty]].

    Raises:
      ValueError: all source points are in one place.
    """
    centre_source, centre_target = source.mean(axis=0), target.mean(axis=0)
    (x, y), (u, v) = (source - centre_source).T, (target - centre_target).T
    spread = np.sum(x * x + y * y)
    if spread < 1e-6:
        raise ValueError(f"the landmarks must not all be in one place. Received: {source.tolist()}")
    a = np.sum(x * u + y * v) / spread
    b = np.sum(x * v - y * u) / spread
    linear = np.array([[a, -b], [b, a]])
    return np.column_stack([linear, centre_target - linear @ centre_source])


def _rescaled(matrix: np.ndarray, *, before=1.0, after=1.0) -> np.ndarray:
    """An affine map f64[2,3] between pixels, of images that were resized by these factors."""
    # Of an image resized by f, pixel x was at (x + 0.5) / f - 0.5.
    linear = matrix[:, :2] / before
    shift = matrix[:, 2] + linear @ np.broadcast_to(0.5 - 0.5 * before, 2)
    return np.column_stack([after * linear, after * (shift + 0.5) - 0.5])


def to_unit(points: np.ndarray, *, shape) -> np.ndarray:
    """Pixels [n,2] (x,y; centres at whole numbers) to f32[n,2] in 0..1 of a [H,W,...] image."""
    unit = (np.asarray(points) + 0.5) / np.array(shape[1::-1])
    return np.clip(unit, 0, 1).astype(np.float32)


def centre_square(image: np.ndarray, *, size: int) -> np.ndarray:
    """The largest centred square of u8[H,W,3], resized to u8[size,size,3]."""
    height, width = image.shape[:2]
    side = min(height, width)
    y, x = (height - side) // 2, (width - side) // 2
    return resampling.resize_array(image[y : y + side, x : x + side], size=(size, size))
