"""A prediction as a picture: the face, and its regions with their weights, as in the paper."""

import functools
import os
import pathlib

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ran_tf.checks import check_whole
from ran_tf.inference.figure_style import BLUE, INK, VERMILION, rgb
from ran_tf.inference.prediction import Prediction

# Outlines of the regions that counted most and least.
HIGHEST, LOWEST = rgb(VERMILION), rgb(BLUE)

_PAPER, _INK = (255, 255, 255), rgb(INK)
_COLUMNS = 8
# Sides relative to the side of a tile.
_GAP, _OUTLINE, _CAPTION, _TITLE = 0.12, 0.04, 0.16, 0.22


def annotate_face(face: np.ndarray, prediction: Prediction, *, tile: int = 112) -> np.ndarray:
    """Draws a face with its label and probability, and each region above its weight.

    The region of the largest weight is outlined in red, that of the smallest in blue. Equal weights
    have no outlines. A whole-face model has no regions to draw.

    Args:
      face: u8[H, W, 3], RGB: the pixels that the model saw.
      prediction: the answer of the model.
      tile: side of the square that a region is fitted into, pixels. All else grows with it.

    Returns:
      u8[h, w, 3], RGB, on white, with eight regions a row.

    Raises:
      ValueError: if `face` has another shape or dtype, or `tile` is below 16.

    Example:
      >>> prediction = ran_tf.Prediction(
      ...     label="fear",
      ...     probabilities=np.float32([0.75, 0.25]),
      ...     weights=np.full(6, 1 / 6, np.float32),
      ...     boxes=ran_tf.fixed_boxes(6),
      ... )
      >>> ran_tf.annotate_face(np.zeros((48, 48, 3), np.uint8), prediction).dtype
      dtype('uint8')
    """
    check_whole("tile", tile, low=16)
    face = np.asarray(face)
    if face.dtype != np.uint8 or face.ndim != 3 or face.shape[-1] != 3 or 0 in face.shape:
        raise ValueError(
            "`face` must be u8[H, W, 3], RGB, with at least one pixel. "
            f"Received: face.shape={face.shape}, dtype={face.dtype}"
        )
    weights = np.asarray(prediction.weights, np.float64)
    k = len(weights) if len(weights) > 1 else 0
    rows, columns = -(-k // _COLUMNS), min(k, _COLUMNS)
    gap, outline, caption, title = (
        round(tile * share) for share in (_GAP, _OUTLINE, _CAPTION, _TITLE)
    )
    pitch = tile + gap + caption
    # As tall as all rows of regions, to the foot of the last tile.
    side = tile + max(0, rows - 1) * pitch
    heading = f"{prediction.label} {prediction.probability:.1%}"
    title_font, caption_font = font(title, bold=True), font(caption, bold=False)
    width = max(
        gap + side + gap + (gap + columns * (tile + gap) if k else 0),
        2 * gap + int(np.ceil(title_font.getlength(heading))),
    )
    top = gap + round(1.3 * title) + gap
    height = top + side + (caption + gap // 2 if k else 0) + gap
    canvas = np.full((height, width, 3), _PAPER, np.uint8)

    _paste(canvas, face, y=top, x=gap, side=side)
    # Large before regions are cut out, so that those of a tiny face are not rounded to its pixels.
    large = _fit(face, side=4 * tile)
    left = gap + side + 2 * gap
    places = [(top + i // _COLUMNS * pitch, left + i % _COLUMNS * (tile + gap)) for i in range(k)]
    colours = {}
    if k and np.ptp(weights) > 0:
        colours = {int(weights.argmax()): HIGHEST, int(weights.argmin()): LOWEST}
    for i, (y, x) in enumerate(places):
        region = _cut(large, prediction.boxes[i])
        _paste(canvas, region, y=y, x=x, side=tile, outline=outline, colour=colours.get(i))

    image = Image.fromarray(canvas)
    draw = ImageDraw.Draw(image)
    draw.text((gap, gap), heading, font=title_font, fill=_INK)
    for i, (y, x) in enumerate(places):
        draw.text(
            (x + tile / 2, y + tile + gap / 2),
            f"{weights[i]:.1%}",
            font=caption_font,
            fill=colours.get(i, _INK),
            anchor="mt",
        )
    return np.array(image)


def write_png(path: str | os.PathLike, picture: np.ndarray) -> None:
    """Writes u8[H, W, 3], RGB, as a PNG file."""
    Image.fromarray(picture).save(path, "PNG")


def _cut(face: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The pixels of a box in 0..1, at least one of them."""
    height, width = face.shape[:2]
    y0, x0, y1, x1 = np.round(np.clip(box, 0, 1) * ([height, width] * 2)).astype(int)
    y0, x0 = min(y0, height - 1), min(x0, width - 1)
    return face[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]


def _fit(image: np.ndarray, *, side: int) -> np.ndarray:
    """Resized to a longer side of `side` pixels, in its proportions."""
    scale = side / max(image.shape[:2])
    height, width = (max(1, round(scale * length)) for length in image.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=method)


def _paste(canvas, image, *, y: int, x: int, side: int, outline: int = 0, colour=None) -> None:
    """Puts an image into the middle of a square at y, x; an outline goes around the image."""
    fitted = _fit(image, side=side)
    height, width = fitted.shape[:2]
    y, x = y + (side - height) // 2, x + (side - width) // 2
    if colour is not None:
        canvas[y - outline : y + height + outline, x - outline : x + width + outline] = colour
    canvas[y : y + height, x : x + width] = fitted


@functools.cache
def font(size: int, *, bold: bool) -> ImageFont.FreeTypeFont:
    import matplotlib  # who draws nothing does not wait for it

    # Matplotlib brings it along; unlike OpenCV's it has more letters than ASCII's.
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(pathlib.Path(matplotlib.get_data_path(), "fonts/ttf", name), size)
