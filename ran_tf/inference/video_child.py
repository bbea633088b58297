"""Decodes the frames of one video: the process that `video` starts.

    python video_child.py DEMUXER EVERY MAX_PIXELS <VIDEO >FRAMES

FRAMES holds for each frame a line of JSON, {"seconds", "height", "width"}, and its pixels,
u8[H,W,3] RGB; {"reading"} about once a second in between; last {"error": text or null}. The video
is its standard input, and its demuxer is named, so that no playlist or path in it leads to another
file.
"""

import json
import math
import os
import struct
import sys
import time
from collections.abc import Iterator

import av
import numpy as np

# A clock that goes back by more than this starts another recording; by less, a frame is out of
# order. Forward, streams that may jump at all (broadcasts) jump by more than any pause, as FFmpeg
# has it.
_LEAST_BACK, _LEAST_FORWARD = 0.5, 10.0
# A container's length may be a guess; so much less than it says is a video cut off.
_MOST_MISSING_SHARE, _MOST_MISSING_SECONDS = 0.1, 1.0
_MOST_DAMAGED_SHARE = 0.1
# Left unread at the end, beside a tenth of the file: an index or a table of contents has less.
_MOST_UNREAD = 2**14
# Their readers say where each packet lies, and stop at a second recording.
_TELL_PLACES = ("flv", "mpegts")
# Their lengths count from zero, others' from the first frame.
_COUNT_FROM_ZERO = ("flv", "matroska")
# Each holds frames of its own.
_MOST_THREADS = 4


class Refused(ValueError):
    """The file is no video that can be used, or not wholly."""


class _Tally:
    """What was read so far, for what there is to say at the end."""

    def __init__(self):
        self.decoded, self.damaged = 0, 0
        self.end, self.place = 0.0, 0


def send_frames(file, *, demuxer: str, every: float, max_pixels: int, send) -> None:
    """Calls `send(header, pixels)` for the first frame and one after each interval.

    Raises:
      Refused: in one line; after what could be read was sent.
    """
    size = os.fstat(file.fileno()).st_size
    try:
        container = av.open(
            "fd:",
            format=demuxer,
            options={"fd": str(file.fileno()), "protocol_whitelist": "fd"},
        )
    except (av.FFmpegError, ValueError) as error:
        raise Refused(f"not a video that can be read. Received: {size:,} bytes") from error
    with container:
        stream = _choose_stream(container, max_pixels=max_pixels)
        tally, due, said = _Tally(), 0.0, time.monotonic()
        frames = _decode(container, stream, tally)
        # PyAV's stubs take the bits of a flag for the flag.
        jumps = bool(container.format.flags & av.format.Flags.ts_discont.value)  # type: ignore[operator]
        for seconds, frame in _count_seconds(frames, step=_step(stream), jumps=jumps):
            # A microsecond, for what rounding takes from a frame that is just due.
            if seconds + 1e-6 >= due:
                due = every * (math.floor((seconds + 1e-6) / every) + 1) if every else 0.0
                pixels = _to_rgb(frame, stream.sample_aspect_ratio, max_pixels=max_pixels)
                height, width = pixels.shape[:2]
                send({"seconds": seconds, "height": height, "width": width}, pixels)
            elif time.monotonic() > said + 1:
                said = time.monotonic()
                send({"reading": seconds})
        _check_whole(container, stream, tally, demuxer=demuxer, size=size)
    # Of recordings in fragments the second is found.
    if demuxer == "mov" and _count_boxes(file, b"moov") > 1 and not _count_boxes(file, b"moof"):
        raise Refused(
            "the file holds a second recording after the one that was read. Players, too, show "
            f"only the first. Save the recordings as two files. Received: {size:,} bytes"
        )


def _choose_stream(container, *, max_pixels: int):
    # A cover or a preview is a stream, too, of one picture.
    aside = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    streams = [s for s in container.streams.video if not s.disposition & aside]
    if not streams:
        raise Refused("it has no video stream; is it an audio file?")
    known = [s for s in streams if s.codec_context is not None]
    if not known:
        raise Refused("its video uses a codec that FFmpeg does not know")
    stream = max(known, key=lambda s: s.width * s.height)
    context = stream.codec_context
    if stream.width * stream.height > max_pixels:
        raise Refused(_too_large(stream.width, stream.height, max_pixels=max_pixels))
    # Where sizes change on the way, before memory is taken: twice, for what decoders round up.
    context.options = {"max_pixels": str(2 * max_pixels)}
    context.thread_type = "AUTO"
    context.thread_count = min(_MOST_THREADS, os.cpu_count() or 1)
    return stream


def _too_large(width: int, height: int, *, max_pixels: int) -> str:
    return f"frames must have at most {max_pixels:,} pixels. Received: {width} x {height}"


