"""Region boxes against the numbers of the paper and of its released code."""

import numpy as np
import pytest

import ran_tf
from ran_tf.config import DataConfig, ModelConfig, RegionConfig, TrainConfig
from ran_tf.regions import boxes, kinds


def test_paper_regions():
    expected = [
        (0, 0, 1, 1),
        (0, 0, 0.75, 0.75),
        (0, 0.25, 0.75, 1),
        (0.25, 0.125, 1, 0.875),
        (0.05, 0.05, 0.95, 0.95),
        (0.075, 0.075, 0.925, 0.925),
    ]
    np.testing.assert_allclose(ran_tf.fixed_boxes(6), expected, atol=1e-7)


def test_released_regions_end_with_smaller_centres():
    six = ran_tf.fixed_boxes(6, variant="released")
    eight = ran_tf.fixed_boxes(8, variant="released")
    np.testing.assert_allclose(six[5], (0.1, 0.1, 0.9, 0.9), atol=1e-7)
    np.testing.assert_allclose(eight[:6], six)
    np.testing.assert_allclose(eight[6], (0.125, 0.125, 0.875, 0.875), atol=1e-7)
    np.testing.assert_allclose(eight[7], (0, 0.125, 0.75, 0.875), atol=1e-7)


@pytest.mark.parametrize(
    ("k", "variant"), [(8, "paper"), (5, "paper"), (7, "released"), (0, "paper")]
)
def test_unknown_number_of_regions_is_named(k, variant):
    with pytest.raises(ValueError, match=f"`k` must be .*Received: k={k}"):
        ran_tf.fixed_boxes(k, variant=variant)


def test_unknown_variant_is_named():
    with pytest.raises(ValueError, match="Received: variant='papre'"):
        ran_tf.fixed_boxes(6, variant="papre")


def test_random_regions_are_squares_inside_the_face():
    many = np.stack([ran_tf.random_boxes(6, seed=s) for s in range(300)])
    np.testing.assert_array_equal(many[:, 0], np.tile([0, 0, 1, 1], (300, 1)))
    y0, x0, y1, x1 = np.moveaxis(many[:, 1:], -1, 0)
    sides = y1 - y0
    np.testing.assert_allclose(sides, x1 - x0, atol=1e-6)
    assert many.min() >= 0 and many.max() <= 1 + 1e-6
    # Uniform in .7..95: mean .825, extremes nearly reached by 1,500 draws.
    assert abs(sides.mean() - 0.825) < 0.01
    assert sides.min() < 0.71 and sides.max() > 0.94
    # Places fill the room that is left.
    assert abs((y0 / (1 - sides)).mean() - 0.5) < 0.03


def test_random_regions_depend_on_the_seed_only():
    np.testing.assert_array_equal(ran_tf.random_boxes(4, seed=3), ran_tf.random_boxes(4, seed=3))
    assert (ran_tf.random_boxes(4, seed=3) != ran_tf.random_boxes(4, seed=4)).any()


def test_landmark_regions():
    points = np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.1, 0.9), (np.nan, 0.8)], np.float32)
    found, mask = ran_tf.landmark_boxes(points, radius=0.25)
    np.testing.assert_array_equal(mask, [True, True, True, True, True, False])
    np.testing.assert_allclose(found[1], (0.15, 0.05, 0.65, 0.55), atol=1e-6)
    # Clipped to the face at the lower left.
    np.testing.assert_allclose(found[4], (0.65, 0.0, 1.0, 0.35), atol=1e-6)
    np.testing.assert_array_equal(found[5], (0, 0, 1, 1))


def test_batches_of_landmarks_equal_single_ones():
    points = np.random.default_rng(0).uniform(-0.1, 1.1, (3, 5, 2)).astype(np.float32)
    together, _ = boxes.landmark_boxes(points)
    np.testing.assert_array_equal(together[1], boxes.landmark_boxes(points[1])[0])


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"landmarks.shape=\(4, 2\)"):
        ran_tf.landmark_boxes(np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"draws.shape=\(5,\)"):
        boxes.boxes_from_draws(np.zeros(5))


