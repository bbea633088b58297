"""Kinds of regions, each a function from settings, landmarks and draws to boxes."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from ran_tf import registry, vocabulary
from ran_tf.checks import InvalidArgument
from ran_tf.regions import boxes as region_boxes
from ran_tf.regions.words import describe_region


@dataclasses.dataclass(frozen=True)
class RegionKind:
    """How regions of one kind are found.

    Attributes:
      boxes: `boxes(config, landmarks, draw)`: config a `RegionConfig`, landmarks f32[b, 5, 2] (x, y
        in 0..1, NaN where unknown), `draw(count)` f32[b, count] uniform in 0..1 -> f32[k, 4], the
        same for all faces, or f32[b, k, 4], or a dict of boxes and mask bool[b, k]. Region 0 is the
        whole face.
      follows: regions lie round landmarks: they move with the face, and need it to have some.
      names: `names(k)`: what each region is, for figures; None where boxes say it.
    """

    boxes: Callable[..., Any]
    follows: bool = False
    names: Callable[[int], tuple[str, ...]] | None = None


def register_regions(
    name: str,
    boxes: Callable | None = None,
    *,
    follows: bool = False,
    names: Callable[[int], tuple[str, ...]] | None = None,
) -> Any:
    """Registers a kind of regions of your own. Also a decorator.

    `RegionConfig(kind="NAME", k=...)`, or `--regions=NAME --num_regions=K`, then uses it in
    training, evaluation and serving.

    Args:
      name: name of the new entry.
      boxes, follows, names: see `RegionKind`; with `follows` there must be names.

    Returns:
      The registered object, or a decorator if none is given.

    Raises:
      InvalidArgument: for a name that is not allowed, or that the package uses itself.

    Example:
      >>> @ran_tf.register_regions("halves")
      ... def halves(config, landmarks, draw):
      ...     return np.float32([[0, 0, 1, 1], [0, 0, 0.5, 1], [0.5, 0, 1, 1]])
    """

    def add(boxes: Callable) -> Callable:
        registry.REGIONS.register(name, RegionKind(boxes, follows, names))
        return boxes

    return add if boxes is None else add(boxes)


def find_kind(config) -> RegionKind:
    """The kind of a `RegionConfig`."""
    return registry.REGIONS.find(config.kind, argument="kind")


def make_regions(config, landmarks: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The regions of a batch of faces.

    Args:
      config: a `RegionConfig`.
      landmarks: f32[b, 5, 2].
      keys: i32[b], see `augment.draws`.

    Returns:
      boxes f32[b, k, 4] and mask bool[b, k].

    Raises:
      InvalidArgument: if a registered kind gives other boxes than it was asked for.
    """

    from ran_tf.augment import draws  # imports Keras, which serving does not wait for

    def draw(count: int) -> np.ndarray:
        return draws.draw_numpy(keys, "regions", count)

    return _find(config, landmarks, draw, faces=len(keys))


def _find(config, landmarks: np.ndarray, draw, *, faces: int) -> tuple[np.ndarray, np.ndarray]:
    found = find_kind(config).boxes(config, landmarks, draw)
    boxes = np.asarray(found["boxes"] if isinstance(found, dict) else found, np.float32)
    wanted = (faces, config.k, 4)
    if boxes.shape not in (wanted, wanted[1:]):
        raise InvalidArgument(
            "boxes", f"f32[b, {config.k}, 4] or f32[{config.k}, 4] of {config.kind!r}", boxes.shape
        )
    boxes = np.broadcast_to(boxes, wanted)
    mask = found.get("mask") if isinstance(found, dict) else None
    mask = np.ones(wanted[:2], bool) if mask is None else np.asarray(mask, bool)
    return np.ascontiguousarray(boxes), mask


def serving_boxes(config) -> np.ndarray:
    """The regions of a network that sees nothing but faces, the same for each: f32[k, 4].

    Raises:
      InvalidArgument: for regions round landmarks, which are not the same for every face.
    """
    if config.follow_landmarks:
        raise InvalidArgument(
            "regions",
            "a kind that is the same for every face, such as fixed or random (a network with "
            "landmark regions can be evaluated, but not exported or used on images alone)",
            config.kind,
        )
    # What is drawn is `random_boxes(k, seed=0)`, one draw for every face.
    rng, nowhere = np.random.default_rng(0), np.full((1, 5, 2), np.nan, np.float32)
    boxes, _ = _find(config, nowhere, lambda count: rng.uniform(size=(1, count)), faces=1)
    return boxes[0]


def region_names(config) -> list[str]:
    """What each region of a `RegionConfig` is, in a few letters: "whole face", "top left 75%"."""
    kind = find_kind(config)
    if kind.names is not None and config.k > 1:
        return ["whole face", *kind.names(config.k)]
    found: list[str] = []
    for box in serving_boxes(config):
        words = describe_region(box)
        again = sum(name.partition(" no. ")[0] == words for name in found)
        found.append(f"{words} no. {again + 1}" if again else words)
    return found


def _random(config, landmarks, draw):
    uniform = draw(3 * (config.k - 1))
    faces, _ = uniform.shape
    return region_boxes.boxes_from_draws(uniform.reshape(faces, config.k - 1, 3))


def _landmarks(config, landmarks, draw):
    if config.k == 1:
        return region_boxes.fixed_boxes(1)
    boxes, mask = region_boxes.landmark_boxes(landmarks, radius=config.radius)
    return {"boxes": boxes, "mask": mask}


FIXED = RegionKind(
    lambda config, landmarks, draw: region_boxes.fixed_boxes(config.k, variant=config.variant)
)
GRID = RegionKind(lambda config, landmarks, draw: region_boxes.grid_boxes(config.k))
RANDOM = RegionKind(_random, names=lambda k: tuple(f"random {i}" for i in range(1, k)))
LANDMARKS = RegionKind(
    _landmarks,
    follows=True,
    names=lambda k: tuple(name.replace("_", " ") for name in vocabulary.LANDMARKS),
)
