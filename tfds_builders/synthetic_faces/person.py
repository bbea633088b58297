"""Who the face belongs to and what it expresses, sampled apart from each other."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfds_builders.synthetic_faces.canvas import Colour, blend, jitter


@dataclasses.dataclass(frozen=True, kw_only=True)
class Expression:
    """What an emotion does to a face, in head units unless said.

    Attributes:
        inner_brow, outer_brow: how far the ends of the brows are raised.
        one_brow: how much more one brow is raised than the other.
        eyes: opening of the eyes, 1 at rest.
        smile: how far the corners of the mouth are raised.
        smirk: how far one corner alone is raised.
        gape: opening of the mouth.
        width: width of the mouth, 1 at rest.
        sneer: how far the upper lip bares the teeth.
    """

    inner_brow: float = 0.0
    outer_brow: float = 0.0
    one_brow: float = 0.0
    eyes: float = 1.0
    smile: float = 0.0
    smirk: float = 0.0
    gape: float = 0.0
    width: float = 1.0
    sneer: float = 0.0


EXPRESSIONS = {
    "neutral": Expression(),
    "happiness": Expression(eyes=0.7, smile=0.2, gape=0.07, width=1.2, sneer=0.05),
    "surprise": Expression(inner_brow=0.17, outer_brow=0.17, eyes=1.5, gape=0.2, width=0.65),
    "sadness": Expression(inner_brow=0.16, outer_brow=-0.1, eyes=0.7, smile=-0.16, width=0.9),
    "anger": Expression(inner_brow=-0.14, outer_brow=0.06, eyes=0.75, smile=-0.05, width=0.8),
    "disgust": Expression(
        inner_brow=-0.13, outer_brow=0.03, eyes=0.55, smile=-0.08, gape=0.05, sneer=0.12
    ),
    "fear": Expression(
        inner_brow=0.18, outer_brow=0.02, eyes=1.5, smile=-0.08, gape=0.09, width=1.15, sneer=0.03
    ),
    "contempt": Expression(one_brow=0.06, eyes=0.9, smirk=0.2),
}
_REST = Expression()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Identity:
    """Whose face it is; nothing here depends on the emotion. Lengths in head units."""

    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    hair_style: str
    eye_distance: float
    eye_size: float
    brow_height: float
    brow_thickness: float
    nose_width: float
    nose_length: float
    mouth_height: float
    mouth_width: float


_SKINS = (
    (255, 219, 190),
    (238, 190, 155),
    (214, 160, 120),
    (170, 115, 80),
    (120, 78, 54),
    (84, 54, 40),
)
_HAIRS = ((28, 24, 24), (66, 44, 30), (115, 75, 42), (190, 150, 90), (150, 60, 35), (160, 160, 160))
_IRISES = ((70, 45, 25), (60, 90, 130), (70, 105, 70), (95, 75, 40))
_HAIR_STYLES = ("short", "fringe", "long", "parted", "bald")


def sample_identity(rng: np.random.Generator) -> Identity:
    """A face nobody has seen."""

    def colour(palette: Sequence[Colour]) -> Colour:
        first, second = rng.integers(len(palette), size=2)
        return blend(palette[first], palette[second], 0.5 * rng.random())

    skin = colour(_SKINS)
    return Identity(
        skin=skin,
        hair=colour(_HAIRS),
        iris=colour(_IRISES),
        lips=blend(blend(skin, (60, 20, 20), 0.3), (190, 30, 60), 0.5 * rng.random()),
        hair_style=_HAIR_STYLES[rng.integers(len(_HAIR_STYLES))],
        eye_distance=rng.uniform(0.4, 0.47),
        eye_size=rng.uniform(0.2, 0.25),
        brow_height=rng.uniform(-0.3, -0.25),
        brow_thickness=rng.uniform(0.06, 0.1),
        nose_width=rng.uniform(0.12, 0.18),
        nose_length=rng.uniform(0.24, 0.31),
        mouth_height=rng.uniform(0.57, 0.62),
        mouth_width=rng.uniform(0.38, 0.46),
    )


def sample_expression(rng: np.random.Generator, emotion: str) -> Expression:
    """The emotion at a random strength, with a little of the face's own in every part."""
    strength = rng.uniform(0.75, 1.25)
    strongest = dataclasses.asdict(EXPRESSIONS[emotion])
    rest = dataclasses.asdict(_REST)
    values = {name: rest[name] + strength * (strongest[name] - rest[name]) for name in rest}
    for name in ("inner_brow", "outer_brow", "smile"):
        values[name] += jitter(rng, 0.025)
    values["eyes"] *= 1 + jitter(rng, 0.12)
    values["width"] *= 1 + jitter(rng, 0.1)
    values["gape"] = max(0.0, values["gape"] + jitter(rng, 0.012))
    side = rng.choice((-1, 1))
    values["smirk"] *= side
    values["one_brow"] *= side
    return Expression(**values)
