"""Who is who from frame to frame: the same number for the same person.

First by position: a face where somebody is expected is theirs, unless it looks like another. Then
by appearance: it finds those again who were away, were cut to, or moved further than their speed
tells. The first half follows ByteTrack (arXiv 2110.06864), whose package brings an OpenCV that
overwrites ours.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

# How alike two faces are (see `appearance`): of 300 pairs of photos, and 20 seconds of one who
# cries, laughs and covers her face, the same person is above SAME, and another below; see
# docs/guides/videos.md.
SAME = 0.6
# Below it a face near to where somebody is expected is not theirs, and its look is not kept as
# theirs. It is theirs all the same where it hardly moved: faces turn away and are covered, and
# detectors mistake landmarks.
_OTHER = 0.5
_HARDLY, _MOMENT = 0.35, 1.5
# Somebody else is meant who is more alike than this.
_CLEARLY = 0.1

# Seconds after which a place says nothing any more.
_RECENT = 2.0
# Sides of a face that somebody may be off from where their speed leads, at once and after a second.
_REACH, _DRIFT, _FURTHEST = 0.6, 0.6, 1.5
# Looks of a person that are kept, none more alike than this.
_MOST_LOOKS, _NEWS = 8, 0.85
# People that are known at once: the longest away is forgotten, so that memory has an end.
MOST_PEOPLE = 100


@dataclasses.dataclass(eq=False)
class _Person:
    """Somebody who was seen.

    Attributes:
      number: from 1, in the order of appearance.
      place: f64[3], the middle's y and x and the side, pixels.
      speed: f64[2], of the middle, per second.
      seconds: when they were last seen.
      looks: f32[m, d], the last of them the latest.
    """

    number: int
    place: np.ndarray
    speed: np.ndarray
    seconds: float
    looks: np.ndarray

    def expected(self, seconds: float) -> np.ndarray:
        """Where they are now, if they went on as they did: as `place`."""
        return np.append(self.place[:2] + self.speed * (seconds - self.seconds), self.place[2])

    def see(self, seconds: float, place: np.ndarray, look: np.ndarray | None) -> None:
        passed = seconds - self.seconds
        if 0 < passed <= _RECENT:
            # Half of what it was, because detectors' boxes breathe.
            self.speed = (self.speed + (place - self.place)[:2] / passed) / 2
        else:
            self.speed = np.zeros(2)
        self.place, self.seconds = place, seconds
        if look is None:
            return
        kept = self.looks[:-1]
        # The latest was kept for itself; now it stays if it shows something new.
        latest = self.looks[-1]
        if not len(kept) or (kept @ latest).max() < _NEWS:
            kept = np.concatenate([kept, latest[np.newaxis]])[-_MOST_LOOKS:]
        self.looks = np.concatenate([kept, look[np.newaxis]])


class People:
    """Gives the faces of frame after frame the numbers of people.

    Raises:
      ImportError: if SciPy is not installed.

    Attributes:
      numbers: of all who are known, in the order of appearance. No number is given twice.
    """

    def __init__(self) -> None:
        try:
            # Here, because photos need none of it.
            from scipy import optimize
        except ModuleNotFoundError as error:
            raise ImportError(
                "following people through a video needs SciPy: pip install 'ran_tf[video]'"
            ) from error
        self._assign = optimize.linear_sum_assignment
        self._people: list[_Person] = []
        self._last = 0

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(person.number for person in self._people)

    def recognise(
        self, seconds: float, boxes: Sequence[np.ndarray], looks: np.ndarray, *, cut: bool = False
    ) -> list[int]:
        """Says whose the faces of the next frame are.

        Args:
          seconds: when it is; no earlier than the frame before.
          boxes: f32[4] of each face: y0, x0, y1, x1, pixels.
          looks: f32[n, d], of length 1, see `appearance`.
          cut: the frame before shows another scene: places say nothing.

        Returns:
          n different numbers.
        """
        places = np.array([_place(box) for box in boxes]).reshape(-1, 3)
        found: dict[int, _Person] = {}
        if len(places) and self._people:
            alike = np.stack([(p.looks @ looks.T).max(axis=0) for p in self._people])
            away = np.stack([_distances(p.expected(seconds), places) for p in self._people])
            passed = np.array([[seconds - p.seconds] for p in self._people])
            reach = np.minimum(_REACH + _DRIFT * passed, _FURTHEST)
            # Nobody's, if another who is known looks it, and clearly more so.
            best = alike.max(axis=0)
            meant = (best < SAME) | (alike > best - _CLEARLY)
            near = (away <= reach) & (passed <= _RECENT) & (alike >= _OTHER)
            hardly = (away <= _HARDLY) & (passed <= _MOMENT)
            if not cut:
                # A face's side off counts as much as half of all likeness.
                found = self._match(away + 2 * (1 - alike), (near | hardly) & meant, found)
            found = self._match(1 - alike, alike >= SAME, found)
        for i, (place, look) in enumerate(zip(places, looks, strict=True)):
            if i in found:
                known = (found[i].looks @ look).max() >= _OTHER
                found[i].see(seconds, place, look if known else None)
            else:
                found[i] = self._meet(seconds, place, look)
        self._forget(seconds)
        return [found[i].number for i in range(len(places))]

    def _match(self, cost, allowed, found: dict[int, _Person]) -> dict[int, _Person]:
        """Adds the cheapest pairs of people and faces, of those allowed and not yet found."""
        taken = {id(person) for person in found.values()}
        rows = [i for i, person in enumerate(self._people) if id(person) not in taken]
        columns = [j for j in range(cost.shape[1]) if j not in found]
        if not rows or not columns:
            return found
        cost, allowed = cost[np.ix_(rows, columns)], allowed[np.ix_(rows, columns)]

        # Dearer than all others together: as few as possible.
        never = 1 + cost.max() * (1 + min(cost.shape))
        pairs = zip(*self._assign(np.where(allowed, cost, never)), strict=True)
        return found | {columns[j]: self._people[rows[i]] for i, j in pairs if allowed[i, j]}

    def _meet(self, seconds: float, place: np.ndarray, look: np.ndarray) -> _Person:
        self._last += 1
        person = _Person(self._last, place, np.zeros(2), seconds, look[np.newaxis])
        self._people.append(person)
        return person

    def _forget(self, now: float) -> None:
        """Those who are away longest, if there are too many; nobody who is seen."""
        while len(self._people) > MOST_PEOPLE:
            longest = min(self._people, key=lambda person: person.seconds)
            if longest.seconds >= now:
                return
            self._people.remove(longest)


def _place(box: np.ndarray) -> np.ndarray:
    y0, x0, y1, x1 = np.asarray(box, np.float64)
    return np.array([(y0 + y1) / 2, (x0 + x1) / 2, max(np.sqrt((y1 - y0) * (x1 - x0)), 1.0)])


def _distances(place: np.ndarray, places: np.ndarray) -> np.ndarray:
    """f64[n], in sides of a face; one twice as large is as far as one a side away."""
    side = max(place[2], 1.0)
    moved = np.hypot(*(places[:, :2] - place[:2]).T) / np.sqrt(side * places[:, 2])
    return np.hypot(moved, np.log2(places[:, 2] / side))
