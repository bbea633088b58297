"""Region boxes: `y0, x0, y1, x1` as fractions of the face, region 0 the whole face.

NumPy in, NumPy out, so that boxes are made in data pipelines, notebooks and servers alike; the
random and landmark boxes take uniform draws and points as arguments and are pure functions.
Source: section III of the RAN paper (arXiv 1905.04075) and its released code, where the whole face
is last; here it is first.
"""

import numpy as np
import numpy.typing as npt

from ran_tf import checks, vocabulary

WHOLE_FACE = (0.0, 0.0, 1.0, 1.0)
RANDOM_SIDES = (0.7, 0.95)


def _centred(side: float) -> tuple[float, float, float, float]:
    low = (1.0 - side) / 2.0
    return low, low, low + side, low + side


_CORNERS = ((0.0, 0.0, 0.75, 0.75), (0.0, 0.25, 0.75, 1.0), (0.25, 0.125, 1.0, 0.875))
_FIXED = {
    "paper": (WHOLE_FACE, *_CORNERS, _centred(0.9), _centred(0.85)),
    "released": (
        WHOLE_FACE,
        *_CORNERS,
        _centred(0.9),
        _centred(0.8),
        _centred(0.75),
        (0.0, 0.125, 0.75, 0.875),
    ),
}


def fixed_boxes(k: int = 6, *, variant: str = "paper") -> np.ndarray:
    """The fixed regions of the paper or of its released code.

    Args:
      k: number of regions, the whole face included: 6 ("paper", "released") or 8 ("released");
        1 is the whole face alone.
      variant: "paper" or "released".

    Returns:
      f32[k, 4], `y0, x0, y1, x1` in 0..1.

    Raises:
      ValueError: for a number of regions that the variant does not have.

    Example:
      >>> ran_tf.fixed_boxes(6)[1].tolist()
      [0.0, 0.0, 0.75, 0.75]
    """
    checks.check_choice("variant", variant, vocabulary.REGION_VARIANTS)
    checks.check_choice("k", k, vocabulary.REGION_VARIANTS[variant])
    checks.check_whole("k", k, low=1, high=checks.MAX_REGIONS)
    return np.asarray(_FIXED[variant][:k], np.float32)


def grid_boxes(k: int = 15) -> np.ndarray:
    """The paper's six regions, and n x n squares of half the face's side.

    These squares are small enough to leave out what is covered.

    Args:
      k: 6 + n^2 with n of at least 2, such as 10 or 15; 1 is the whole face alone.

    Returns:
      f32[k, 4], `y0, x0, y1, x1` in 0..1; the squares row by row.

    Raises:
      ValueError: for another number of regions.

    Example:
      >>> ran_tf.grid_boxes(15)[10].tolist()
      [0.25, 0.25, 0.75, 0.75]
    """
    checks.check_choice("k", k, vocabulary.GRID_SIZES)
    if k == 1:
        return fixed_boxes(1)
    places = np.linspace(0.0, 0.5, vocabulary.GRID_SIZES[k])
    squares = [(y, x, y + 0.5, x + 0.5) for y in places for x in places]
    return np.concatenate([fixed_boxes(6), np.asarray(squares, np.float32)])


def boxes_from_draws(draws) -> np.ndarray:
    """Square regions of random size and place, after the whole face.

    Args:
      draws: f32[..., k-1, 3], uniform in 0..1: side, vertical and horizontal place of each square.

    Returns:
      f32[..., k, 4], sides uniform in 0.7..0.95 of the face, wholly inside it.

    Raises:
      ValueError: for draws of another shape, or outside of 0..1.
    """
    draws = _floats("draws", draws, last_axis=3)
    if not ((draws >= 0.0) & (draws <= 1.0)).all():
        raise ValueError(
            f"`draws` must be in 0..1. Received: draws from {draws.min()} to {draws.max()}"
        )
    low, high = RANDOM_SIDES
    side = low + (high - low) * draws[..., :1]
    corner = draws[..., 1:] * (1.0 - side)
    return _after_whole_face(np.concatenate([corner, corner + side], axis=-1))


def random_boxes(k: int = 6, *, seed: int | None = None) -> np.ndarray:
    """The whole face and random squares.

    Args:
      k: number of regions, the whole face included.
      seed: equal seeds give equal boxes. None gives new boxes every time.

    Returns:
      f32[k, 4], `y0, x0, y1, x1` in 0..1.

    Raises:
      ValueError: for fewer regions than one, or more than `checks.MAX_REGIONS`.

    Example:
      >>> ran_tf.random_boxes(4, seed=1).shape
      (4, 4)
    """
    checks.check_whole("k", k, low=1, high=checks.MAX_REGIONS)
    return boxes_from_draws(np.random.default_rng(seed).uniform(size=(k - 1, 3)))


def landmark_boxes(
    landmarks: npt.ArrayLike, *, radius: float = 0.4
) -> tuple[np.ndarray, np.ndarray]:
    """The whole face, and a square around each of the five landmarks, clipped to the face.

    Args:
      landmarks: f32[..., 5, 2], x and y in 0..1; NaN where a point is unknown.
      radius: half the side of a square, as a fraction of the face's side.

    Returns:
      boxes f32[..., 6, 4] and mask bool[..., 6]: the region of an unknown point is masked out
      (its box is the whole face).

    Raises:
      ValueError: for landmarks of another shape or kind, or a radius outside of 0.01..1.

    Example:
      >>> points = [[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [np.nan, np.nan]]
      >>> boxes, mask = ran_tf.landmark_boxes(points)
      >>> boxes.shape, mask.tolist()
      ((6, 4), [True, True, True, True, True, False])
    """
    checks.check_range("radius", radius, low=0.01, high=1.0)
    landmarks = _floats("landmarks", landmarks, last_axis=2)
    if landmarks.shape[-2] != len(vocabulary.LANDMARKS):
        raise ValueError(
            f"`landmarks` must hold {len(vocabulary.LANDMARKS)} points. "
            f"Received: landmarks.shape={landmarks.shape}"
        )
    centre = np.clip(landmarks, 0.0, 1.0)[..., ::-1]
    squares = np.concatenate([centre - radius, centre + radius], axis=-1).clip(0.0, 1.0)
    known = np.isfinite(landmarks).all(axis=-1)
    boxes = _after_whole_face(np.where(known[..., None], squares, WHOLE_FACE))
    return boxes, np.concatenate([np.ones_like(known[..., :1]), known], axis=-1)


def _after_whole_face(squares: np.ndarray) -> np.ndarray:
    whole = np.broadcast_to(WHOLE_FACE, (*squares.shape[:-2], 1, 4))
    return np.concatenate([whole, squares], axis=-2).astype(np.float32)


def _floats(name: str, value, *, last_axis: int) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):
            array = np.asarray(value, np.float32)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"`{name}` must be an array of numbers. Received: {error}") from error
    if array.ndim < 2 or array.shape[-1] != last_axis:
        raise ValueError(
            f"`{name}` must have shape [..., n, {last_axis}]. Received: {name}.shape={array.shape}"
        )
    return array
