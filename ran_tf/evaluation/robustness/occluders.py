"""Things in front of a face, in drawings that training never shows: glasses, masks, hands, hats.

Training covers faces with turned rectangles and ellipses (`ran_tf.augment.occlude`) and, with
`--cover`, with drawings of its own (`ran_tf.augment.drawings`). These are by another renderer, and
those of `KEPT_OUT` are of kinds that it does not draw at all: no change there may add one of them.
They are drawn large and shrunk, so they look alike on faces of every size, and in grey, so that
grey faces stay grey.

Each function takes a face u8[h, w, 3], which a hand takes its grey from, and a
`numpy.random.Generator`, and returns a `Canvas`.
"""

import cv2
import numpy as np

# Side of what is drawn on, before it is shrunk to the face.
_CANVAS = 192

# Where things are on a face that fills its square, x, y in 0..1: medians of FERPlus.
_LEFT_EYE, _RIGHT_EYE, _MOUTH = np.array([(0.32, 0.38), (0.69, 0.38), (0.5, 0.775)])


class Canvas:
    """Colour and opacity of an occluder; positions and lengths are fractions of the side."""

    def __init__(self):
        self.grey = np.zeros((_CANVAS, _CANVAS), np.uint8)
        self.alpha = np.zeros((_CANVAS, _CANVAS), np.uint8)

    def polygon(self, points, *, grey: int) -> None:
        points = np.round(np.asarray(points) * _CANVAS).astype(np.int32)
        for image, value in ((self.grey, grey), (self.alpha, 255)):
            cv2.fillPoly(image, [points], int(value))

    def ellipse(self, centre, axes, *, grey: int, angle: float = 0.0) -> None:
        """`axes` are half lengths; `angle` in degrees."""
        centre, axes = (
            np.round(np.asarray(v) * _CANVAS).astype(int).tolist() for v in (centre, axes)
        )
        for image, value in ((self.grey, grey), (self.alpha, 255)):
            cv2.ellipse(image, centre, axes, angle, 0, 360, int(value), cv2.FILLED)

    def line(self, start, end, *, width: float, grey: int) -> None:
        """With round ends."""
        start, end = (np.round(np.asarray(v) * _CANVAS).astype(int).tolist() for v in (start, end))
        for image, value in ((self.grey, grey), (self.alpha, 255)):
            cv2.line(image, start, end, int(value), max(1, round(width * _CANVAS)))

    def over(self, face: np.ndarray) -> np.ndarray:
        """A face u8[h, w, 3] under what is drawn."""
        alpha = self.opacity(*face.shape[:2])[..., None]
        # Colour is weighed by opacity, or edges would be dark.
        paint = self.grey * (self.alpha.astype(np.float32) / 255)
        paint = cv2.resize(paint, face.shape[1::-1], interpolation=cv2.INTER_AREA)[..., None]
        return np.round(face * (1 - alpha) + paint).clip(0, 255).astype(np.uint8)

    def opacity(self, height: int, width: int) -> np.ndarray:
        """How much of each pixel of a face is covered: f32[h, w] in 0..1."""
        alpha = self.alpha.astype(np.float32) / 255
        return cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA)


def sunglasses(face, rng):
    """Two dark lenses and their bridge."""
    canvas, grey = Canvas(), rng.integers(5, 50)
    size, shift = rng.uniform(0.9, 1.15), rng.normal(0, 0.015, 2)
    for x, y in (_LEFT_EYE, _RIGHT_EYE):
        canvas.ellipse(np.array([x, y]) + shift, np.array([0.155, 0.115]) * size, grey=grey)
    canvas.line(_LEFT_EYE + shift, _RIGHT_EYE + shift, width=0.035, grey=grey)
    for (x, y), edge in ((_LEFT_EYE, 0.0), (_RIGHT_EYE, 1.0)):
        canvas.line(np.array([x, y]) + shift, (edge, y - 0.02), width=0.03, grey=grey)
    return canvas


