"""The people of a video over time, as a figure: what their faces say, and the faces."""

import array
import itertools
import math
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MultipleLocator, PercentFormatter

from ran_tf.inference import figure_style as style
from ran_tf.inference.following import VideoFrame
from ran_tf.inference.prediction import FoundFace

# Endings of the files that it is written to.
SUFFIXES = (".png", ".svg", ".pdf")

# By the first letters of a class, which datasets end differently; then others.
_COLOURS = {
    "neu": style.GREY,
    "hap": style.ORANGE,
    "sur": style.PURPLE,
    "sad": style.BLUE,
    "ang": style.VERMILION,
    "dis": style.GREEN,
    "fea": style.SKY,
    "con": style.INK,
}
_OTHERS = ("#17becf", "#bcbd22", "#1f2a44", "#ff9896", "#98df8a", "#c5b0d5")

# Of those seen most; the figure says how many are left out.
_MOST_PEOPLE = 8
# A class that never gets so far is not drawn.
_LEAST = 0.1
# Points of a line: more are not to be seen.
_MOST_POINTS = 3000
# Faces that are kept of a person, pixels of their side, and shown.
_KEPT, _SIDE, _SHOWN = 64, 80, 14
# Seconds from which on time is in minutes, and between its ticks.
_LONG, _STEPS, _MOST_TICKS = 120, (30, 60, 120, 300, 600, 1200, 1800, 3600), 13
# Inches.
_WIDTH, _FACES_HEIGHT, _PLOT_HEIGHT = 11.0, 0.62, 1.35


class Timeline:
    """Collects frames, of which it keeps numbers and a few small faces.

    Args:
      labels: class names.
    """

    def __init__(self, labels: Sequence[str]):
        self._labels = tuple(labels)
        self._people: dict[int, _Track] = {}
        self._seconds = 0.0

    def add(self, frame: VideoFrame) -> None:
        self._seconds = frame.seconds
        for person in frame.people:
            track = self._people.setdefault(person.person, _Track(len(self._labels)))
            if person.face is None or person.smoothed is None:
                track.miss(frame.seconds)
            else:
                raw = person.face.prediction.probabilities
                track.see(frame.seconds, raw=raw, smoothed=person.smoothed)
                track.show(frame.seconds, image=frame.image, face=person.face)

    @style.styled
    def figure(self, *, title: str = "") -> Figure:
        """Draws what was added.

        Raises:
          ValueError: if nobody was seen.
        """
        if not self._people:
            raise ValueError(
                "a timeline needs at least one frame in which a person is seen. Received: none"
            )
        by_time = sorted(self._people, key=lambda n: -self._people[n].seen)[:_MOST_PEOPLE]
        shown = {number: self._people[number] for number in sorted(by_time)}
        drawn = [
            i
            for i in range(len(self._labels))
            if any(np.nanmax(track.smoothed()[:, i]) >= _LEAST for track in shown.values())
        ]
        colours = colours_of(self._labels)
        heights = [_FACES_HEIGHT, _PLOT_HEIGHT] * len(shown)
        figure = Figure(figsize=(_WIDTH, sum(heights) + 1.0))
        figure.set_layout_engine("constrained", h_pad=0.02, hspace=0.0)
        axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)
        end = max(self._seconds, 1e-3)
        for (faces, plot), (number, track) in zip(axes.reshape(-1, 2), shown.items(), strict=True):
            _draw_faces(faces, track, end=end)
            _draw_lines(plot, track, drawn=drawn, colours=colours, end=end)
            plot.set_ylabel(f"person {number}", fontweight="bold")
        last = axes[-1, 0]
        last.set_xlim(0, end)
        if end >= _LONG:
            step = next((s for s in _STEPS if end / s <= _MOST_TICKS), end / _MOST_TICKS)
            last.xaxis.set_major_locator(MultipleLocator(step))
            last.xaxis.set_major_formatter(FuncFormatter(_clock))
        last.set_xlabel("minutes" if end >= _LONG else "seconds")
        left_out = len(self._people) - len(shown)
        more = f"; not shown: {left_out} seen more briefly" if left_out else ""
        heading = f"{title}{more}".removeprefix("; ")
        figure.suptitle(heading, x=0.01, ha="left")
        handles = [Line2D([], [], color=colours[i], lw=2.2, label=self._labels[i]) for i in drawn]
        faint = Line2D([], [], color=style.INK, lw=0.9, alpha=0.5, label="single frame")
        figure.legend(
            handles=[*handles, faint],
            loc="outside lower center",
            ncols=1 + len(handles),
        )
        return figure


def plot_timeline(
    frames: Iterable[VideoFrame], *, labels: Sequence[str], title: str = ""
) -> Figure:
    """Draws the probabilities of each person in a video over time, with their faces.

    Smoothed probabilities are strong lines, those of single frames faint ones. Where a person is
    not seen, the background is grey.

    Args:
      frames: from `Predictor.video`. They are read to the end, and their images are not kept.
      labels: class names, `Predictor.labels`.
      title: title of the figure.

    Returns:
      A Matplotlib figure: `figure.savefig("timeline.png")`.

    Raises:
      ValueError: if nobody was seen; and what `frames` raises.

    Example:
      >>> predictor = ran_tf.Predictor("ran_faceres_shared_ferplus")
      >>> frames = predictor.video("clip.mp4", every=0.2)  # doctest: +SKIP
      >>> figure = ran_tf.plot_timeline(frames, labels=predictor.labels)  # doctest: +SKIP
    """
    timeline = Timeline(labels)
    for frame in frames:
        timeline.add(frame)
    return timeline.figure(title=title)


