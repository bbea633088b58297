"""Clips that tests make: of plain frames whose brightness tells which they are."""

import pathlib
import struct
from fractions import Fraction

import av
import numpy as np


def write_clip(
    path: pathlib.Path,
    values,
    *,
    codec: str = "mpeg4",
    container: str | None = None,
    rate: int = 10,
    size: tuple[int, int] = (64, 48),
    start: int = 0,
    ratio: Fraction | None = None,
    options: dict[str, str] | None = None,
) -> pathlib.Path:
    """One frame for each value: a grey level, or a picture u8[H, W, 3].

    Args:
      size: width, height.
      start: frames after which the clock has begun.
      ratio: width of a pixel to its height.
      options: of the container.
    """
    with av.open(str(path), "w", format=container, options=options or {}) as out:
        stream = out.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, rate)
        if ratio:
            stream.codec_context.sample_aspect_ratio = ratio
        for i, value in enumerate(values):
            picture = np.zeros((size[1], size[0], 3), np.uint8) + np.asarray(value, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = start + i, Fraction(1, rate)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def trim(path: pathlib.Path, *, first: float, seconds: float) -> None:
    """Gives an MP4 an edit list as phones do: all frames stay, `seconds` from `first` are shown."""
    data = bytearray(path.read_bytes())
    scale = struct.unpack_from(">I", data, data.index(b"mdhd") + 16)[0]
    # Lengths are in thousandths, as FFmpeg writes them, and stand in the header of each track, too.
    length = round(seconds * 1000)
    struct.pack_into(">Ii", data, data.index(b"elst") + 12, length, round(first * scale))
    struct.pack_into(">I", data, data.index(b"mvhd") + 20, length)
    struct.pack_into(">I", data, data.index(b"tkhd") + 24, length)
    path.write_bytes(data)


def set_matrix(path: pathlib.Path, matrix: tuple[int, int, int, int]) -> None:
    """Sets a, b, c, d of an MP4's display matrix: x' = a x + c y, y' = b x + d y."""
    data = bytearray(path.read_bytes())
    a, b, c, d = (value << 16 for value in matrix)
    start = data.index(b"tkhd") + 44
    struct.pack_into(">9i", data, start, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
