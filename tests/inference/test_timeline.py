"""The figure of a video's people: their lines, gaps and faces, in bounded memory."""

import numpy as np
import pytest

import ran_tf
from ran_tf.inference import timeline
from ran_tf.inference.following import PersonInFrame, VideoFrame
from ran_tf.inference.prediction import FoundFace, Prediction

LABELS = ("neutral", "happiness", "rare")


def person(number, light, *, box=(10, 10, 50, 50)):
    probabilities = np.float32([1 - light, light, 0])
    prediction = Prediction("neutral", probabilities, np.float32([1]), np.float32([[0, 0, 1, 1]]))
    face = FoundFace(
        prediction,
        box=np.float32(box),
        score=1.0,
        image=np.zeros((8, 8, 3), np.uint8),
        landmarks=np.zeros((5, 2), np.float32),
    )
    return PersonInFrame(number, face=face, smoothed=probabilities / 2)


def frame(seconds, *people):
    image = np.full((80, 90, 3), min(255, round(4 * seconds)), np.uint8)
    return VideoFrame(seconds, image=image, people=people)


def draw(frames, **options):
    figure = timeline.plot_timeline(frames, labels=LABELS, **options)
    figure.canvas.draw()
    return figure


def lines_of(axis):
    """By colour and kind: raw lines are thin."""
    return {(line.get_color(), line.get_linewidth() > 1): line.get_xydata() for line in axis.lines}


def test_lines_are_the_probabilities_and_gaps_are_gaps():
    frames = [frame(t / 2, person(1, t / 40), PersonInFrame(2)) for t in range(20)]
    frames += [frame(10 + t / 2, PersonInFrame(1), person(2, 0.7)) for t in range(10)]
    figure = draw(frames, title="clip.mp4")
    faces, first, _, second = figure.axes
    assert first.get_ylabel() == "person 1" and second.get_ylabel() == "person 2"
    drawn = lines_of(first)
    # Two lines for each class that gets anywhere.
    assert len(drawn) == 4
    (raw,) = (d for (c, thick), d in drawn.items() if not thick and d[0, 1] == 0)
    (smooth,) = (d for (c, thick), d in drawn.items() if thick and d[0, 1] == 0)
    np.testing.assert_allclose(raw[:20], [(t / 2, t / 40) for t in range(20)], atol=1e-6)
    np.testing.assert_allclose(smooth[:20, 1], raw[:20, 1] / 2, atol=1e-6)
    assert np.isnan(raw[20:, 1]).all() and raw[-1, 0] == 14.5
    spans = [patch.get_extents().transformed(first.transData.inverted()) for patch in first.patches]
    assert [(s.x0, s.x1) for s in spans] == [pytest.approx((9.5, 14.5))]
    assert 8 <= len(faces.images) <= 12
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["neutral", "happiness", "single frame"]
    # The same class, the same colour.
    assert {c for c, _ in lines_of(second)} == {c for c, _ in drawn}


def test_an_hour_keeps_faces_from_all_over_it():
    made = timeline.Timeline(LABELS)
    for t in range(0, 3600, 1):
        made.add(frame(float(t), person(1, 0.5)))
    figure = made.figure()
    figure.canvas.draw()
    ticks = [t.get_text() for t in figure.axes[-1].get_xticklabels()]
    assert {"0:00", "5:00", "10:00", "55:00"} < set(ticks) and len(ticks) <= 15
    # One a part of the time: whatever the number of frames, there are pictures of all of it.
    assert len(figure.axes[0].images) == 14
    assert all(len(line.get_xdata()) <= 3000 for line in figure.axes[1].lines)


def test_one_frame_and_faces_beyond_the_edges():
    figure = draw(
        [frame(0.0, person(1, 0.9, box=(-20, -20, 3, 3)), person(7, 0.1, box=(5, 5, 5, 5)))]
    )
    assert [axis.get_ylabel() for axis in figure.axes[1::2]] == ["person 1", "person 7"]
    assert len(figure.axes[0].images) == 1


def test_a_crowd_is_cut_down_to_those_seen_most():
    frames = [
        frame(float(t), *(person(n, 0.5) if n >= t else PersonInFrame(n) for n in range(1, 13)))
        for t in range(13)
    ]
    figure = draw(frames)
    assert len(figure.axes) == 16 and figure.axes[1].get_ylabel() == "person 5"
    assert "4 " in figure.get_suptitle()


def test_nobody_is_an_error():
    with pytest.raises(ValueError, match="a person is seen"):
        ran_tf.plot_timeline([frame(0.0)], labels=LABELS)
