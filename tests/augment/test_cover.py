"""Drawn occluders against pixel-by-pixel NumPy, and the covered share of any region."""

import math

import numpy as np
import pytest
import tensorflow as tf

import ran_tf
from ran_tf import vocabulary
from ran_tf.augment import bank, cover, drawings, draws, faces
from ran_tf.checks import InvalidArgument
from ran_tf.config import AugmentConfig, ObjectiveConfig
from ran_tf.models import objective

DRAWS = ("chance", "which", "mirror", "shift_x", "shift_y", "size", "angle", "gain")
HEIGHT, WIDTH = 20, 24


@pytest.fixture(scope="module")
def drawn():
    return bank.draw_bank(24, seed=3)


def make_draws(*, faces: int, seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(size=faces).astype(np.float32) for name in DRAWS}


def covered_by_hand(image, draw, *, drawn, chance, matrix, shift, landmarks=None):
    """One face: image f64[h, w, 3] and opacity f64[h, w]."""
    if draw["chance"] >= chance:
        return image, np.zeros(image.shape[:2])
    count, side = drawn.pixels.shape[:2]
    which = min(int(draw["which"] * np.float32(count)), count - 1)
    centre_x, centre_y, wander_x, wander_y, turn, skin = drawn.facts[which].astype(float)
    sheet = np.zeros((side + 2, side + 2, 4))  # nothing is beyond its edges
    sheet[1:-1, 1:-1] = drawn.pixels[which]
    signed = {name: 2.0 * float(draw[name]) - 1.0 for name in DRAWS}
    middle = image[HEIGHT // 4 : -(HEIGHT // 4), WIDTH // 4 : -(WIDTH // 4)].mean(axis=(0, 1))
    out, opacity = image.astype(float).copy(), np.zeros(image.shape[:2])
    is_grey = np.ptp(image, axis=-1).max() < 3
    for row in range(HEIGHT):
        for column in range(WIDTH):
            new = np.array([column - (WIDTH - 1) / 2, row - (HEIGHT - 1) / 2])
            x, y = (matrix @ new + shift * (WIDTH, HEIGHT)) / (WIDTH, HEIGHT) + 0.5
            if landmarks is not None:
                x, y = onto_usual_face((x, y), landmarks)
            x = x - centre_x - signed["shift_x"] * wander_x
            y = y - centre_y - signed["shift_y"] * wander_y
            angle, size = signed["angle"] * turn, 1 + 0.15 * signed["size"]
            x, y = (
                (math.cos(angle) * x + math.sin(angle) * y) / size + centre_x,
                (math.cos(angle) * y - math.sin(angle) * x) / size + centre_y,
            )
            x = 1 - x if draw["mirror"] < 0.5 else x
            x, y = ((v + cover.MARGIN) / (1 + 2 * cover.MARGIN) * side - 0.5 + 1 for v in (x, y))
            left, top = math.floor(x), math.floor(y)
            if not (0 <= left <= side and 0 <= top <= side):
                continue
            a, b = x - left, y - top
            found = (1 - b) * ((1 - a) * sheet[top, left] + a * sheet[top, left + 1]) + b * (
                (1 - a) * sheet[top + 1, left] + a * sheet[top + 1, left + 1]
            )
            colour, share = found[:3], found[3] / 255
            grey = colour @ [0.299, 0.587, 0.114]
            if skin:
                colour = grey * middle / drawings.SKIN
            elif is_grey:
                colour = np.full(3, grey)
            colour = np.minimum(colour * (1 + 0.3 * signed["gain"]), 255 * share)
            out[row, column] = (1 - share) * image[row, column] + colour
            opacity[row, column] = share
    return out, opacity


def onto_usual_face(place, landmarks):
    """Turned, resized and moved as brings the known landmarks closest to the usual ones."""
    known = np.isfinite(landmarks).all(axis=1)
    if known.sum() < 2:
        return place
    own, usual = landmarks[known].astype(float), cover.USUAL_LANDMARKS[known].astype(float)
    # Rows of (real, imaginary) of usual = s own + t, in four unknowns.
    one, none = np.ones(len(own)), np.zeros(len(own))
    rows = np.concatenate(
        [
            np.stack([own[:, 0], -own[:, 1], one, none], axis=1),
            np.stack([own[:, 1], own[:, 0], none, one], axis=1),
        ]
    )
    a, b, c, d = np.linalg.lstsq(rows, np.concatenate([usual[:, 0], usual[:, 1]]), rcond=None)[0]
    return a * place[0] - b * place[1] + c, b * place[0] + a * place[1] + d


def make_landmarks(*, faces: int) -> np.ndarray:
    """Of faces that are turned, small and off the middle; one lacks two, one all but one."""
    rng = np.random.default_rng(4)
    angle, size = rng.uniform(-0.5, 0.5, faces), rng.uniform(0.6, 1.2, faces)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1)
    centred = cover.USUAL_LANDMARKS - 0.5 + rng.normal(0, 0.02, (faces, 5, 2))
    turned = np.einsum("bij,blj->bli", turn.reshape(-1, 2, 2), centred)
    found = turned * size[:, None, None] + rng.uniform(0.4, 0.6, (faces, 1, 2))
    found[0, 1:3] = np.nan
    found[1, 1:] = np.nan
    return found.astype(np.float32)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("grey", [False, True])
