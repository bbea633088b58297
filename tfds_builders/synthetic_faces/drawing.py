"""Draws one face with OpenCV.

A face is drawn in *head units*: `u` runs from -1 (image-left rim of the head) to 1, `v` from -1
(top) to 1 (chin). `Head.surface` puts such points on an ellipsoid that is turned about its vertical
axis, so brows, eyes, nose and mouth shift and foreshorten together as those of a real head do;
`Head.plane` puts them on the flat picture, for what does not turn with the head.

The emotion moves brows, eyes and mouth, nothing else. No one part tells all eight apart: anger and
disgust share the brows, surprise and fear the eyes, neutral and contempt nearly everything but one
corner of the mouth. Covering a part therefore costs information, as it does on photographs.
"""

import math

import cv2
import numpy as np

from tfds_builders.synthetic_faces import props
from tfds_builders.synthetic_faces.canvas import CIRCLE, Canvas, Head, blend, jitter
from tfds_builders.synthetic_faces.person import (
    Expression,
    Identity,
    sample_expression,
    sample_identity,
)

SIZE = 64  # pixels

_ACROSS = np.linspace(-1, 1, 13)  # an eye or the mouth, from image-left to image-right


def draw_face(
    rng: np.random.Generator, *, emotion: str, occlusion: str = "none", yaw: float = 0.0
) -> dict[str, np.ndarray]:
    """Draws one face.

    Args:
        rng: decides identity, strength of the expression, place, light and background.
        emotion: a key of `person.EXPRESSIONS`.
        occlusion: "none" or a key of `props.OCCLUDERS`.
        yaw: degrees by which the head is turned, positive towards the image's right.

    Returns:
        image: u8[64,64,3].
        landmarks: f32[5,2], x and y in 0..1: eyes, nose, corners of the mouth, image-left first.
    """
    identity = sample_identity(rng)
    expression = sample_expression(rng, emotion)
    head = _sample_head(rng, yaw=yaw)
    canvas = Canvas(2 * SIZE)

    props.draw_background(canvas, rng)
    _draw_hair_behind(canvas, head, identity)
    _draw_head(canvas, head, identity)
    canvas.soften(1.2)
    eyes = _draw_eyes(canvas, head, identity, expression, gaze=jitter(rng, 0.05))
    _draw_brows(canvas, head, identity, expression)
    nose = _draw_nose(canvas, head, identity)
    corners = _draw_mouth(canvas, head, identity, expression)
    _draw_hair_in_front(canvas, head, identity)
    if occlusion != "none":
        # Its own draws: the same face without it differs only where it is.
        props.OCCLUDERS[occlusion](canvas, head, rng.spawn(1)[0], skin=identity.skin)

    landmarks = np.array([*eyes, nose, *corners], dtype=np.float32) / canvas.side
    return {"image": _light(canvas, rng), "landmarks": landmarks}


def _sample_head(rng: np.random.Generator, *, yaw: float) -> Head:
    half_width = SIZE * rng.uniform(0.68, 0.78)
    return Head(
        centre=(SIZE * (1 + jitter(rng, 0.06)), SIZE * (1 + jitter(rng, 0.06))),
        half_width=half_width,
        half_height=half_width * rng.uniform(1.12, 1.25),
        yaw=math.radians(yaw),
        roll=math.radians(jitter(rng, 7.0)),
    )


def _draw_hair_behind(canvas: Canvas, head: Head, identity: Identity):
    bald = identity.hair_style == "bald"
    colour = blend(identity.skin, (40, 20, 20), 0.25) if bald else identity.hair
    back = -0.22 * math.sin(head.yaw)  # a turned head shows its back on the other side
    canvas.ellipse(head, (back, -0.1), (1.04, 0.98), colour)
    if identity.hair_style == "long":
        for side in (-1, 1):
            canvas.ellipse(head, (0.85 * side + back, 0.4), (0.35, 0.95), colour)


