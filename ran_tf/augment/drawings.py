"""Things that people wear and hold before their faces, drawn for training.

Each function paints on a `Sheet`, where such things sit on a usual face, from a
`numpy.random.Generator`. Evaluation has drawings of its own, by another renderer
(`evaluation.robustness.occluders`), and kinds that are not here (its `KEPT_OUT`).
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from ran_tf.augment.cover import USUAL_LANDMARKS
from ran_tf.augment.sheet import (
    Sheet,
    any_colour,
    blob,
    cloth,
    clouds,
    ellipse,
    polygon,
    shaded,
    stroke,
)

# Places on a face that fills its square, x and y.
_LEFT_EYE, _RIGHT_EYE = USUAL_LANDMARKS[:2].astype(np.float64)
_MOUTH = np.array([0.5, USUAL_LANDMARKS[3, 1]], np.float64)

# The colour of skin is a face's own, times what is painted over this.
SKIN = 128.0


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of occluder.

    Attributes:
      paint: `paint(sheet, rng)`.
      share: of the drawings, relative to the other kinds.
      wander: how far it is moved at most from face to face, fraction of the face, x and y.
      turn: how far it is turned at most, degrees.
      skin: colours are relative to those of the face that it covers, see `SKIN`.
      centre: what it is turned and resized about.
    """

    paint: Callable
    share: float = 1.0
    wander: tuple[float, float] = (0.06, 0.06)
    turn: float = 8.0
    skin: bool = False
    centre: tuple[float, float] = (0.5, 0.5)


def _mask(sheet: Sheet, rng, *, top: float | None = None) -> None:
    """Surgical, cloth and dust masks, some below the nose."""
    top = (
        rng.choice([rng.uniform(0.48, 0.6), rng.uniform(0.6, 0.7)], p=[0.85, 0.15])
        if top is None
        else top
    )
    half, chin = rng.uniform(0.36, 0.52), rng.uniform(0.95, 1.12)
    low, dip = rng.uniform(0.5, 0.9) * half, rng.uniform(0.0, 0.1)
    base = rng.uniform(170, 245) + rng.normal(0, 12, 3) if rng.random() < 0.5 else None
    field = cloth(rng, base=base)
    for side in (-1.0, 1.0):
        for y in (top + dip, chin - 0.15):
            ends = [(0.5 + side * half, y), (0.5 + side * 0.62, top - rng.uniform(-0.05, 0.15))]
            sheet.paint(stroke(ends, rng.uniform(0.008, 0.02)), any_colour(rng))
    outline = [
        (0.5 - half, top + dip), (0.5 - 0.1, top), (0.5, top - rng.uniform(0, 0.04)),
        (0.5 + 0.1, top), (0.5 + half, top + dip), (0.5 + half, top + 0.2),
        (0.5 + low, chin - 0.05), (0.5, chin), (0.5 - low, chin - 0.05), (0.5 - half, top + 0.2),
    ]  # fmt: skip
    shape = blob(outline) if rng.random() < 0.7 else polygon(outline)
    sheet.paint(shape, field)
    seam = rng.random()
    if seam < 0.4:
        for y in np.linspace(top + 0.1, chin - 0.1, rng.integers(2, 5)):
            bent = [(0.5 - half, y), (0.5, y + rng.uniform(0.0, 0.04)), (0.5 + half, y)]
            sheet.paint(shape * stroke(bent, 0.012, soft=0.006), field * rng.uniform(0.6, 0.85))
    elif seam < 0.6:
        sheet.paint(shape * stroke([(0.5, top), (0.5, chin)], 0.012), field * 0.7)
    elif seam < 0.75:
        where = (0.5 + rng.normal(0, 0.1), 0.5 * (top + chin))
        sheet.paint(shape * ellipse(where, (0.06, 0.06)), any_colour(rng))