def test_occluders_pixel_by_pixel(drawn, grey, known):
    count = 12
    landmarks = make_landmarks(faces=count) if known else None
    rng = np.random.default_rng(1)
    image = rng.uniform(0, 255, (count, HEIGHT, WIDTH, 1 if grey else 3)).astype(np.float32)
    image = np.broadcast_to(image, (count, HEIGHT, WIDTH, 3))
    draw = make_draws(faces=count)
    angle = rng.uniform(-0.3, 0.3, count)
    matrix = np.stack(
        [np.stack([-np.cos(angle), np.sin(angle)]), np.stack([np.sin(angle), np.cos(angle)])]
    ).transpose(2, 0, 1)
    shift = rng.uniform(-0.1, 0.1, (count, 2))
    moved = {"matrix": matrix.astype(np.float32), "shift": shift.astype(np.float32)}
    done = cover.cover(
        image,
        draw.__getitem__,
        bank=drawn.arrays(),
        chance=0.8,
        landmarks=landmarks,
        **moved,
    )
    covered = 0
    for i in range(count):
        want, opacity = covered_by_hand(
            image[i],
            {name: values[i] for name, values in draw.items()},
            drawn=drawn,
            chance=0.8,
            matrix=matrix[i],
            shift=shift[i],
            landmarks=None if landmarks is None else landmarks[i],
        )
        np.testing.assert_allclose(done["opacity"][i], opacity, atol=2e-3)
        np.testing.assert_allclose(done["image"][i], want, atol=0.5)
        covered += opacity.max() > 0.5
    assert 6 <= covered < count


def test_covered_shares_are_means_over_areas():
    """Against a face of 40 times as many pixels a side."""
    rng = np.random.default_rng(0)
    opacity = rng.uniform(size=(3, 9, 12)).astype(np.float32)
    low = rng.integers(0, 300, (3, 5, 2))
    high = low + rng.integers(20, 180, (3, 5, 2))
    high = np.minimum(high, (360, 480))
    boxes = np.concatenate([low / (360, 480), high / (360, 480)], axis=-1).astype(np.float32)
    large = opacity.repeat(40, axis=1).repeat(40, axis=2)
    want = [
        [large[b, y0:y1, x0:x1].mean() for (y0, x0), (y1, x1) in zip(low[b], high[b], strict=True)]
        for b in range(3)
    ]
    np.testing.assert_allclose(cover.covered_shares(opacity, boxes), want, atol=1e-4)
    beyond = np.float32([[[-1.0, -1.0, 2.0, 2.0], [1.5, 0.0, 2.0, 1.0]]])
    shares = np.asarray(cover.covered_shares(opacity[:1], beyond))
    np.testing.assert_allclose(shares, [[opacity[0].mean(), 0.0]], atol=1e-6)


def test_what_a_list_says_is_covered():
    kinds = [
        vocabulary.OCCLUSION_KINDS.index(name) for name in ("none", "lower", "glasses", "side")
    ]
    opacity = np.asarray(cover.listed_opacity(np.array(kinds), height=20, width=10))
    rows = (np.arange(20) + 0.5) / 20
    lower, glasses = rows > 0.55, (rows > 0.27) & (rows < 0.49)
    for found, wanted in zip(opacity, (0 * rows, lower, glasses, 0 * rows), strict=True):
        # Of pixels on an edge, a part.
        inner = np.abs(rows[:, None] - (0.55, 0.27, 0.49)).min(axis=1) > 0.03
        np.testing.assert_allclose(found[inner], np.tile(wanted[inner, None], 10), atol=1e-6)


def test_a_bank_is_a_function_of_its_seed():
    first, again = (bank.draw_bank.__wrapped__(3, seed=7) for _ in range(2))
    np.testing.assert_array_equal(first.pixels, again.pixels)
    longer, other = bank.draw_bank.__wrapped__(4, seed=7), bank.draw_bank.__wrapped__(3, seed=8)
    np.testing.assert_array_equal(longer.pixels[:3], first.pixels)
    assert (other.pixels != first.pixels).any()


def test_kinds_may_be_left_out():
    assert tuple(drawings.KINDS) == vocabulary.COVERS
    without = tuple(name for name in drawings.KINDS if name not in ("cup", "hat"))
    left = bank.draw_bank.__wrapped__(12, seed=0, without=without)
    assert set(left.kinds) == {"cup", "hat"}
    config = ObjectiveConfig(
        augment=AugmentConfig(cover=0.5, cover_drawings=12, cover_without=without)
    )
    np.testing.assert_array_equal(bank.of_objective(config, seed=0)["pixels"], left.pixels)


