"""A video with its people drawn in: who, which expression, and the region that counted most."""

import contextlib
import fractions
import os
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw

from ran_tf.faces import align
from ran_tf.inference.annotate import font
from ran_tf.inference.following import VideoFrame
from ran_tf.inference.prediction import FoundFace
from ran_tf.regions.words import describe_region
from ran_tf.safety import files
from ran_tf.weights.card import ModelCard

# Of people by number, over and over: Okabe and Ito's, which the colour-blind tell apart.
COLOURS = (
    *((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66)),
    *((213, 94, 0), (204, 121, 167), (0, 114, 178)),
)
_INK = (20, 20, 20)

# Thousandths of a second, as rows have them.
_CLOCK = fractions.Fraction(1, 1000)
# Letters and lines relative to the frame's shorter side.
_LETTERS, _LINE, _LEAST_LETTERS = 0.034, 0.005, 11
# What the heaviest region is filled with.
_VEIL = 0.22


def draw_people(frame: VideoFrame, *, card: ModelCard, labels: Sequence[str]) -> np.ndarray:
    """Draws into a frame who is seen in it.

    Each has a box of their own colour, under their number, expression and its smoothed probability;
    where one region counted more than the whole face, it is veiled, and named with its weight.

    Args:
      frame: from `Predictor.video`.
      card: of the model: how it cuts faces out.
      labels: class names.

    Returns:
      u8[H, W, 3], RGB.
    """
    seen = {p.person: p.face for p in frame.people if p.face is not None}
    smoothed = {p.person: p.smoothed for p in frame.people if p.smoothed is not None}
    image = frame.image.copy()
    for number, face in seen.items():
        _veil_region(image, face, card=card, colour=colour_of(number))
    shorter = min(image.shape[:2])
    line = max(1, round(_LINE * shorter))
    letters = max(_LEAST_LETTERS, round(_LETTERS * shorter))
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    for number, face in seen.items():
        y0, x0, y1, x1 = (round(float(side)) for side in face.box)
        colour = colour_of(number)
        draw.rounded_rectangle((x0, y0, x1, y1), 2 * line, outline=colour, width=line)
        best = int(smoothed[number].argmax())
        words = [f"{number}  {labels[best]} {smoothed[number][best]:.0%}", *_region(face)]
        _write(draw, words, colour=colour, y=y0, x=x0, letters=letters, size=picture.size)
    _write_clock(draw, frame.seconds, letters=letters, size=picture.size)
    return np.array(picture)


def colour_of(person: int) -> tuple[int, int, int]:
    return COLOURS[(person - 1) % len(COLOURS)]


def _region(face: FoundFace) -> list[str]:
    """The region that counted most, and how much, in words; nothing if there is none."""
    heaviest = _heaviest(face)
    if heaviest is None:
        return []
    prediction = face.prediction
    region = describe_region(prediction.boxes[heaviest])
    return [f"{region}: {prediction.weights[heaviest]:.0%}"]


def _heaviest(face: FoundFace) -> int | None:
    """The region that counted most, None if it is the whole face or all counted alike."""
    weights = face.prediction.weights
    heaviest = int(weights.argmax())
    return heaviest if heaviest and np.ptp(weights) > 0 else None


def _veil_region(image: np.ndarray, face: FoundFace, *, card: ModelCard, colour) -> None:
    heaviest = _heaviest(face)
    if heaviest is None:
        return
    y0, x0, y1, x1 = face.prediction.boxes[heaviest]
    matrix = align.crop_matrix(face.landmarks, size=1, margin=card.crop_margin, drop=card.crop_drop)
    # Of a face one pixel large, whose edges are half a pixel off its middle.
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]) - 0.5
    back = cv2.invertAffineTransform(matrix)
    corners = np.rint(corners @ back[:, :2].T + back[:, 2]).astype(np.int32)
    # No more of the frame than the region needs.
    low = np.maximum(corners.min(axis=0) - 2, 0)
    high = np.minimum(corners.max(axis=0) + 3, image.shape[1::-1])
    if (low >= high).any():
        return
    part = image[low[1] : high[1], low[0] : high[0]]
    veil = cv2.fillConvexPoly(part.copy(), corners - low, colour, lineType=cv2.LINE_AA)
    part[:] = cv2.addWeighted(veil, _VEIL, part, 1 - _VEIL, 0)
    outlined = np.ascontiguousarray(part)
    cv2.polylines(outlined, [corners - low], True, colour, 1, lineType=cv2.LINE_AA)
    part[:] = outlined