def _lenses(rng, *, size: float) -> list[np.ndarray]:
    """Two shapes over the eyes, or one over both."""
    power, lean = rng.choice([2.0, 2.5, 4.0, 8.0]), rng.normal(0, 0.12)
    wide, tall = size * rng.uniform(0.13, 0.175), size * rng.uniform(0.085, 0.135)
    if rng.random() < 0.15:
        middle = (_LEFT_EYE + _RIGHT_EYE) / 2
        return [ellipse(middle, (wide + 0.19, tall), power=4.0)]
    drop = (0.0, rng.uniform(0.0, 0.02))
    return [
        ellipse(eye + drop, (wide, tall), angle=side * lean, power=power)
        for eye, side in ((_LEFT_EYE, 1.0), (_RIGHT_EYE, -1.0))
    ]


def _frame(sheet: Sheet, rng, colour, *, width: float) -> None:
    y = _LEFT_EYE[1] - rng.uniform(0.0, 0.04)
    sheet.paint(stroke([(0.43, y), (0.5, y - 0.01), (0.58, y)], width), colour)
    for x, edge in ((0.17, -0.08), (0.84, 1.08)):
        sheet.paint(stroke([(x, y), (edge, y - rng.uniform(-0.02, 0.06))], width), colour)


def _sunglasses(sheet: Sheet, rng) -> None:
    dark = rng.uniform(3, 75) + rng.normal(0, 8, 3)
    _frame(sheet, rng, any_colour(rng) * 0.5, width=rng.uniform(0.012, 0.04))
    y, _ = np.mgrid[0 : 1 : sheet.opacity.shape[0] * 1j, 0 : 1 : sheet.opacity.shape[0] * 1j]
    fade = 1.0 + rng.uniform(0.0, 1.5) * np.clip(y[..., None] * 4 - 1.2, 0, 1)
    for lens in _lenses(rng, size=rng.uniform(0.9, 1.15)):
        sheet.paint(lens, np.clip(dark * fade, 0, 255), opacity=rng.uniform(0.85, 1.0))
        if rng.random() < 0.4:
            start = rng.uniform((0.2, 0.3), (0.75, 0.42))
            glare = stroke([start, start + rng.normal(0, 0.05, 2)], 0.02, soft=0.01)
            sheet.paint(lens * glare, rng.uniform(150, 255), opacity=0.7)


def _glasses(sheet: Sheet, rng) -> None:
    """Frames; what little the glass hides are glare and tint."""
    colour, width = any_colour(rng) * rng.uniform(0.2, 0.9), rng.uniform(0.012, 0.04)
    _frame(sheet, rng, colour, width=width)
    size = rng.uniform(0.9, 1.1)
    state = rng.bit_generator.state
    outside = _lenses(rng, size=size)
    rng.bit_generator.state = state
    inside = _lenses(rng, size=size * (1.0 - 5.0 * width))
    for out, inner in zip(outside, inside, strict=True):
        sheet.paint(np.clip(out - inner, 0, 1), colour)
        sheet.paint(inner, rng.uniform(120, 255), opacity=rng.choice([0.03, 0.1, 0.4]))


def _one_hand(sheet: Sheet, rng, *, palm, towards: float) -> None:
    """A palm, its arm and fingers side by side, which point `towards`, in radians."""
    skin = SKIN * rng.uniform(0.75, 1.2)
    along = np.array([np.cos(towards), np.sin(towards)])
    across = np.array([-along[1], along[0]]) * rng.choice([-1.0, 1.0])
    size = rng.uniform(0.95, 1.45)
    palm = np.asarray(palm)

    def place(forward, sideways):
        return palm + size * (forward * along + sideways * across)

    def limb(points, width):
        line = shaded(np.full(3, skin), rng, depth=0.06)
        sheet.paint(
            stroke(points, size * (width + 0.025)), np.full(3, skin * rng.uniform(0.5, 0.75))
        )
        sheet.paint(stroke(points, size * width, soft=0.004), line)

    limb([place(-0.9, rng.normal(0, 0.1)), place(-0.1, 0.0)], rng.uniform(0.17, 0.24))
    sheet.paint(
        blob([place(-0.18, -0.2), place(0.17, -0.21), place(0.17, 0.21), place(-0.18, 0.2)]),
        shaded(np.full(3, skin), rng, depth=0.06),
    )
    bent, spread = rng.uniform(0.4, 1.0), rng.uniform(0.0, 0.5)
    for i, length in enumerate((0.27, 0.33, 0.31, 0.24)):
        side = (i - 1.5) * 0.1
        end = place(0.12 + bent * length, side * (1.0 + spread) + rng.normal(0, 0.01))
        limb([place(0.1, side), end], 0.085)
    if rng.random() < 0.7:
        limb([place(-0.05, -0.16), place(0.14, -0.3 + rng.normal(0, 0.04))], 0.09)


