"""MTCNN (Zhang et al. 2016, arXiv 1604.02878) in batches, without TensorFlow.

The networks are those of the package `mtcnn` (`mtcnn_networks`), and so is the arithmetic of boxes,
with one change: the image pyramid ends where a level would be smaller than the first network's 12
pixels. mtcnn 1.0.0 counts its levels without regard to `min_face_size`, so that a large one fails
inside, which it reports as "no face".
"""

import cv2
import numpy as np

from ran_tf.faces import mtcnn_networks
from ran_tf.faces.detect import DetectorConfig
from ran_tf.faces.face import Face
from ran_tf.faces.upright import turn_upright

# Side of the first network's window, and how far one is from the next, pixels of a level.
_CELL, _STRIDE = 12, 2
_SMALLEST_FACE = 20  # Pixels; the package's own limit.
_SCALE_FACTOR = 0.709
_MAX_PIXELS = 4_000_000  # Of one batch: bounds the memory.
# The package's thresholds of the first two stages; a lower final one lowers them too.
_MAX_FIRST, _MAX_SECOND = 0.6, 0.7

# Columns of a proposal: image, x1, y1, x2, y2, score, five x, five y.
_IMAGE, _BOX, _SCORE = 0, slice(1, 5), 5


def create_search(config: DetectorConfig, *, threads: int | None = None):
    """Returns a function from (images u8[H,W,3] RGB, smallest sides in pixels) to lists of Face.

    Args:
      config: says the lowest score.
      threads: of one search; None takes one for each core.
    """
    networks = {name: mtcnn_networks.load(name, threads=threads) for name in mtcnn_networks.NAMES}

    def search(images, min_sides):
        found: list[list[Face]] = [[] for _ in images]
        for positions in _batches_of_equal_shape(images, min_sides):
            batch = np.stack([images[i] for i in positions])
            min_side = max(_SMALLEST_FACE, float(min_sides[positions[0]]))
            views = (batch.astype(np.float32) - np.float32(127.5)) / np.float32(128)
            rows = _search_batch(
                views, min_side=min_side, min_score=config.min_score, networks=networks
            )
            for row in rows:
                found[positions[int(row[_IMAGE])]].append(_to_face(row))
        return found

    def search_and_turn(images, min_sides):
        return turn_upright(search, images, search(images, min_sides))

    return search_and_turn