def test_a_landmark_beyond_the_face_has_the_region_of_its_edge():
    points = np.full((5, 2), 0.5, np.float32)
    points[3] = (-0.7, 1.9)
    found, mask = ran_tf.landmark_boxes(points, radius=0.25)
    np.testing.assert_allclose(found[4], (0.75, 0.0, 1.0, 0.25), atol=1e-6)
    assert mask.all()


def test_draws_are_side_and_place():
    found = boxes.boxes_from_draws([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    want = [(0.0, 0.0, 1.0, 1.0), (0.3, 0.0, 1.0, 0.7), (0.0, 0.05, 0.95, 1.0)]
    np.testing.assert_allclose(found, want, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        *(lambda k=k: ran_tf.fixed_boxes(k) for k in (6.0, True, 10**400, "6", None, np.ones(2))),
        lambda: ran_tf.fixed_boxes(6, variant=[]),
        *(lambda k=k: ran_tf.random_boxes(k, seed=0) for k in (10**12, 0, 2.0)),
        *(lambda d=d: boxes.boxes_from_draws(np.full((1, 3), d)) for d in (np.nan, 7.0, "a", -1)),
        lambda: ran_tf.landmark_boxes(np.full((5, 2), 0.5), radius=np.nan),
        lambda: ran_tf.landmark_boxes(np.full((5, 2), 0.5), radius=np.zeros((2, 2))),
        lambda: ran_tf.landmark_boxes(np.full((5, 2), "a")),
        lambda: ran_tf.landmark_boxes(None),
    ],
)
def test_what_is_no_region_is_refused_before_memory_is_taken(make):
    with pytest.raises(ValueError, match="`.*Received: ") as caught:
        make()
    assert len(str(caught.value)) < 3000


def test_a_landmark_far_away_is_one_at_the_edge():
    for far in (1e39, -1e300, np.inf):
        found, mask = ran_tf.landmark_boxes(np.full((5, 2), far))
        assert np.isfinite(found).all() and found.min() >= 0 and found.max() <= 1
        assert mask[0] and found.dtype == np.float32


def test_a_grid_is_the_papers_regions_and_squares_that_cover_the_face():
    found = ran_tf.grid_boxes(15)
    np.testing.assert_array_equal(found[:6], ran_tf.fixed_boxes(6))
    squares = found[6:]
    np.testing.assert_array_equal(squares[:, 2:] - squares[:, :2], 0.5)
    corners = {tuple(box[:2].tolist()) for box in squares}
    assert corners == {(y, x) for y in (0.0, 0.25, 0.5) for x in (0.0, 0.25, 0.5)}
    assert ran_tf.grid_boxes(1).tolist() == [[0, 0, 1, 1]]
    config = RegionConfig(kind="grid", k=15)
    np.testing.assert_array_equal(kinds.serving_boxes(config), found)
    names = kinds.region_names(config)
    assert len(set(names)) == 15 and names[6] == "top left 50%" and names[10] == "centre 50%"
    assert len(set(kinds.region_names(RegionConfig(kind="grid", k=22)))) == 22


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ran_tf.grid_boxes(9), "`k` must be one of .*10, 15, .* Received: k=9"),
        (lambda: RegionConfig(kind="grid", k=6), "`k` must be one of .*10, 15, .* Received: k=6"),
        (lambda: grid_run(image_size=(15, 48)), "`data.image_size` must be at least 16 pixels"),
        (lambda: grid_run(trunk="shared", size=(14, 14)), "`model.size` must be at least 16"),
    ],
)
def test_grids_that_cannot_be_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def grid_run(image_size=(48, 48), **model):
    regions = RegionConfig(kind="grid", k=15)
    return TrainConfig(
        data=DataConfig(image_size=image_size, regions=regions), model=ModelConfig(**model)
    )