def _decode(container, stream, tally: _Tally) -> Iterator[av.VideoFrame]:
    """All frames that are whole, in the order in which they are shown."""
    packets = container.demux()
    while True:
        try:
            packet = next(packets, None)
        # Damaged from here on, which the length tells; or, for PyAV, streams that came later.
        except (av.FFmpegError, IndexError):
            return
        if packet is None:
            return
        if packet.pts is not None:
            end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            tally.end = max(tally.end, end)
        tally.place = max(tally.place, (packet.pos or 0) + packet.size)
        # Not by its own index, which is 0 for the last, empty one of each stream.
        if packet.stream is not stream:
            continue
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
            tally.damaged += 1
            continue
        for frame in frames:
            if frame.is_corrupt:
                tally.damaged += 1
                continue
            tally.decoded += 1
            yield frame


def _step(stream) -> float:
    """Seconds from a frame to the next, where no clock tells."""
    rate = stream.average_rate or stream.guessed_rate
    return 1 / float(rate) if rate else 0.04


def _count_seconds(frames, *, step: float, jumps: bool) -> Iterator[tuple[float, av.VideoFrame]]:
    """Frames with the seconds since the first, which never go back."""
    origin, last, seconds = None, None, 0.0
    for frame in frames:
        now = frame.time
        if now is None:
            seconds += step if last is not None or seconds else 0.0
        elif origin is None:
            origin = now - seconds
        else:
            moved = now - last
            if moved < -_LEAST_BACK or (jumps and moved > _LEAST_FORWARD):
                origin = now - seconds - step
            seconds = max(seconds, now - origin)
        last = now if now is not None else last
        yield seconds, frame


def _to_rgb(frame, ratio, *, max_pixels: int) -> np.ndarray:
    """u8[H,W,3]: with square pixels, and turned or mirrored as the video says."""
    width, height = frame.width, frame.height
    ratio = float(ratio or 1)
    # The shorter side of a pixel is drawn out, so that no detail is lost; 1 % is nobody's to see.
    if abs(ratio - 1) > 0.01:
        width, height = max(width, round(width * ratio)), max(height, round(height / ratio))
    if width * height > max_pixels:
        raise Refused(_too_large(width, height, max_pixels=max_pixels))
    pixels = frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="BICUBIC")
    side_data = frame.side_data.get("DISPLAYMATRIX")
    if side_data is None or len(bytes(side_data)) != 36:
        return pixels
    # x' = a x + c y, y' = b x + d y: the quarter turn or mirroring that is nearest to it.
    a, b, _, c, d = struct.unpack("5i", bytes(side_data)[:20])
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels, a, d = pixels.transpose(1, 0, 2), c, b
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


def _check_whole(container, stream, tally: _Tally, *, demuxer: str, size: int) -> None:
    tried = tally.decoded + tally.damaged
    if not tally.decoded:
        codec = stream.codec_context.name
        raise Refused(
            f"the video has no frame that can be read. Received: {size:,} bytes, coded as {codec}"
        )
    start = 0 if demuxer in _COUNT_FROM_ZERO else container.start_time or 0
    read = tally.end - start / av.time_base
    expected = (container.duration or 0) / av.time_base
    if demuxer == "avi":  # the reader makes the length fit the file; the count is its maker's
        expected = max(expected, stream.frames * _step(stream))
    if expected - read > max(_MOST_MISSING_SHARE * expected, _MOST_MISSING_SECONDS):
        raise Refused(
            f"the video ends too early, after {read:.1f} of {expected:.1f} seconds. "
            f"Received: {size:,} bytes"
        )
    if tally.damaged > _MOST_DAMAGED_SHARE * tried:
        raise Refused(
            f"{tally.damaged} of {tried} frames are damaged and were left out. "
            f"Received: {size:,} bytes"
        )
    if demuxer in _TELL_PLACES and size - tally.place > max(0.1 * size, _MOST_UNREAD):
        raise Refused(
            f"the last {size - tally.place:,} bytes could not be read. They may be a second "
            f"recording: save the recordings as two files. Received: {size:,} bytes"
        )


def _count_boxes(file, kind: bytes) -> int:
    """Boxes of a kind on the top level of an MP4 file."""
    end, place, found = os.fstat(file.fileno()).st_size, 0, 0
    while place + 8 <= end:
        file.seek(place)
        length, name = struct.unpack(">I4s", file.read(8))
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        found += name == kind
        if length < 8:  # to the end of the file, or damaged
            break
        place += length
    return found


def main(demuxer: str, every: str, max_pixels: str) -> None:
    out = sys.stdout.buffer

    def send(header: dict, pixels: np.ndarray | None = None) -> None:
        out.write(json.dumps(header).encode() + b"\n")
        if pixels is not None:
            out.write(np.ascontiguousarray(pixels).data)
        out.flush()

    error = None
    try:
        send_frames(
            sys.stdin.buffer,
            demuxer=demuxer,
            every=float(every),
            max_pixels=int(max_pixels),
            send=send,
        )
    except Refused as problem:
        error = str(problem)
    send({"error": error})


if __name__ == "__main__":
    main(*sys.argv[1:])