def _write(draw, words: list[str], *, colour, y: int, x: int, letters: int, size) -> None:
    """On a plate of the person's colour above their box, or in it where there is no room."""
    fonts = [font(letters, bold=True), font(round(0.8 * letters), bold=False)][: len(words)]
    pad = letters // 3
    width = 2 * pad + max(f.getlength(w) for f, w in zip(fonts, words, strict=True))
    pitch = round(1.25 * letters)
    height = pitch * len(words) + pad
    left = int(np.clip(x, 0, max(0, size[0] - width)))
    top = y - height - pad
    if top < 0:
        top = min(y + pad, max(0, size[1] - height))
    plate = (left, top, left + round(width), top + height)
    draw.rounded_rectangle(plate, pad, fill=colour)
    for i, (f, text) in enumerate(zip(fonts, words, strict=True)):
        middle = top + pad / 2 + pitch * (i + 0.5)
        draw.text((left + pad, middle), text, font=f, fill=_INK, anchor="lm")


def _write_clock(draw, seconds: float, *, letters: int, size) -> None:
    text = f"{int(seconds // 60)}:{seconds % 60:04.1f}"
    pad = letters // 2
    place = (size[0] - pad, size[1] - pad)
    letters_of = font(letters, bold=False)
    draw.text(
        *(place, text),
        font=letters_of,
        anchor="rs",
        fill="white",
        stroke_width=max(1, letters // 10),
        stroke_fill="black",
    )


class _NoFrame(Exception):
    """Nothing was drawn: no file is to appear."""


class AnnotatedVideo:
    """A video that is being written, see `open_annotated`."""

    def __init__(self, container: Any, *, card: ModelCard, labels: Sequence[str]):
        self._container, self._card, self._labels = container, card, labels
        self._stream: Any = None
        self._last: int | None = None

    def add(self, frame: VideoFrame) -> None:
        """Draws a frame and appends it at its time; one of another size is fitted into the first's.

        Frames less than a thousandth of a second after the last one are left out.
        """
        at = round(frame.seconds / _CLOCK)
        if self._last is not None and at <= self._last:
            return
        self._last = at
        if self._stream is None:
            self._stream = self._open_stream(*frame.image.shape[:2])
        drawn = draw_people(frame, card=self._card, labels=self._labels)
        self._encode(_fit(drawn, height=self._stream.height, width=self._stream.width), at=at)

    def finish(self) -> None:
        if self._stream is None:
            raise _NoFrame
        self._container.mux(self._stream.encode(None))

    def _open_stream(self, height: int, width: int):
        import av

        try:
            codec, options = av.codec.Codec("libx264", "w").name, {"crf": "20", "preset": "fast"}
        except ValueError:  # a build of FFmpeg without what is GPL
            codec, options = "mpeg4", {"qscale": "3"}
        stream: Any = self._container.add_stream(codec, rate=25, options=options)
        # Most players want even sides.
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = _CLOCK
        return stream

    def _encode(self, image: np.ndarray, *, at: int) -> None:
        import av

        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = at, _CLOCK
        self._container.mux(self._stream.encode(frame))


@contextlib.contextmanager
def open_annotated(
    path: str | os.PathLike, *, card: ModelCard, labels: Sequence[str]
) -> Iterator[AnnotatedVideo]:
    """Yields an `AnnotatedVideo`; the MP4 file appears whole at the end, or not at all.

    It does not without a frame, or if the block ends in an exception.

    Raises:
      ImportError: if PyAV is not installed.
      OSError: if it cannot be written.
    """
    try:
        import av
    except ModuleNotFoundError as error:
        raise ImportError("videos need PyAV: pip install 'ran_tf[video]'") from error
    # Its table of contents first, so that browsers show it while it loads.
    options = {"movflags": "faststart"}
    with (
        contextlib.suppress(_NoFrame),
        files.atomic_path(path) as partial,
        av.open(str(partial), "w", format="mp4", options=options) as container,
    ):
        film = AnnotatedVideo(container, card=card, labels=labels)
        yield film
        film.finish()


def _fit(image: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """Filled up to even sides; if it is not of the first frame's size, on black."""
    below, right = height - image.shape[0], width - image.shape[1]
    if below in (0, 1) and right in (0, 1):
        return cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
    scale = min(height / image.shape[0], width / image.shape[1])
    sides = [max(1, int(scale * n)) for n in image.shape[1::-1]]
    image = cv2.resize(image, sides, interpolation=cv2.INTER_AREA)
    below, right = height - image.shape[0], width - image.shape[1]
    edges = (below // 2, below - below // 2, right // 2, right - right // 2)
    return cv2.copyMakeBorder(image, *edges, cv2.BORDER_CONSTANT)
