"""The people of a video: frame after frame, where each is and what their face says."""

import dataclasses
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ran_tf.checks import InvalidArgument
from ran_tf.config import VideoConfig
from ran_tf.images import photos
from ran_tf.images.in_order import in_order
from ran_tf.inference import appearance, camera, cuts, people, video
from ran_tf.inference.prediction import Failure, FoundFace


@dataclasses.dataclass(frozen=True, eq=False)
class PersonInFrame:
    """A person in one frame of a video, seen or not.

    Attributes:
      person: number of the person, the same in all frames, from 1 in the order of appearance.
      face: the face in this frame; None if the person is not seen.
      smoothed: f32[n], the probabilities of `face` and of those before it, see
        `Predictor.video`; None if they are not seen.

    Example:
      >>> ran_tf.PersonInFrame(person=1).face is None
      True
    """

    person: int
    face: FoundFace | None = None
    smoothed: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class VideoFrame:
    """One frame of a video and the people who are known by then.

    Attributes:
      seconds: since the first frame.
      image: u8[H, W, 3], RGB, upright.
      people: all people who were seen in it or before, in the order of their numbers.
      error: why no faces could be searched in it; else None.

    Example:
      >>> image = np.zeros((48, 64, 3), np.uint8)
      >>> frame = ran_tf.VideoFrame(seconds=0.0, image=image, people=(ran_tf.PersonInFrame(1),))
      >>> [person.person for person in frame.people if person.face]
      []
    """

    seconds: float
    image: np.ndarray
    people: tuple[PersonInFrame, ...] = ()
    error: str | None = None


def follow_people(
    predictor: Any,
    source: str | os.PathLike | int,
    *,
    config: VideoConfig,
    batch_size: int = 32,
    describe: appearance.Appearance | None = None,
) -> Iterator[VideoFrame]:
    """What `Predictor.video` does.

    Args:
      predictor: a `ran_tf.Predictor`.
      source: a file, or the number of a camera.
      config: how.
      batch_size: frames of a file at once.
      describe: what faces look like; None is `appearance.describe_faces`.
    """
    if isinstance(source, bool) or not isinstance(source, (str, os.PathLike, int)):
        raise InvalidArgument("source", "the path of a video or the number of a camera", source)
    frames: Iterable[video.Frame]
    threads = photos.GROUPS_AT_ONCE
    if isinstance(source, int):
        # What a camera shows is answered before it shows the next.
        frames, batch_size, threads = camera.read_camera(source, every=config.every), 1, 1
    else:
        frames = video.read_frames(source, every=config.every)
    known, describe = people.People(), describe or appearance.describe_faces

    def answer_all(batch):
        answers = predictor.faces([image for _, image in batch], on_error="return")
        return list(zip(batch, answers, strict=True))

    stream = ((frame, frame.image) for frame in frames)
    batches = photos.group(stream, most=batch_size)
    answered = in_order(answer_all, batches, threads=threads)
    return _follow(answered, known, config, describe=describe)


def _follow(answered, known, config: VideoConfig, *, describe):
    smoothed, cut_before = _Smoothed(config.smooth), cuts.Cuts()
    for batch in answered:
        for (frame, image), answer in batch:
            cut = cut_before(image)
            if isinstance(answer, Failure):
                missing = tuple(map(PersonInFrame, known.numbers))
                yield VideoFrame(frame.seconds, image, people=missing, error=answer.error)
                continue
            looks = describe(image, [face.landmarks for face in answer])
            numbers = known.recognise(frame.seconds, [f.box for f in answer], looks, cut=cut)
            seen = dict(zip(numbers, answer, strict=True))
            yield VideoFrame(
                frame.seconds,
                image,
                people=tuple(
                    PersonInFrame(
                        number,
                        face=seen[number],
                        smoothed=smoothed(
                            number, frame.seconds, seen[number].prediction.probabilities
                        ),
                    )
                    if number in seen
                    else PersonInFrame(number)
                    for number in known.numbers
                ),
            )


class _Smoothed:
    """Exponential means over time, of a person each.

    What was said before keeps a share of exp(-t / constant) after t seconds; the rest is what is
    said now. So a face that was away for long begins anew.
    """

    def __init__(self, constant: float):
        self._constant = constant
        self._last: dict[int, tuple[float, np.ndarray]] = {}

    def __call__(self, number: int, seconds: float, probabilities: np.ndarray) -> np.ndarray:
        kept = 0.0
        if number in self._last and self._constant > 0:
            before, mean = self._last[number]
            kept = float(np.exp((before - seconds) / self._constant))
        else:
            mean = probabilities
        mean = (kept * mean + (1 - kept) * probabilities).astype(np.float32)
        self._last[number] = seconds, mean
        return mean