def _batches_of_equal_shape(images, min_sides) -> list[list[int]]:
    groups: dict[tuple, list[int]] = {}
    for position, (image, min_side) in enumerate(zip(images, min_sides, strict=True)):
        groups.setdefault((image.shape, min_side), []).append(position)
    batches = []
    for (shape, _), positions in groups.items():
        size = max(1, _MAX_PIXELS // (shape[0] * shape[1]))
        batches += [positions[i : i + size] for i in range(0, len(positions), size)]
    return batches


def _search_batch(images: np.ndarray, *, min_side, min_score, networks) -> np.ndarray:
    """Runs the three stages on f32[b,h,w,3]: f64[n,16], a row for each face."""
    _, height, width, _ = images.shape
    proposals = [np.empty((0, 6))]
    scale = _CELL / min_side
    while scale * min(height, width) >= _CELL:
        size = (int(width * scale), int(height * scale))
        level = np.stack([cv2.resize(i, size, interpolation=cv2.INTER_AREA) for i in images])
        found = _propose(networks["first"](level), min_score=min(_MAX_FIRST, min_score))
        found[:, _BOX] /= scale
        proposals.append(_suppress(found, most=0.5))
        scale *= _SCALE_FACTOR
    rows = _to_square(_suppress(np.concatenate(proposals), most=0.7))
    if not len(rows):
        return np.empty((0, 16))
    said = networks["second"](_patches(images, rows, side=24))
    rows = _refine(rows, said, min_score=min(_MAX_SECOND, min_score))
    rows = _to_square(_suppress(rows, most=0.7))
    if not len(rows):
        return np.empty((0, 16))
    said = networks["third"](_patches(images, rows, side=48))
    # Of the square that was looked at, not of the refined box.
    sides = np.repeat(rows[:, 3:5] - rows[:, 1:3] + 1, 5, axis=1)
    points = sides * said["landmarks"] + np.repeat(rows[:, 1:3], 5, axis=1) - 1
    rows = _refine(np.hstack([rows, points]), said, min_score=min_score)
    return _suppress(rows, most=0.7, of_smaller=True)


def _propose(said: dict[str, np.ndarray], *, min_score: float) -> np.ndarray:
    """Proposals of the first network on a level: f64[n,6], in pixels of the level."""
    odds = said["odds"][..., 1]
    image, y, x = np.nonzero(odds > min_score)
    corners = np.stack([x, y], axis=1) * _STRIDE
    box = np.concatenate([corners + 1, corners + _CELL], axis=1)
    box = box + said["offsets"][image, y, x] * (_CELL - 1)
    return np.column_stack([image, box, odds[image, y, x]])


def _refine(rows: np.ndarray, said: dict[str, np.ndarray], *, min_score: float) -> np.ndarray:
    """Boxes moved by a network's offsets, with its scores; those above the lowest score."""
    rows = rows.copy()
    sides = np.tile(rows[:, 3:5] - rows[:, 1:3] + 1, 2)
    rows[:, _BOX] += said["offsets"] * sides
    rows[:, _SCORE] = said["odds"][:, 1]
    return rows[rows[:, _SCORE] > min_score]


def _to_square(rows: np.ndarray) -> np.ndarray:
    rows = rows.copy()
    centre, sides = (rows[:, 1:3] + rows[:, 3:5]) / 2, rows[:, 3:5] - rows[:, 1:3]
    half = sides.max(axis=1, keepdims=True) / 2
    rows[:, 1:3], rows[:, 3:5] = centre - half, centre + half
    return rows


def _suppress(rows: np.ndarray, *, most: float, of_smaller: bool = False) -> np.ndarray:
    """Drops what overlaps with anything of its image that scores more.

    Args:
      rows: [n,6] or more columns.
      most: overlap that is allowed, as a fraction of both boxes together.
      of_smaller: as a fraction of the smaller box.
    """
    # As the package sorts: of many that are sure beyond float32, the last comes first.
    rows = rows[np.argsort(rows[:, _SCORE])[::-1]]
    kept = [_suppress_image(some, most, of_smaller) for some in _by_image(rows)]
    return np.concatenate(kept) if kept else rows


def _by_image(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[rows[:, _IMAGE] == image] for image in np.unique(rows[:, _IMAGE])]


def _suppress_image(rows: np.ndarray, most: float, of_smaller: bool) -> np.ndarray:
    low, high = rows[:, 1:3], rows[:, 3:5]
    areas = (high - low).prod(axis=1)
    sides = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
    shared = np.maximum(sides, 0).prod(axis=-1)
    if of_smaller:
        whole = np.minimum(areas[:, None], areas)
    else:
        whole = areas[:, None] + areas - shared
    return rows[~np.triu(shared > most * whole, k=1).any(axis=0)]


def _patches(images: np.ndarray, rows: np.ndarray, *, side: int) -> np.ndarray:
    """The pixels of boxes, from corner to corner, grey outside of the image: f32[n,side,side,3]."""
    _, height, width, _ = images.shape
    steps = np.linspace(0, 1, side)
    x0, y0, x1, y1 = (rows[:, column, None] for column in range(1, 5))

    def places(low, high, count):
        at = (low + (high - low) * steps) / count * (count - 1)
        first = np.clip(np.floor(at).astype(int), 0, count - 1)
        return at, first, np.minimum(first + 1, count - 1), (at >= 0) & (at <= count - 1)

    y, top, bottom, in_y = places(y0, y1, height)
    x, left, right, in_x = places(x0, x1, width)
    image = rows[:, _IMAGE].astype(int)[:, None, None]

    def at(rows_, columns):
        return images[image, rows_[:, :, None], columns[:, None, :]]

    down, across = ((a - f)[..., None].astype(np.float32) for a, f in ((y, top), (x, left)))
    down, across = down[:, :, None], across[:, None]
    upper = at(top, left) + (at(top, right) - at(top, left)) * across
    lower = at(bottom, left) + (at(bottom, right) - at(bottom, left)) * across
    inside = (in_y[:, :, None] & in_x[:, None, :])[..., None]
    return np.where(inside, upper + (lower - upper) * down, np.float32(0))


def _to_face(row: np.ndarray) -> Face:
    x1, y1, x2, y2, score = row[1:6]
    return Face(
        box=np.array([y1, x1, y2, x2], np.float32),
        score=float(score),
        landmarks=np.stack([row[6:11], row[11:16]], axis=1).astype(np.float32),
    )