def _hand(sheet: Sheet, rng) -> None:
    """On a cheek, before the mouth, the eyes or the brow, or in the chin."""
    side = rng.choice([-1.0, 1.0])
    where = rng.choice(["cheek", "mouth", "eye", "chin"], p=[0.35, 0.3, 0.2, 0.15])
    palm, towards = {
        "cheek": ((0.5 + side * 0.36, 0.75), -np.pi / 2 + side * rng.uniform(-0.9, 0.3)),
        "mouth": ((0.5 + side * 0.3, 0.85), -np.pi / 2 - side * rng.uniform(0.5, 1.5)),
        "eye": ((0.5 + side * 0.32, 0.5), -np.pi / 2 - side * rng.uniform(-0.3, 1.3)),
        "chin": ((0.5 + side * 0.15, 1.02), -np.pi / 2 - side * rng.uniform(-0.3, 0.8)),
    }[where]
    _one_hand(sheet, rng, palm=palm + rng.normal(0, 0.05, 2), towards=towards)


def _two_hands(sheet: Sheet, rng) -> None:
    y, apart = rng.choice([0.5, 0.85, 0.98]), rng.uniform(0.2, 0.42)
    lean = rng.uniform(-0.3, 1.0)
    for side in (-1.0, 1.0):
        palm = np.array([0.5 + side * apart, y]) + rng.normal(0, 0.03, 2)
        _one_hand(sheet, rng, palm=palm, towards=-np.pi / 2 - side * lean)


def _hair(sheet: Sheet, rng) -> None:
    """A fringe, or strands that hang over one side."""
    base = any_colour(rng) * rng.uniform(0.1, 0.9)
    side = rng.choice([-1.0, 1.0])
    hanging = rng.random() < 0.4
    for _ in range(rng.integers(25, 60)):
        if hanging:
            start = (0.5 + side * rng.uniform(0.05, 0.6), -0.15)
            end = (start[0] + side * rng.uniform(-0.1, 0.25), rng.uniform(0.5, 1.2))
        else:
            start = (rng.uniform(-0.1, 1.1), -0.2)
            end = (start[0] + rng.normal(0, 0.15), rng.uniform(0.15, 0.42))
        middle = (np.add(start, end) / 2) + rng.normal(0, 0.05, 2)
        line = stroke([start, middle, end], rng.uniform(0.015, 0.07), soft=0.004)
        sheet.paint(line, np.clip(base * rng.uniform(0.6, 1.4), 0, 255))


def _hat(sheet: Sheet, rng) -> None:
    """Caps, brims, caps of wool, down to the brows or the eyes."""
    y, field = rng.uniform(0.12, 0.36), cloth(rng)
    crown = [(0.02, y), (0.04, -0.3), (0.96, -0.3), (0.98, y), (0.5, y + rng.uniform(-0.1, 0.05))]
    sheet.paint(polygon(crown), field)
    kind = rng.random()
    if kind < 0.4:
        brim = ellipse(
            (0.5 + rng.normal(0, 0.1), y), (rng.uniform(0.4, 0.62), rng.uniform(0.05, 0.1))
        )
        sheet.paint(brim, field * rng.uniform(0.4, 0.9))
    elif kind < 0.75:
        band = rng.uniform(0.1, 0.16)
        edge = [(0.0, y - band), (1.0, y - band), (1.0, y), (0.5, y + 0.04), (0.0, y)]
        sheet.paint(polygon(edge), cloth(rng))


