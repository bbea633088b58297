"""From the bytes that somebody uploads to the faces on it, each cut out for each network."""

import dataclasses
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from ran_tf.faces import align
from ran_tf.faces import face as found
from ran_tf.images.decoding import decode_image
from ran_tf.weights.card import ModelCard

# Sides of what the page shows, pixels.
_PHOTO_SIDE, _FACE_SIDE = 880, 336
# A crowd is no demonstration, and every face becomes a button.
_MAX_FACES = 24


@dataclasses.dataclass(frozen=True, eq=False)
class Face:
    """One face of a photo.

    Attributes:
      box: f64[4], y0, x0, y1, x1 in 0..1 of the photo.
      view: u8[s, s, 3], RGB, aligned as the first network wants it, large enough to look at.
      crops: for each network u8[h, w, 3], RGB: what it sees.
    """

    box: np.ndarray
    view: np.ndarray
    crops: tuple[np.ndarray, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Photo:
    """A photo with its faces; its own pixels are not kept.

    Attributes:
      view: u8[H, W, 3], RGB, upright and small.
      faces: from left to right, at most 24, the largest; may be empty.
      largest: index of the largest.
      whole: the largest centred square, as if it were the crop of a face.
    """

    view: np.ndarray
    faces: tuple[Face, ...]
    largest: int
    whole: Face


def analyse(data: bytes, *, cards: Sequence[ModelCard], find_faces: Callable) -> Photo:
    """Finds the faces of a photo and cuts them out.

    Args:
      data: an image file, see `ran_tf.images.decoding.decode_image` and its limits.
      cards: of the networks; they say how faces are cut.
      find_faces: made by `ran_tf.faces.create_detector`.

    Raises:
      ValueError: for what is no image, or too large.
    """
    image = decode_image(data)
    (found,) = find_faces([image])
    found = sorted(found, key=lambda face: face.area)[-_MAX_FACES:]
    # The rightmost of the sorted by area is the largest; the page counts from left to right.
    largest = found[-1] if found else None
    found.sort(key=lambda face: float(face.box[1] + face.box[3]))
    return Photo(
        view=_shrink(image, side=_PHOTO_SIDE),
        faces=tuple(_cut_face(image, face, cards=cards) for face in found),
        largest=0 if largest is None else found.index(largest),
        whole=_cut_whole(image, cards=cards),
    )


def _cut_face(image: np.ndarray, face: found.Face, *, cards: Sequence[ModelCard]) -> Face:
    # Pixel centres lie at whole numbers: half a pixel more on every side is the outline.
    box = (face.box + np.array([-0.5, -0.5, 0.5, 0.5]) + 0.5) / np.tile(image.shape[:2], 2)
    return Face(
        box=box.clip(0.0, 1.0),
        view=align.align_for(cards[0], image, face.landmarks, size=_FACE_SIDE).image,
        crops=tuple(align.align_for(card, image, face.landmarks).image for card in cards),
    )


def _cut_whole(image: np.ndarray, *, cards: Sequence[ModelCard]) -> Face:
    side = np.array(image.shape[:2])
    margin = (side - side.min()) / 2.0 / side
    return Face(
        box=np.concatenate([margin, 1.0 - margin]),
        view=align.centre_square(image, size=_FACE_SIDE),
        crops=tuple(align.centre_square(image, size=align.side_for(card)) for card in cards),
    )


def _shrink(image: np.ndarray, *, side: int) -> np.ndarray:
    scale = side / max(image.shape[:2])
    if scale >= 1.0:
        return image
    height, width = (max(1, round(scale * length)) for length in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