class _Track:
    """One person's numbers, and faces from all over the time."""

    def __init__(self, classes: int):
        self.seen = 0
        self._classes = classes
        self._times, self._raw, self._smoothed = (array.array("f") for _ in range(3))
        # By the slot of time that they are the first of; slots double when there are too many.
        self._faces: dict[int, tuple[float, np.ndarray]] = {}
        self._slot = 0.05

    def see(self, seconds: float, *, raw: np.ndarray, smoothed: np.ndarray) -> None:
        self.seen += 1
        self._append(seconds, raw, smoothed)

    def miss(self, seconds: float) -> None:
        nothing = np.full(self._classes, np.nan)
        self._append(seconds, nothing, nothing)

    def _append(self, seconds, raw, smoothed) -> None:
        self._times.append(seconds)
        self._raw.extend(map(float, raw))
        self._smoothed.extend(map(float, smoothed))

    def show(self, seconds: float, *, image: np.ndarray, face: FoundFace) -> None:
        """Keeps a face if there is none of its time yet."""
        slot = int(seconds / self._slot)
        if slot in self._faces:
            return
        self._faces[slot] = seconds, _cut(image, face.box)
        while len(self._faces) > _KEPT:
            self._slot *= 2
            kept: dict[int, tuple[float, np.ndarray]] = {}
            for when, picture in self._faces.values():
                kept.setdefault(int(when / self._slot), (when, picture))
            self._faces = kept

    def times(self) -> np.ndarray:
        return np.array(self._times)

    def raw(self) -> np.ndarray:
        return np.array(self._raw).reshape(-1, self._classes)

    def smoothed(self) -> np.ndarray:
        return np.array(self._smoothed).reshape(-1, self._classes)

    def faces(self) -> list[tuple[float, np.ndarray]]:
        return list(self._faces.values())


def _draw_faces(axis, track: _Track, *, end: float) -> None:
    """At most one in each of equal parts of the time, in its middle."""
    axis.set_axis_off()
    axis.set_ylim(0, 1)
    found = track.faces()
    for i in range(_SHOWN):
        low, high = end * i / _SHOWN, end * (i + 1) / _SHOWN
        within = [face for face in found if low <= face[0] < high or face[0] == high == end]
        if within:
            middle = (low + high) / 2
            _, picture = min(within, key=lambda face: abs(face[0] - middle))
            # As high as the axis, and square.
            half = end * _FACES_HEIGHT / _WIDTH / 2
            extent = (middle - half, middle + half, 0, 1)
            axis.imshow(picture, extent=extent, aspect="auto", interpolation="antialiased")
    axis.set_xlim(0, end)


def _draw_lines(axis, track: _Track, *, drawn, colours, end: float) -> None:
    times, raw, smoothed = track.times(), track.raw(), track.smoothed()
    step = math.ceil(len(times) / _MOST_POINTS)
    missing = np.isnan(smoothed[:, 0])
    for low, high in _spans(times, missing, end=end):
        axis.axvspan(low, high, color="#eeeeee", lw=0)
    alone = len(times) < 40
    for i in drawn:
        axis.plot(times[::step], raw[::step, i], color=colours[i], lw=0.8, alpha=0.35)
        axis.plot(
            *(times[::step], smoothed[::step, i]),
            color=colours[i],
            lw=2.0,
            solid_capstyle="round",
            marker="o" if alone else None,
            ms=2.5,
        )
    axis.set_ylim(-0.02, 1.02)
    axis.set_yticks([0, 0.5, 1])
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.grid(axis="y")


def _spans(times, missing, *, end: float) -> list[tuple[float, float]]:
    """When somebody is not seen: from the start, and between the frames that show them."""
    seen = times[~missing]
    edges = [0.0, *map(float, seen), end]
    # Twice the usual distance between frames, for a person seen in both.
    usual = float(np.median(np.diff(times))) if len(times) > 1 else end
    return [(a, b) for a, b in itertools.pairwise(edges) if b - a > 1.5 * usual]


def _cut(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The square around a face, somewhat larger."""
    y0, x0, y1, x1 = (float(side) for side in box)
    half = 0.6 * max(y1 - y0, x1 - x0, 2.0)
    middle = ((x0 + x1) / 2, (y0 + y1) / 2)
    scale = _SIDE / (2 * half)
    shrunk = min(1.0, 2 * scale)  # what a warp would skip
    if shrunk < 1:
        image = cv2.resize(image, None, fx=shrunk, fy=shrunk, interpolation=cv2.INTER_AREA)
    scale /= shrunk
    shift = [_SIDE / 2 - shrunk * scale * side for side in middle]
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    return cv2.warpAffine(
        image, matrix, (_SIDE, _SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def colours_of(labels: Sequence[str]) -> list[str]:
    others = itertools.cycle(_OTHERS)
    return [_COLOURS.get(label[:3].lower()) or next(others) for label in labels]


def _clock(seconds: float, _: int) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"