def _scarf(sheet: Sheet, rng) -> None:
    top, lean = rng.uniform(0.55, 0.78), rng.normal(0, 0.06)
    field = cloth(rng)
    outline = [(-0.25, top - 0.1 + lean), (0.2, top), (0.5, top + rng.uniform(-0.02, 0.06)),
               (0.8, top), (1.25, top - 0.1 - lean), (1.25, 1.3), (-0.25, 1.3)]  # fmt: skip
    shape = polygon(outline)
    sheet.paint(shape, field)
    for _ in range(rng.integers(2, 6)):
        y = rng.uniform(top, 1.1)
        fold = [(-0.2, y + rng.normal(0, 0.1)), (0.5, y + 0.08), (1.2, y + rng.normal(0, 0.1))]
        sheet.paint(shape * stroke(fold, 0.03, soft=0.012), field * rng.uniform(0.5, 0.9))


def _phone(sheet: Sheet, rng) -> None:
    """Held before a part of the face, fingers on its edge."""
    centre = np.array([0.5, 0.55]) + rng.normal(0, (0.2, 0.15))
    angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
    half = np.array([rng.uniform(0.14, 0.22), rng.uniform(0.3, 0.42)])
    cos, sin = np.cos(angle), np.sin(angle)

    def place(x, y):
        return np.add(centre, (cos * x - sin * y, sin * x + cos * y))

    sheet.paint(ellipse(centre, half, angle=angle, power=10.0), shaded(any_colour(rng), rng))
    for i in range(rng.integers(0, 4)):
        lens = place(-0.6 * half[0], -0.8 * half[1] + 0.08 * i)
        sheet.paint(ellipse(lens, (0.03, 0.03)), rng.uniform(0, 60))
    skin = rng.uniform(90, 220) + np.array([20.0, 0.0, -20.0])
    side = rng.choice([-1.0, 1.0])
    for y in np.linspace(-0.1, 0.25, rng.integers(2, 5)):
        ends = [place(side * (half[0] + 0.3), y + 0.1), place(side * half[0] * 0.7, y)]
        sheet.paint(stroke(ends, 0.1), skin * 0.65)
        sheet.paint(stroke(ends, 0.075), skin)


def _cup(sheet: Sheet, rng) -> None:
    """A cup, a can or a bottle at the mouth."""
    x, y = _MOUTH + rng.normal(0, (0.05, 0.04))
    wide, tall = rng.uniform(0.12, 0.25), rng.uniform(0.25, 0.5)
    lower = wide * rng.uniform(0.6, 1.0)
    field = cloth(rng)
    if rng.random() < 0.5:
        handle = ellipse((x + wide, y + tall / 2), (0.12, 0.13)) - ellipse(
            (x + wide, y + tall / 2), (0.07, 0.08)
        )
        sheet.paint(np.clip(handle, 0, 1), field)
    body = [
        (x - wide, y - 0.05),
        (x + wide, y - 0.05),
        (x + lower, y + tall),
        (x - lower, y + tall),
    ]
    sheet.paint(polygon(body), field)
    sheet.paint(ellipse((x, y - 0.05), (wide, 0.04)), field * rng.uniform(0.5, 1.0))


def _microphone(sheet: Sheet, rng) -> None:
    head = _MOUTH + rng.normal(0, (0.1, 0.04))
    end = np.add(head, (rng.uniform(-0.5, 0.5), rng.uniform(0.3, 0.6)))
    sheet.paint(stroke([head, end], rng.uniform(0.07, 0.13)), shaded(any_colour(rng) * 0.5, rng))
    radius = rng.uniform(0.09, 0.17)
    ball = ellipse(head, (radius, radius * rng.uniform(0.9, 1.3)))
    sheet.paint(ball, shaded(rng.uniform(20, 170) * np.ones(3), rng))
    sheet.paint(ball * (clouds(rng, size=0.03) > 0), rng.uniform(0, 200), opacity=0.4)