def _draw_head(canvas: Canvas, head: Head, identity: Identity):
    shade = blend(identity.skin, (40, 20, 20), 0.25)
    canvas.polygon(head.plane([(-0.4, 0.6), (0.4, 0.6), (0.45, 1.6), (-0.45, 1.6)]), shade)
    canvas.ellipse(head, (0, 1.75), (1.5, 0.55), blend(identity.iris, identity.hair, 0.5))
    ears = [(side, side * math.pi / 2 + head.yaw) for side in (-1, 1)]
    for side, angle in ears:
        if math.cos(angle) < 0.1:  # at the rim or behind it
            canvas.ellipse(head, (side * 0.98, 0.05), (0.14, 0.2), shade)
    canvas.ellipse(head, (0, 0), (1, 1), shade)
    canvas.ellipse(head, (0.06 * math.sin(head.yaw), -0.02), (0.93, 0.95), identity.skin)
    for _, angle in ears:
        if math.cos(angle) >= 0.1:  # turned towards us: the hair starts behind this ear
            _draw_side_hair(canvas, head, identity, ear=math.sin(angle))
            canvas.ellipse(head, (math.sin(angle), 0.05), (0.13, 0.2), shade)


def _draw_side_hair(canvas: Canvas, head: Head, identity: Identity, *, ear: float):
    if identity.hair_style == "bald":
        return
    v = np.linspace(-0.8, 0.35, 9)
    rim = np.sqrt(1 - v**2)
    behind_ear = np.stack([ear * rim, v], axis=-1)
    back = np.stack([1.02 * math.copysign(1, ear) * rim, v], axis=-1)
    canvas.polygon(head.plane([*behind_ear, *back[::-1]]), identity.hair)


def _draw_eyes(
    canvas: Canvas, head: Head, identity: Identity, expression: Expression, *, gaze: float
) -> list[np.ndarray]:
    """Returns the pixel positions of the two eyes."""
    t = _ACROSS
    opening = 0.12 * expression.eyes * (1 - t**2)
    centres = []
    for side in (-1, 1):
        middle = np.array([side * identity.eye_distance, -0.02])
        upper = middle + np.stack([identity.eye_size * t, -opening], axis=-1)
        lower = middle + np.stack([identity.eye_size * t, 0.75 * opening], axis=-1)
        canvas.polygon(head.surface([*upper, *lower[::-1]]), (238, 236, 232))
        for radius, colour in ((0.11, identity.iris), (0.05, (15, 12, 12))):
            u, v = (CIRCLE * (radius, 0.8 * radius) + (gaze, 0)).T
            lids = np.interp(u / identity.eye_size, t, opening)
            inside = np.minimum(np.maximum(v, -lids), 0.75 * lids)
            canvas.polygon(head.surface(middle + np.stack([u, inside], axis=-1)), colour)
        canvas.stroke(head.surface(upper), blend(identity.hair, (20, 15, 15), 0.7), head.px(0.045))
        canvas.stroke(head.surface(lower), blend(identity.skin, (40, 20, 20), 0.4), head.px(0.02))
        centres.append(head.surface([middle])[0])
    return centres


def _draw_brows(canvas: Canvas, head: Head, identity: Identity, expression: Expression):
    t = np.linspace(0, 1, 8)  # inner to outer end
    colour = blend(identity.hair, (30, 22, 20), 0.4)
    for side in (-1, 1):
        raised = (1 - t) * expression.inner_brow + t * expression.outer_brow
        raised = raised + 0.5 * side * expression.one_brow + 0.05 * np.sin(math.pi * t)
        u = side * (identity.eye_distance + identity.eye_size * (2.3 * t - 1.15))
        v = identity.brow_height - raised
        points = head.surface(np.stack([u, v], axis=-1))
        canvas.stroke(points, colour, head.px(identity.brow_thickness))


