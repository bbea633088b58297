"""A shared trunk against layers run by hand, and beside the full trunk whose weights it takes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import ran_tf
from ran_tf.config import TrainConfig
from ran_tf.models import shared_trunk
from ran_tf.training import initialise
from ran_tf.training.state import create_state

ARGUMENTS = {"backbone": "tiny", "num_classes": 5, "size": (64, 64)}
SPLIT = "relu0"
SHARED = {"trunk": "shared", "split": SPLIT}


def make_model(**arguments):
    """A network whose random features are of order one: Keras' own start lets them vanish."""
    model = ran_tf.RegionAttentionNetwork(**{**ARGUMENTS, **arguments})
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if "kernel" in weight.path and len(weight.shape) == 4:
            inputs = np.prod(weight.shape[:2] if "depthwise" in weight.path else weight.shape[:3])
            weight.assign(rng.normal(0, np.sqrt(2 / inputs), weight.shape))
    return model


def make_batch(k=6):
    rng = np.random.default_rng(0)
    boxes = np.tile(ran_tf.fixed_boxes(6)[:k], (2, 1, 1))
    if k > 1:
        boxes[1, 1] = (0.21, 0.4, 0.83, 0.97)
    return {"image": rng.uniform(0, 255, (2, 64, 64, 3)).astype(np.float32), "boxes": boxes}


def bilinear(image, box, size):
    """One region, pixel by pixel, with half-pixel centres and clamped edges."""
    y0, x0, y1, x1 = (float(side) for side in box)
    height, width, _ = image.shape
    out = np.zeros((*size, image.shape[-1]))
    for i in range(size[0]):
        for j in range(size[1]):
            y = np.clip((y0 + (y1 - y0) * (i + 0.5) / size[0]) * height - 0.5, 0, height - 1)
            x = np.clip((x0 + (x1 - x0) * (j + 0.5) / size[1]) * width - 0.5, 0, width - 1)
            top, left = min(int(y), height - 2), min(int(x), width - 2)
            for row, by_row in ((top, 1 - (y - top)), (top + 1, y - top)):
                for column, by_column in ((left, 1 - (x - left)), (left + 1, x - left)):
                    out[i, j] += by_row * by_column * image[row, column]
    return out


def run_layers(layers, x):
    for layer in layers:
        x = layer(x)
    return np.asarray(x)