def surgical_mask(face, rng):
    """A light cloth with folds from the nose to the chin, and its bands."""
    canvas, grey = Canvas(), rng.integers(150, 240)
    top = 0.52 + rng.normal(0, 0.02)
    for edge in (0.0, 1.0):
        canvas.line(
            (0.5 + (edge - 0.5) * 0.7, top + 0.08), (edge, top - 0.1), width=0.015, grey=220
        )
    canvas.polygon(
        [(0.14, top + 0.07), (0.5, top), (0.86, top + 0.07), (0.8, 0.9), (0.5, 1.02), (0.2, 0.9)],
        grey=grey,
    )
    for y in np.linspace(top + 0.14, 0.88, 4):
        canvas.line((0.18, y), (0.82, y), width=0.012, grey=grey - 45)
    return canvas


def hand(face, rng):
    """A palm on a cheek with four fingers across the face, in the skin's grey."""
    canvas, mirror = Canvas(), rng.random() < 0.5
    skin = float(np.median(face[face.shape[0] // 4 :])) * rng.uniform(0.8, 1.1)
    skin = int(np.clip(skin, 30, 245))

    def place(x, y):
        return (1 - x if mirror else x, y)

    base = rng.uniform(0.62, 0.8)
    reach = rng.uniform(0.38, 0.55)
    canvas.ellipse(place(0.12, base + 0.12), (0.22, 0.2), grey=skin)
    for i in range(4):
        y = base - 0.06 + 0.105 * i
        end = place(0.12 + reach - 0.05 * abs(i - 1.5), y - 0.12 + 0.04 * i)
        canvas.line(place(0.12, y), end, width=0.115, grey=int(skin * 0.6))
        canvas.line(place(0.12, y), end, width=0.085, grey=skin)
    return canvas


def hat(face, rng):
    """A crown and a brim down to the brows."""
    canvas, grey = Canvas(), rng.integers(10, 200)
    brim = rng.uniform(0.2, 0.32)
    canvas.polygon([(0.06, brim), (0.14, -0.1), (0.86, -0.1), (0.94, brim)], grey=grey)
    canvas.ellipse((0.5, brim), (0.58, 0.09), angle=rng.normal(0, 4), grey=grey * 3 // 4)
    return canvas


def hood(face, rng):
    """Cloth all round: only an oval of the face is left."""
    canvas, grey = Canvas(), rng.integers(10, 200)
    canvas.polygon([(0, 0), (1, 0), (1, 1), (0, 1)], grey=grey)
    centre = tuple(np.round(np.array([0.5, 0.6]) * _CANVAS).astype(int).tolist())
    axes = np.array([rng.uniform(0.27, 0.33), rng.uniform(0.34, 0.4)])
    axes = tuple(np.round(axes * _CANVAS).astype(int).tolist())
    cv2.ellipse(canvas.grey, centre, axes, 0, 0, 360, int(grey) // 2, 8)
    cv2.ellipse(canvas.alpha, centre, axes, 0, 0, 360, 0, cv2.FILLED)
    return canvas


def scarf(face, rng):
    """Striped cloth over mouth and chin."""
    canvas = Canvas()
    light, dark = rng.integers(140, 250), rng.integers(10, 110)
    top, slope = rng.uniform(0.6, 0.68), rng.normal(0, 0.05)
    outline = [(0, top + slope), (0.5, top + 0.05), (1, top - slope), (1, 1.1), (0, 1.1)]
    canvas.polygon(outline, grey=light)
    inside = canvas.alpha.copy()
    lean = rng.uniform(-0.3, 0.3)
    for x in np.arange(-0.3, 1.3, 0.16):
        canvas.line((x, top - 0.1), (x + lean, 1.1), width=0.07, grey=dark)
    canvas.alpha = inside
    return canvas


def microphone(face, rng):
    """A ball before the mouth and its handle."""
    canvas = Canvas()
    x, y = _MOUTH + rng.normal(0, (0.06, 0.02))
    lean = rng.uniform(-0.35, 0.35)
    canvas.line((x, y), (x + lean, 1.15), width=0.11, grey=rng.integers(10, 60))
    canvas.ellipse((x, y), (0.13, 0.15), angle=-60 * lean, grey=rng.integers(60, 150))
    for step in np.linspace(-0.09, 0.09, 4):
        canvas.line((x - 0.1, y + step), (x + 0.1, y + step), width=0.008, grey=30)
    return canvas


def caption(face, rng):
    """A bar of text across the lower or the upper face."""
    canvas = Canvas()
    y = rng.choice([0.3, 0.72]) + rng.normal(0, 0.03)
    bar, ink = (15, 245) if rng.random() < 0.5 else (240, 10)
    canvas.polygon([(0, y), (1, y), (1, y + 0.2), (0, y + 0.2)], grey=bar)
    text = "".join(rng.choice(list("ABDEGHKMNRSTUWXZ"), 9))
    at = (round(rng.uniform(-0.1, 0.02) * _CANVAS), round((y + 0.155) * _CANVAS))
    cv2.putText(canvas.grey, text, at, cv2.FONT_HERSHEY_SIMPLEX, 1.1, ink, 4)
    return canvas


def fence(face, rng):
    """Crossed wires."""
    canvas, grey = Canvas(), rng.integers(0, 255)
    gap, lean = rng.uniform(0.22, 0.3), rng.uniform(0.7, 1.3)
    for x in np.arange(rng.uniform(-1.5, -1.3), 2.5, gap):
        canvas.line((x, 0), (x + lean, 1), width=0.045, grey=grey)
        canvas.line((x + lean, 0), (x, 1), width=0.045, grey=grey)
    return canvas


def leaves(face, rng):
    """Twigs with pointed leaves over a half of the face."""
    canvas, side = Canvas(), rng.choice([0.0, 1.0])
    for _ in range(rng.integers(3, 6)):
        start = np.array([side + rng.normal(0, 0.05), rng.uniform(0.0, 1.0)])
        end = np.add(start, (rng.uniform(0.35, 0.6) * (1 - 2 * side), rng.normal(0, 0.25)))
        canvas.line(start, end, width=0.015, grey=rng.integers(20, 80))
        for t in np.linspace(0.2, 1.0, 5):
            tip = rng.normal(0, 0.12, 2)
            root, width = start + t * (end - start), 0.35 * tip[::-1] * (1, -1)
            middle = root + tip / 2
            outline = [root, middle + width, root + tip * 1.3, middle - width]
            canvas.polygon(outline, grey=rng.integers(40, 170))
    return canvas


def bandage(face, rng):
    """A strip of gauze that runs aslant over an eye or a cheek, and its weave."""
    canvas, grey = Canvas(), rng.integers(190, 245)
    y, slope, half = rng.uniform(0.3, 0.7), rng.choice([-1, 1]) * rng.uniform(0.3, 0.7), 0.11
    ends = np.array([(-0.05, y - slope / 2), (1.05, y + slope / 2)])
    canvas.polygon([*np.add(ends, (0, -half)), *np.add(ends[::-1], (0, half))], grey=grey)
    for step in np.linspace(-half, half, 5):
        canvas.line(*np.add(ends, (0, step)), width=0.006, grey=grey - 30)
    return canvas


def balloon(face, rng):
    """A round thing that hides a part of the face, its highlight and its string."""
    canvas, grey = Canvas(), rng.integers(30, 220)
    centre = np.array([rng.uniform(0.2, 0.8), rng.uniform(0.3, 0.75)])
    axes = rng.uniform(0.2, 0.28) * np.array([1.0, 1.15])
    canvas.line(centre, (centre[0] + rng.normal(0, 0.1), 1.1), width=0.012, grey=20)
    canvas.ellipse(centre, axes, grey=grey)
    canvas.ellipse(centre - 0.4 * axes, axes * 0.2, angle=45, grey=min(255, grey + 80))
    return canvas


PROPS = {
    "sunglasses": sunglasses,
    "surgical mask": surgical_mask,
    "hand": hand,
    "hat": hat,
    "hood": hood,
    "scarf": scarf,
    "microphone": microphone,
    "caption": caption,
    "fence": fence,
    "leaves": leaves,
    "bandage": bandage,
    "balloon": balloon,
}
# Kinds that `ran_tf.augment.drawings` has none of.
KEPT_OUT = ("hood", "fence", "leaves", "bandage", "balloon")
