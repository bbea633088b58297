"""Every way in which the robustness of a model is tried: a function of the face's id and a name.

Names are "covered NN %" (a grey rectangle over that share of the face), the kinds that training
may show (`ran_tf.augment.occlude`), and those it never shows in these drawings and by this code
(`occluders`, `degradations`, `turns`), some of them in none at all (`occluders.KEPT_OUT`).
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from ran_tf import checks
from ran_tf.augment import occlude
from ran_tf.evaluation.robustness import degradations, occluders, turns

# Of the face, under the rectangle.
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)

# The side of training's occluders in these tests, fraction of the face: from half of it on.
_LARGEST = 0.6

# Name to the draws that make it; the others differ from face to face.
_SEEN_OCCLUDERS = {
    "grey rectangle": {"shape": 0.0, "fill": 0.0},
    "grey ellipse": {"shape": 1.0, "fill": 0.0},
    "noise patch": {"fill": 0.5},
    "own texture": {"fill": 0.9},
}
_SEEN_DEGRADATIONS = {
    "blur": {"blur": 1.0, "noise": 0.0},
    "noise": {"blur": 0.0, "noise": 1.0},
}

# What `occlude` asks draws for, in the order in which they are drawn here.
_OCCLUDER_DRAWS = ("chance", "height", "width", "y", "x", "angle", "shape", "fill", "colour")
_DEGRADE_DRAWS = ("chance", "blur", "noise", "texture")

# What `occlude_in_turn` takes, and took when figures with it were published.
_IN_TURN = (
    "sunglasses",
    "surgical mask",
    "hand",
    "hat",
    "hood",
    "scarf",
    "microphone",
    "caption",
    "fence",
)

GROUPS = ("seen", "occluder", "kept_out", "degradation", "turn")
KINDS: dict[str, str] = {
    **dict.fromkeys([*_SEEN_OCCLUDERS, *_SEEN_DEGRADATIONS], "seen"),
    **dict.fromkeys(occluders.PROPS, "occluder"),
    **dict.fromkeys(occluders.KEPT_OUT, "kept_out"),
    **dict.fromkeys(degradations.DEGRADATIONS, "degradation"),
    **dict.fromkeys(turns.TURNS, "turn"),
}


def corrupt(images: np.ndarray, ids: Sequence[str], *, kind: str) -> np.ndarray:
    """Faces with something done to them.

    Args:
      images: u8[b, h, w, 3].
      ids: one a face: the same id and kind give the same draws.
      kind: one of `KINDS`.

    Returns:
      u8[b, h, w, 3]
    """
    checks.check_choice("kind", kind, KINDS)
    rngs = [_rng(kind, name) for name in ids]
    if KINDS[kind] == "seen":
        return _as_in_training(images, rngs, kind=kind)["images"]
    both = zip(images, rngs, strict=True)
    if kind in occluders.PROPS:
        return np.stack([occluders.PROPS[kind](face, rng).over(face) for face, rng in both])
    one = (degradations.DEGRADATIONS | turns.TURNS)[kind]
    return np.stack([one(face, rng) for face, rng in both])


def opacity(images: np.ndarray, ids: Sequence[str], *, kind: str) -> np.ndarray | None:
    """How much of each pixel `corrupt` covers: f32[b, h, w] in 0..1; None of kinds that do not."""
    checks.check_choice("kind", kind, KINDS)
    rngs = [_rng(kind, name) for name in ids]
    if kind in _SEEN_OCCLUDERS:
        return _as_in_training(images, rngs, kind=kind)["opacity"]
    if kind not in occluders.PROPS:
        return None
    draw, size = occluders.PROPS[kind], images.shape[1:3]
    both = zip(images, rngs, strict=True)
    return np.stack([draw(face, rng).opacity(*size) for face, rng in both])


def occlude_in_turn(images: np.ndarray, ids: Sequence[str]) -> np.ndarray:
    """Faces under one occluder each that training never shows; the kinds take turns.

    Args:
      images: u8[b, h, w, 3].
      ids: one a face.

    Returns:
      u8[b, h, w, 3]
    """
    occluded, kinds = np.empty_like(images), _IN_TURN
    for i, kind in enumerate(kinds[: len(images)]):
        chosen = slice(i, None, len(kinds))
        occluded[chosen] = corrupt(images[chosen], ids[chosen], kind=kind)
    return occluded


def cover(images: np.ndarray, ids: Sequence[str], *, share: float) -> np.ndarray:
    """Faces under a grey rectangle, which grows with `share` about one place for each face.

    Args:
      images: u8[b, h, w, 3].
      ids: one a face: place, proportion and grey depend on it.
      share: of the area, 0..1, to within the rounding to whole pixels.

    Returns:
      u8[b, h, w, 3]
    """
    checks.check_range("share", share, low=0.0, high=1.0)
    covered = images.copy()
    height, width = images.shape[1:3]
    for face, name in zip(covered, ids, strict=True):
        rng = _rng("rectangle", name)
        tall, u, v = np.exp(rng.uniform(-0.5, 0.5)), rng.random(), rng.random()
        # Neither side may leave the face.
        h = np.clip(np.sqrt(share * tall), share, 1.0)
        rows = round(h * height)
        columns = min(width, round(share * height * width / max(1, rows)))
        y, x = round(u * (height - rows)), round(v * (width - columns))
        face[y : y + rows, x : x + columns] = rng.integers(0, 256)
    return covered


def cover_opacity(images: np.ndarray, ids: Sequence[str], *, share: float) -> np.ndarray:
    """As `opacity`, of `cover`: where black and white faces become the same."""
    black, white = (cover(np.full_like(images, v), ids, share=share) for v in (0, 255))
    return (black == white).all(axis=-1).astype(np.float32)


def _rng(kind: str, name: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{kind}/{name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def _as_in_training(images, rngs, *, kind: str) -> dict[str, np.ndarray]:
    """Images u8[b, h, w, 3] and, of occluders, opacity f32[b, h, w]."""
    names = _OCCLUDER_DRAWS if kind in _SEEN_OCCLUDERS else _DEGRADE_DRAWS
    draws = np.stack([rng.random(len(names), np.float32) for rng in rngs])
    draw = {name: draws[:, i] for i, name in enumerate(names)}
    faces = images.astype(np.float32)
    if kind in _SEEN_OCCLUDERS:
        # From half of the largest side on, with the centre well inside the face.
        for side in ("height", "width"):
            draw[side] = 0.5 + 0.5 * draw[side]
        for place in ("y", "x"):
            draw[place] = 0.2 + 0.6 * draw[place]
        draw |= {n: np.full_like(draw["y"], v) for n, v in _SEEN_OCCLUDERS[kind].items()}
        done = occlude.occlude(faces, draw.__getitem__, chance=2.0, largest=_LARGEST)
    else:
        draw |= {n: np.full_like(draw["blur"], v) for n, v in _SEEN_DEGRADATIONS[kind].items()}
        done = {"image": occlude.degrade(faces, draw.__getitem__, chance=2.0)}
    found = {"images": np.round(np.asarray(done["image"])).clip(0, 255).astype(np.uint8)}
    if "opacity" in done:
        found["opacity"] = np.asarray(done["opacity"])
    return found