def _draw_nose(canvas: Canvas, head: Head, identity: Identity) -> np.ndarray:
    """Returns the pixel position of the tip."""
    shade = blend(identity.skin, (40, 20, 20), 0.35)
    tip = head.surface([(0.0, identity.nose_length)], depth=1.18)[0]
    wings = [(side * identity.nose_width, identity.nose_length + 0.05) for side in (-1, 1)]
    left, right = head.surface(wings, depth=1.04)
    bridge = head.surface([(0.0, -0.05)])[0]
    canvas.polygon(np.stack([bridge, left, tip, right]), blend(identity.skin, shade, 0.35))
    far = right if head.yaw < 0 else left  # the side in shade
    gleam = blend(identity.skin, (255, 255, 255), 0.15)
    canvas.stroke(np.stack([bridge, tip]), gleam, head.px(0.04))
    below_tip = tip + np.array([0, head.px(0.05)])
    canvas.stroke(np.stack([left, below_tip, right]), shade, head.px(0.035))
    canvas.stroke(np.stack([bridge, far]), blend(identity.skin, shade, 0.5), head.px(0.03))
    return tip


def _draw_mouth(
    canvas: Canvas, head: Head, identity: Identity, expression: Expression
) -> list[np.ndarray]:
    """Returns the pixel positions of the two corners."""
    t = _ACROSS
    u = identity.mouth_width * expression.width * t
    line = identity.mouth_height - expression.smile * (t**2 - 0.4)
    line = line - abs(expression.smirk) * np.clip(np.sign(expression.smirk) * t, 0, 1) ** 1.5
    upper = line - (0.5 * expression.gape + expression.sneer) * (1 - t**2)
    lower = line + (expression.gape + 0.3 * expression.sneer) * (1 - t**2)

    def curve(v: np.ndarray) -> np.ndarray:
        return head.surface(np.stack([u, v], axis=-1))

    canvas.polygon(np.concatenate([curve(upper), curve(lower)[::-1]]), (60, 15, 20))
    teeth = np.minimum(upper + 0.09 * (1 - t**2), lower)
    if expression.sneer > 0.015:
        canvas.polygon(np.concatenate([curve(upper), curve(teeth)[::-1]]), (235, 230, 220))
    for v, thickness in ((upper, 0.06), (lower, 0.08)):
        canvas.stroke(curve(v), identity.lips, head.px(thickness))
    canvas.stroke(curve(line), blend(identity.lips, (40, 10, 10), 0.6), head.px(0.03))
    return [curve(line)[0], curve(line)[-1]]


def _draw_hair_in_front(canvas: Canvas, head: Head, identity: Identity):
    if identity.hair_style == "bald":
        return
    u = np.linspace(-0.85, 0.85, 13)
    hairline = {
        "short": -0.66 + 0.1 * u**2,
        "fringe": -0.56 + 0.03 * np.cos(20 * u),
        "long": -0.7 + 0.3 * u**2,
        "parted": -0.76 + 0.35 * np.abs(u - 0.3),
    }[identity.hair_style]
    rim = np.linspace(math.radians(-35), math.radians(-145), 15)
    crown = head.plane(np.stack([1.05 * np.cos(rim), 1.06 * np.sin(rim)], axis=-1))
    canvas.polygon(
        np.concatenate([head.surface(np.stack([u, hairline], axis=-1)), crown]), identity.hair
    )


def _light(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """A lamp from one side, its colour, and the camera's noise: u8[64,64,3]."""
    image = cv2.resize(canvas.pixels, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(np.float32)
    direction = rng.uniform(0, 2 * math.pi)
    ramp = np.linspace(-1, 1, SIZE, dtype=np.float32)
    lamp = ramp[:, np.newaxis] * math.sin(direction) + ramp * math.cos(direction)
    gain = rng.uniform(0.75, 1.1) * (1 + rng.uniform(0.0, 0.3) * lamp)
    tint = 1 + rng.uniform(-0.08, 0.08, size=3).astype(np.float32)
    noise = rng.standard_normal(image.shape, dtype=np.float32) * rng.uniform(1.0, 5.0)
    lit = image * gain[:, :, np.newaxis].astype(np.float32) * tint + noise
    return np.clip(lit, 0, 255).astype(np.uint8)
