"""The same number for the same person: in drawn places, with drawn looks."""

import itertools

import numpy as np
import pytest

from ran_tf.inference import people

D = 64


def look(name: int, *, alike: float = 0.9, seed: int = 0) -> np.ndarray:
    """f32[D] of one of 30 people: the product with another's is about 0.4, as real ones have it.

    `alike` is the product with the same person's of alike 1.
    """
    rng = np.random.default_rng([seed, name])
    own, noise = np.eye(D)[name], np.append(np.zeros(32), rng.standard_normal(D - 32))
    common = np.eye(D)[31]
    person = np.sqrt(0.6) * own + np.sqrt(0.4) * common
    made = alike * person + np.sqrt(1 - alike**2) * noise / np.linalg.norm(noise)
    return made.astype(np.float32)


def box(y: float, x: float, side: float = 40.0) -> np.ndarray:
    return np.float32([y - side / 2, x - side / 2, y + side / 2, x + side / 2])


def follow(frames, **options):
    """Numbers by name for each frame: {name: (y, x, side)}, or with a look as the fourth."""
    known, told = people.People(), []
    for seconds, frame in frames:
        boxes = [box(*place[:3]) for place in frame.values()]
        looks = [
            place[3] if len(place) > 3 else look(name, seed=round(10 * seconds))
            for name, place in frame.items()
        ]
        numbers = known.recognise(
            seconds, boxes, np.array(looks).reshape(-1, D), cut=seconds in options.get("cuts", ())
        )
        told.append(dict(zip(frame, numbers, strict=True)))
    return told


def names_keep_their_numbers(told) -> bool:
    pairs = set(itertools.chain.from_iterable(frame.items() for frame in told))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


@pytest.mark.parametrize("every", [0.1, 0.2, 0.5, 1.0])
def test_people_who_cross(every):
    """Three, at different speeds, one hidden while another passes."""
    frames = []
    for t in np.arange(0, 6, every):
        frame = {0: (100, 40 + 90 * t, 40), 1: (105, 580 - 90 * t, 44), 2: (98, 300, 36)}
        if abs(frame[0][1] - frame[1][1]) < 30:
            del frame[1]
        frames.append((float(t), dict(sorted(frame.items(), key=lambda item: item[1][1]))))
    told = follow(frames)
    assert names_keep_their_numbers(told)
    # In the order of appearance, and of the first frame's faces.
    assert told[0] == {0: 1, 2: 2, 1: 3}


def test_somebody_who_was_away_is_known_wherever_they_return():
    frames = [(t / 5, {0: (100, 100, 40), 1: (100, 300, 40)}) for t in range(10)]
    frames += [(2 + t / 5, {1: (100, 120 + 5 * t, 40)}) for t in range(30)]
    frames += [(30 + t / 5, {0: (300, 500, 80), 1: (100, 100, 20)}) for t in range(5)]
    assert names_keep_their_numbers(follow(frames))


def test_after_a_cut_places_mean_nothing():
    before = [(t / 5, {0: (100, 100, 40), 1: (100, 300, 40)}) for t in range(5)]
    swapped = [(1 + t / 5, {0: (100, 300, 40), 1: (100, 100, 40)}) for t in range(5)]
    stranger = [(2 + t / 5, {2: (100, 300, 40), 1: (100, 100, 40)}) for t in range(5)]
    told = follow(before + swapped + stranger, cuts=(1.0, 2.0))
    assert names_keep_their_numbers(told) and told[-1] == {2: 3, 1: 2}
    # Who is known is found even if nobody noticed the cut, for they look like themselves.
    assert names_keep_their_numbers(follow(before + swapped))


def test_growing_and_shrinking():
    sides = [20, 30, 45, 90, 200, 60, 25]
    frames = [
        (t / 2, {0: (100, 100, side), 1: (100, 400, 240 - side)}) for t, side in enumerate(sides)
    ]
    assert names_keep_their_numbers(follow(frames))


def test_a_face_that_turns_away_stays_who_it_was():
    """Where it was, it need not look like itself, and what it then looks like is not learnt."""
    odd = look(0, alike=0.1, seed=99)
    frames = [(0.0, {0: (100, 100, 40)}), (0.5, {0: (102, 103, 41, odd)}), (1.0, {})]
    told = follow(frames)
    assert told == [{0: 1}, {0: 1}, {}]
    elsewhere = [(9.0, {0: (300, 300, 40, odd)})]
    assert follow(frames + elsewhere)[-1] == {0: 2}
    assert follow([*frames, (9.0, {0: (300, 300, 40)})])[-1] == {0: 1}
    # Nor is it somebody else who is there, too, and looks it.
    both = [(0.0, {0: (100, 100, 40), 1: (100, 130, 40)}), (0.5, {1: (100, 105, 40)})]
    assert follow(both)[-1] == {1: 2}


def test_looks_are_learnt_on_the_way():
    """From one look to another that has little of it: through those between."""
    rng = np.random.default_rng(0)
    ends = np.linalg.qr(rng.standard_normal((D, 2)))[0].T
    angles = np.linspace(0, np.pi / 2, 8)
    looks = [(np.cos(a) * ends[0] + np.sin(a) * ends[1]).astype(np.float32) for a in angles]
    frames = [(t / 2, {0: (100, 100 + 10 * t, 40, looks[t])}) for t in range(8)]
    frames += [(60.0, {0: (300, 500, 40, looks[0])}), (90.0, {0: (300, 100, 40, looks[-1])})]
    assert follow(frames) == [{0: 1}] * 10


def test_memory_has_an_end_and_numbers_are_not_given_twice(monkeypatch):
    monkeypatch.setattr(people, "MOST_PEOPLE", 3)
    known = people.People()
    for name in range(10):
        known.recognise(5.0 * name, [box(100, 100)], look(name)[np.newaxis])
    assert known.numbers == (8, 9, 10)
    assert known.recognise(60.0, [box(100, 100)], look(9)[np.newaxis]) == [10]
    assert known.recognise(61.0, [box(300, 100)], look(0)[np.newaxis]) == [11]
    # All who are seen at once are known.
    crowd = [look(name) for name in range(10, 15)]
    boxes = [box(100, 100 * i) for i in range(5)]
    assert set(known.recognise(61.5, boxes, np.stack(crowd))) == set(known.numbers)
    assert known.recognise(62.0, [], np.zeros((0, D), np.float32)) == []