@pytest.mark.parametrize("name", drawings.KINDS)
def test_every_kind_covers_something_where_it_sits(name):
    from ran_tf.augment import sheet

    kind, shares = drawings.KINDS[name], []
    for seed in range(6):
        canvas = sheet.Sheet()
        kind.paint(canvas, np.random.default_rng(seed))
        pixels = canvas.pixels().astype(float)
        assert (pixels[..., :3] <= pixels[..., 3:] + 2).all(), "colour is weighed by opacity"
        inside = pixels[16:80, 16:80, 3] / 255
        shares.append([inside[:32].mean(), inside[32:].mean()])
    upper, lower = np.mean(shares, axis=0)
    assert 0.01 < (upper + lower) / 2 < 0.7
    if name in ("mask", "scarf", "cup", "microphone"):
        assert lower > 4 * upper
    if name in ("sunglasses", "glasses", "hat"):
        assert upper > 4 * lower


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda: bank.draw_bank(10**14, seed=0),
            "`cover_drawings` must be a number of drawings that fits into memory",
        ),
        (
            lambda: bank.draw_bank(1, seed=0, without=vocabulary.COVERS),
            "`cover_without` must be a list that leaves at least one kind",
        ),
        (lambda: AugmentConfig(cover_without=("mask", "beard")), "cover_without.*beard"),
        (lambda: bank.draw_bank(1, seed=-1), "`seed` must be an integer of at least 0"),
        (lambda: AugmentConfig(cover_drawings=0), "`cover_drawings` must be in 1..65536"),
        (lambda: ObjectiveConfig(visibility_weight=-0.1), "`visibility_weight` must be in"),
        (
            lambda: ObjectiveConfig(visibility_weight=0.1, augment=AugmentConfig(erase=0.0)),
            "`visibility_weight` must be 0, because no training face is covered",
        ),
    ],
)
def test_what_cannot_be_is_named(ask, message):
    with pytest.raises(InvalidArgument, match=message):
        ask()


def test_shares_come_with_the_batch_and_count_every_occluder(drawn):
    rng = np.random.default_rng(0)
    count = 16
    inputs = {
        "image": rng.integers(0, 256, (count, 24, 24, 3)).astype(np.uint8),
        "boxes": np.tile(ran_tf.grid_boxes(10), (count, 1, 1)),
        "key": draws.face_keys(0, np.arange(count)),
    }
    still = {"flip": False, "rotate": 0.0, "scale": 0.0, "shift": 0.0, "light": 0.0}
    targets = np.eye(4, dtype=np.float32)[np.zeros(count, int)]

    def shown(**settings):
        config = ObjectiveConfig(augment=AugmentConfig(**{**still, "erase": 0.0, **settings}))
        return objective.prepare(inputs, targets, config=config, bank=drawn.arrays())["inputs"]

    assert not np.asarray(shown()["covered"]).any()
    inputs["occlusion"] = np.full(count, vocabulary.OCCLUSION_KINDS.index("lower"))
    whole, *_, last = np.asarray(shown()["covered"])[0]
    np.testing.assert_allclose([whole, last], [0.45, 0.9], atol=0.01)  # the last square: the corner
    del inputs["occlusion"]
    by_bank, by_both = (
        np.asarray(shown(cover=0.7, **more)["covered"]) for more in ({}, {"erase": 0.7})
    )
    assert (by_both >= by_bank - 1e-5).all() and by_both.mean() > by_bank.mean() + 0.02
    image = np.asarray(shown(cover=0.7)["image"])
    changed = (np.abs(image - inputs["image"]) > 1e-3).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(changed, by_bank[:, 0] > 0)
    with pytest.raises(ValueError, match="`bank` must be that of"):
        config = ObjectiveConfig(augment=AugmentConfig(cover=0.5))
        objective.prepare(inputs, targets, config=config)


def test_the_bank_is_no_constant_of_the_graph(drawn):
    """Of a graph with a bank of 0.9 MB."""
    placed = {name: tf.constant(value) for name, value in drawn.arrays().items()}

    @tf.function
    def step(image, keys):
        draw = draws.make_draw(keys)
        config = AugmentConfig(cover=0.5)
        return faces.augment(image, tf.zeros((2, 1, 4)), draw, config=config, bank=placed)["image"]

    given = np.zeros((2, 16, 16, 3), np.float32), draws.face_keys(0, np.arange(2))
    graph = step.get_concrete_function(*map(tf.constant, given)).graph.as_graph_def()
    assert graph.ByteSize() < drawn.pixels.nbytes / 4


@pytest.mark.parametrize("known", [False, True])
def test_a_mask_sits_on_the_mouth_that_landmarks_tell(drawn, known):
    """Of a small face in the upper left quarter."""
    only = int(np.flatnonzero(drawn.kinds == "mask")[0])
    arrays = {name: values[only : only + 1] for name, values in drawn.arrays().items()}
    middle = {name: np.full(1, 0.5, np.float32) for name in DRAWS} | {"chance": np.zeros(1)}
    small = (cover.USUAL_LANDMARKS * 0.5)[None]
    done = cover.cover(
        np.full((1, 48, 48, 3), 99.0, np.float32),
        middle.__getitem__,
        bank=arrays,
        chance=1.0,
        landmarks=small if known else None,
    )
    opacity = np.asarray(done["opacity"])[0]
    upper, usual = opacity[18, 12], opacity[36, 24]
    assert (upper > 0.9, usual > 0.9) == (known, not known)
