"""The bank of drawn occluders that a run takes its covers from: drawn once, on the host."""

import dataclasses
import functools

import numpy as np

from ran_tf.checks import InvalidArgument
from ran_tf.config import ObjectiveConfig


@dataclasses.dataclass(frozen=True)
class Bank:
    """Occluders, a function of how many there are and of a seed.

    Attributes:
      pixels: u8[n, s, s, 4], colour times opacity, and opacity; of a face and `cover.MARGIN` round
        it.
      kinds: str[n], of `drawings.KINDS`.
      facts: f32[n, 6]: what it turns about (x, y in fractions of the face), how far it wanders (x,
        y), how far it turns (radians), and 1 where colours are relative to the face's skin.
    """

    pixels: np.ndarray
    kinds: np.ndarray
    facts: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """What `cover.cover` reads, to be put where the step runs."""
        return {"pixels": self.pixels, "facts": self.facts}


def of_objective(config: ObjectiveConfig, *, seed: int) -> dict[str, np.ndarray]:
    """The arrays of the bank that a run needs; none where it draws no occluders.

    Raises:
      InvalidArgument: see `draw_bank`.
    """
    if not config.augment.cover:
        return {}
    augment = config.augment
    return draw_bank(augment.cover_drawings, seed=seed, without=augment.cover_without).arrays()


@functools.lru_cache(maxsize=2)
def draw_bank(count: int, *, seed: int, without: tuple[str, ...] = ()) -> Bank:
    """Draws a bank; the same again for the same arguments, and kept.

    Args:
      count: number of drawings.
      seed: drawing i depends on it, on i and on `without` alone.
      without: kinds that are left out.

    Raises:
      InvalidArgument: for a bank that does not fit into memory, a seed that is not an integer of
        at least 0, or a bank without any kind.
    """
    # OpenCV: a run without occluders needs none.
    from ran_tf.augment import drawings, sheet

    names = [name for name in drawings.KINDS if name not in without]
    if not names:
        raise InvalidArgument(
            "cover_without", "a list that leaves at least one kind", list(without)
        )
    shares = np.array([drawings.KINDS[name].share for name in names])
    try:
        pixels = np.empty((count, sheet.SIDE, sheet.SIDE, 4), np.uint8)
    except (MemoryError, ValueError) as error:
        raise InvalidArgument(
            "cover_drawings", "a number of drawings that fits into memory", count
        ) from error
    kinds, facts = [], np.empty((count, 6), np.float32)
    for i in range(count):
        try:
            rng = np.random.default_rng([seed, i])
        except (TypeError, ValueError) as error:
            raise InvalidArgument("seed", "an integer of at least 0", seed) from error
        name = names[rng.choice(len(names), p=shares / shares.sum())]
        kind, canvas = drawings.KINDS[name], sheet.Sheet()
        kind.paint(canvas, rng)
        pixels[i] = canvas.pixels()
        facts[i] = (*kind.centre, *kind.wander, np.radians(kind.turn), float(kind.skin))
        kinds.append(name)
    for array in (pixels, facts):
        array.flags.writeable = False  # kept, and shared
    return Bank(pixels=pixels, kinds=np.array(kinds), facts=facts)
