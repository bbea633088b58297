"""A detected face, and what can be said of it by itself or beside another."""

import dataclasses
from collections.abc import Sequence

import numpy as np


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


def without_doubles(faces: Sequence[Face]) -> list[Face]:
    """Of faces that overlap by half the one with the best score, which are in its order."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(overlap(face, other) < 0.5 for other in kept):
            kept.append(face)
    return kept


def from_mirrored(face: Face, *, width: int) -> Face:
    """A face of a mirrored photo in the photo of so many pixels itself."""
    y0, x0, y1, x1 = face.box
    points = np.stack([width - 1 - face.landmarks[:, 0], face.landmarks[:, 1]], axis=1)
    return Face(
        box=np.array([y0, width - 1 - x1, y1, width - 1 - x0], np.float32),
        score=face.score,
        landmarks=order_landmarks(points),
    )


def from_turned(face: Face, *, quarters: int, shape: Sequence[int]) -> Face:
    """A face of `np.rot90(photo, quarters)` in the photo itself, of a shape [H,W,...]."""

    def turn_back(points: np.ndarray) -> np.ndarray:
        for done in range(quarters, 0, -1):
            # Before this turn, which put the right edge on top.
            width = shape[1] if done % 2 else shape[0]
            points = np.stack([width - 1 - points[:, 1], points[:, 0]], axis=1)
        return points

    corners = turn_back(face.box.reshape(2, 2)[:, ::-1])[:, ::-1]
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    landmarks = order_landmarks(turn_back(face.landmarks))
    return Face(box=box.astype(np.float32), score=face.score, landmarks=landmarks)