@pytest.mark.parametrize("region_map", [None, (3, 5)])
def test_features_are_those_of_layers_run_by_hand(region_map):
    model = make_model(**SHARED, region_map=region_map)
    batch = make_batch()
    layers = model.backbone.layers[1:]
    last = [layer.name for layer in layers].index(SPLIT)
    whole = run_layers(layers[: last + 1], batch["image"] / 64)  # what it does first is no layer
    want = []
    for face, boxes in zip(whole, batch["boxes"], strict=True):
        cut = [bilinear(face, box, region_map or face.shape[:2]) for box in boxes[1:]]
        want.append(
            [
                run_layers(layers[last + 1 :], one[None].astype(np.float32))[0]
                for one in (face, *cut)
            ]
        )
    assert np.std(want) > 0.05
    got = model.region_features(batch["image"], batch["boxes"])
    np.testing.assert_allclose(got, want, atol=1e-4, rtol=1e-4)
    portable = make_model(**SHARED, region_map=region_map, portable=True)
    got = portable.region_features(batch["image"], batch["boxes"])
    np.testing.assert_allclose(got, want, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("k", [1, 6])
@pytest.mark.parametrize("region_map", [None, (3, 3)])
def test_region_0_is_the_whole_face_whatever_its_box(region_map, k):
    model = make_model(**SHARED, region_map=region_map)
    batch = make_batch(k)
    want = model.region_features(batch["image"], batch["boxes"])
    moved = batch["boxes"].copy()
    moved[:, 0] = (0.25, 0.25, 0.75, 0.75)
    got = model.region_features(batch["image"], moved)
    np.testing.assert_array_equal(got, want)


def test_whole_face_and_weights_are_those_of_the_full_trunk(tmp_path):
    full, shared = make_model(), ran_tf.RegionAttentionNetwork(**ARGUMENTS, **SHARED)
    assert [w.path for w in full.weights] == [w.path for w in shared.weights]
    full.save_weights(tmp_path / "full.weights.h5")
    taken = initialise.init_weights(shared, str(tmp_path / "full.weights.h5"), labels=())
    assert not taken.fresh
    batch = make_batch()
    got = shared.region_features(batch["image"], batch["boxes"])
    want = full.region_features(batch["image"], batch["boxes"])
    np.testing.assert_array_equal(got[:, 0], want[:, 0])
    assert np.abs(got - want)[:, 1:].max() > 0.01
    alone = make_batch(k=1)
    for training in (False, True):
        want = full(alone, training=training)
        for name, value in shared(alone, training=training).items():
            np.testing.assert_array_equal(value, want[name], err_msg=name)

    shared.save_weights(tmp_path / "shared.weights.h5")
    full.load_weights(tmp_path / "shared.weights.h5")
    full.backbone.save_weights(tmp_path / "backbone.weights.h5")
    assert initialise.init_weights(shared, str(tmp_path / "backbone.weights.h5"), labels=()).loaded


def test_gradients_reach_every_weight_and_frozen_layers_stay():
    config = TrainConfig(freeze=SPLIT)
    state = create_state({**ARGUMENTS, **SHARED}, config=config)
    batch = make_batch(k=3)
    frozen = state.model.backbone.get_layer("bn0").moving_mean
    before = np.array(frozen)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(state.model(batch, training=True)["logits"] ** 2)
    variables = state.model.trainable_variables
    gradients = tape.gradient(loss, [v.value for v in variables])
    assert not [v.path for v, g in zip(variables, gradients, strict=True) if g is None]
    assert not any("conv0/" in v.path for v in variables)
    assert any("conv1/" in v.path for v in variables)
    np.testing.assert_array_equal(frozen, before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "conv_pw_99"}, "conv_pw_11_relu.*Received: split='conv_pw_99'"),
        ({"split": "pool"}, "Received: split='pool'"),
        ({"region_map": (4, 0)}, "`region_map` must be in 1..4096. Received: region_map=0"),
        ({"backbone": "resnet18", "split": "layer3_0_relu1"}, "bypasses.*'layer3_0_relu1'"),
        ({"backbone": "MobileNetV3Small"}, "must be given for backbone='MobileNetV3Small'"),
        ({"trunk": "full", "split": SPLIT}, "trunk='full', split='relu0'"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ran_tf.RegionAttentionNetwork(
            **{**ARGUMENTS, "backbone": "mobilenet_v1", "trunk": "shared", **arguments}
        )


def test_a_map_size_that_later_layers_refuse_is_named():
    """Flattened maps of another size would need another Dense layer."""
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3, strides=4, name="conv")(inputs)
    x = keras.layers.Dense(7)(keras.layers.Flatten()(x))
    with pytest.raises(ValueError, match=r"region_map=\(3, 3\)"):
        shared_trunk.split_backbone(keras.Model(inputs, x), split="conv", region_map=(3, 3))


def test_statistics_are_of_whole_faces_where_regions_have_another_size():
    model = make_model(**SHARED, region_map=(3, 3))
    batch = make_batch(k=3)
    norms = [layer for layer in model.backbone.layers if layer.name.startswith("bn")]
    model(batch, training=True)
    after = [np.array(norm.moving_mean) for norm in norms]
    alone = make_model(**SHARED, region_map=(3, 3))
    alone({**batch, "boxes": batch["boxes"][:, :1]}, training=True)
    others = [layer for layer in alone.backbone.layers if layer.name.startswith("bn")]
    assert norms
    for value, norm in zip(after, others, strict=True):
        assert np.abs(value).max() > 0
        np.testing.assert_allclose(value, norm.moving_mean, atol=1e-6)