def _bar(sheet: Sheet, rng) -> None:
    """A bar across the face, plain or with letters, or a label on a part of it."""
    y = rng.choice([0.38, 0.75, rng.uniform(0.05, 0.95)]) + rng.normal(0, 0.03)
    tall = rng.uniform(0.06, 0.2)
    left, right = (
        (-0.25, 1.25) if rng.random() < 0.6 else (rng.uniform(-0.2, 0.4), rng.uniform(0.6, 1.2))
    )
    grey = rng.choice([0.0, 255.0, rng.uniform(0, 255)])
    bar = polygon([(left, y - tall), (right, y - tall), (right, y + tall), (left, y + tall)])
    colour = any_colour(rng) if rng.random() < 0.3 else np.full(3, grey)
    sheet.paint(bar, colour, opacity=rng.choice([1.0, rng.uniform(0.6, 1.0)]))
    if rng.random() < 0.6:
        ink, x = 255.0 - colour, left + 0.05
        for _ in range(40):
            letter = np.stack(
                [rng.uniform(x, x + tall, 4), rng.uniform(y - 0.7 * tall, y + 0.7 * tall, 4)],
                axis=1,
            )
            sheet.paint(bar * stroke(letter, 0.2 * tall), ink)
            x += 1.4 * tall
            if x > right:
                break


def _other_face(sheet: Sheet, rng) -> None:
    """A cheek, a shoulder or an arm of somebody in front: skin, and perhaps hair."""
    side, low = rng.choice([-1.0, 1.0]), rng.uniform(0.3, 1.1)
    centre = np.array([0.5 + side * rng.uniform(0.45, 0.75), low])
    skin = np.full(3, SKIN * rng.uniform(0.6, 1.3))
    if rng.random() < 0.6:
        hair = ellipse(centre - (0.0, 0.1), (rng.uniform(0.35, 0.5), rng.uniform(0.4, 0.6)))
        sheet.paint(hair, shaded(SKIN * rng.uniform(0.1, 0.8) * np.ones(3), rng, depth=0.2))
    axes = (rng.uniform(0.25, 0.4), rng.uniform(0.3, 0.5))
    sheet.paint(ellipse(centre, axes, angle=rng.normal(0, 0.3)), shaded(skin, rng, depth=0.15))


def _mask_and_glasses(sheet: Sheet, rng) -> None:
    _mask(sheet, rng, top=rng.uniform(0.5, 0.6))
    (_sunglasses if rng.random() < 0.5 else _glasses)(sheet, rng)


_ANYWHERE = (0.15, 0.15)
KINDS: dict[str, Kind] = {
    "mask": Kind(_mask, share=3.0, wander=(0.06, 0.08), centre=(0.5, 0.75)),
    "sunglasses": Kind(_sunglasses, share=2.0, wander=(0.05, 0.06), centre=(0.5, 0.38)),
    "glasses": Kind(_glasses, wander=(0.05, 0.06), centre=(0.5, 0.38)),
    "mask and glasses": Kind(_mask_and_glasses, share=0.5),
    "hand": Kind(_hand, share=3.0, wander=_ANYWHERE, turn=20.0, skin=True),
    "two hands": Kind(_two_hands, wander=(0.1, 0.1), turn=10.0, skin=True),
    "hair": Kind(_hair, wander=(0.1, 0.08), turn=15.0, centre=(0.5, 0.2)),
    "hat": Kind(_hat, wander=(0.08, 0.1), turn=12.0, centre=(0.5, 0.2)),
    "scarf": Kind(_scarf, wander=(0.1, 0.1), turn=10.0, centre=(0.5, 0.8)),
    "phone": Kind(_phone, wander=_ANYWHERE, turn=30.0),
    "cup": Kind(_cup, wander=(0.1, 0.1), turn=25.0, centre=(0.5, 0.8)),
    "microphone": Kind(_microphone, wander=(0.1, 0.1), turn=20.0, centre=(0.5, 0.8)),
    "bar": Kind(_bar, share=2.0, wander=(0.1, 0.15), turn=20.0),
    "other face": Kind(_other_face, wander=_ANYWHERE, turn=20.0, skin=True),
}
