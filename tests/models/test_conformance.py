"""One table over every model: config round trip, save and load, SavedModel, replicas, fit, JAX."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import ran_tf
from ran_tf.augment import draws, faces, mixup
from ran_tf.config import AugmentConfig
from tests.fixtures.commands import run_python

SMALL = {"backbone": "mobilenet_v1", "num_classes": 5, "size": (32, 32)}
MODELS = {
    "sigmoid": {**SMALL, "backbone": "tiny"},
    "softmax": {**SMALL, "backbone": "tiny", "attention": "softmax"},
    "without relation": {**SMALL, "backbone": "tiny", "relation": False, "dropout": 0.3},
    "resnet18": {**SMALL, "backbone": "resnet18", "preprocessing": "unit"},
    "bfloat16": {**SMALL, "backbone": "tiny", "dtype": "mixed_bfloat16"},
    "float16": {**SMALL, "backbone": "tiny", "dtype": "mixed_float16"},
    "applications": {**SMALL, "backbone": "MobileNet"},
    "portable": {**SMALL, "backbone": "tiny", "portable": True},
    "registered": {**SMALL, "backbone": "tiny", "dropout": 0.3},
    "shared trunk": {**SMALL, "trunk": "shared"},
    "shared trunk, bfloat16": {
        **SMALL,
        "backbone": "resnet18",
        "dtype": "mixed_bfloat16",
        "trunk": "shared",
        "split": "layer2_1_relu",
        "region_map": (3, 3),
    },
}
LARGE = {
    "mobilenet v1": SMALL,
    "resnet34": {**SMALL, "backbone": "resnet34"},
    "resnet50": {**SMALL, "backbone": "resnet50"},
    "vgg16": {**SMALL, "backbone": "vgg16"},
    "float16 of many layers": {**SMALL, "dtype": "mixed_float16"},
    "mobilenet v3": {**SMALL, "backbone": "MobileNetV3Small"},
    "efficientnet": {**SMALL, "backbone": "EfficientNetV2B0"},
    "shared vgg16": {**SMALL, "backbone": "vgg16", "trunk": "shared"},
    "shared efficientnet": {
        **SMALL,
        "backbone": "EfficientNetV2B0",
        "trunk": "shared",
        "split": "block4a_expand_activation",
        "region_map": (3, 3),
    },
}


def table(test):
    """Runs a test on every model; those with many weights only when asked for."""
    cases = [pytest.param(arguments, id=name) for name, arguments in MODELS.items()]
    cases += [
        pytest.param(arguments, id=name, marks=pytest.mark.large)
        for name, arguments in LARGE.items()
    ]
    return pytest.mark.parametrize("arguments", cases)(test)


def make_batch(faces=4, k=3):
    rng = np.random.default_rng(0)
    mask = np.ones((faces, k), bool)
    mask[0, k - 1] = False
    return {
        "image": rng.integers(0, 256, (faces, 24, 24, 3)).astype(np.uint8),
        "boxes": np.tile(ran_tf.fixed_boxes(6)[:k], (faces, 1, 1)),
        "mask": mask,
    }


def arrays(outputs):
    return {name: np.asarray(value, np.float32) for name, value in outputs.items()}


def assert_same(got, want, atol):
    for name, value in arrays(want).items():
        np.testing.assert_allclose(arrays(got)[name], value, atol=atol, err_msg=name)


@table
def test_model(arguments, tmp_path, two_replicas):
    """Everything a model must survive, on one instance, because building it is what takes time."""
    model = ran_tf.RegionAttentionNetwork(**arguments)
    batch = make_batch()
    want = model(batch)
    assert {str(v.dtype) for v in want.values()} == {"<dtype: 'float32'>"}
    assert want["logits"].shape == (4, 5) and want["mu"].shape == (4, 3)

    config = model.get_config()
    twin = ran_tf.RegionAttentionNetwork.from_config(config)
    assert twin.get_config() == {**config, "name": twin.name}
    twin.set_weights(model.get_weights())
    assert_same(twin(batch), want, atol=1e-6)

    model.save(tmp_path / "model.keras")
    assert_same(keras.models.load_model(tmp_path / "model.keras")(batch), want, atol=1e-6)

    signature = {
        name: tf.TensorSpec([None, *value.shape[1:]], value.dtype) for name, value in batch.items()
    }
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", model.call, input_signature=[signature])
    archive.write_out(str(tmp_path / "saved"), verbose=False)
    reloaded = tf.saved_model.load(str(tmp_path / "saved"))
    served = reloaded.serve(batch)
    # A graph may fuse what eager execution rounds one by one.
    coarse = arguments.get("dtype", "float32") != "float32"
    assert_same(served, want, atol=0.05 if coarse else 1e-4)

    with two_replicas.scope():
        copy = ran_tf.RegionAttentionNetwork(**arguments)
        copy.set_weights(model.get_weights())
    halves = iter(
        two_replicas.experimental_distribute_dataset(
            tf.data.Dataset.from_tensors(batch).unbatch().batch(4)
        )
    )
    parts = two_replicas.run(tf.function(lambda part: copy(part)), args=(next(halves),))
    joined = {
        name: tf.concat(two_replicas.experimental_local_results(value), axis=0)
        for name, value in parts.items()
    }
    assert_same(joined, want, atol=0.05 if coarse else 1e-4)


def compiled(arguments, *, learning_rate=0.01):
    model = ran_tf.RegionAttentionNetwork(**arguments)
    model.compile(
        optimizer=keras.optimizers.SGD(learning_rate),
        loss={
            "logits": keras.losses.CategoricalCrossentropy(from_logits=True),
            "mu": ran_tf.RegionBiasedLoss(0.05),
        },
    )
    return model


def test_fit_on_our_batches(synthetic_dir):
    """As in a notebook: compile, fit, and the loss falls; every epoch has another order."""
    data = ran_tf.load_dataset(
        "synthetic_faces",
        data_dir=synthetic_dir,
        image_size=24,
        train_split="train[:64]",
        batch_size=32,
    )
    first, second = (np.concatenate([y for _, y in data.train]) for _ in range(2))
    assert (first != second).any() and (first.sum(axis=0) == second.sum(axis=0)).all()
    model = compiled({**SMALL, "backbone": "tiny", "num_classes": 8})
    # Keras 3.15 warns of every tf.data without `shuffle=False`.
    history = model.fit(data.train, epochs=4, verbose=0, shuffle=False)
    assert history.history["loss"][-1] < history.history["loss"][0]


SHARED_SPLITS = {"tiny": "relu0"}
JAX_SCRIPT = """
import sys
sys.modules["tensorflow"] = None  # as on a machine without it
import ran_tf
assert "keras" not in sys.modules
import jax, keras, numpy as np
from ran_tf.config import AugmentConfig
from ran_tf.augment import draws, faces, mixup
from tests.fixtures import tiny_backbone
assert keras.backend.backend() == "jax"
data = np.load("batch.npz")
batch = {name: data[name] for name in ("image", "boxes", "mask")}
targets = {"logits": data["labels"], "mu": batch["mask"]}
results = {}
for backbone, steps in STEPS.items():
    model = keras.models.load_model(f"{backbone}.keras")
    for name, value in model.predict_on_batch(batch).items():
        results[f"{backbone} {name}"] = np.asarray(value)
    results[f"{backbone} losses"] = [
        float(model.train_on_batch(batch, targets, return_dict=True)["loss"])
        for _ in range(steps)
    ]
    if backbone in SPLITS:
        shared = ran_tf.RegionAttentionNetwork(
            backbone, 5, size=(64, 64), trunk="shared", split=SPLITS[backbone]
        )
        shared.load_weights(f"{backbone}.weights.h5")
        for name, value in shared.predict_on_batch(batch).items():
            results[f"shared {name}"] = np.asarray(value)

@jax.jit
def augment(key):
    draw = draws.make_draw(key)
    config = AugmentConfig(degrade=0.5)
    augmented = faces.augment(batch["image"], batch["boxes"], draw, config=config)
    return mixup.mix(augmented["image"], data["labels"], draw("mixup"), alpha=0.2)

mixed = augment(data["key"])
np.savez("on_jax.npz", **results, mixed=mixed["image"], targets=mixed["targets"])
assert not {"mtcnn", "onnxruntime", "retinaface", "tensorflow_datasets"} & set(sys.modules)
"""


@pytest.mark.parametrize(
    "steps",
    [
        # Learning rate and steps by backbone. A step of ResNet-18 takes JAX seconds on a CPU.
        pytest.param({"tiny": (0.3, 10)}, id="small"),
        pytest.param(
            {
                "tiny": (0.3, 0),
                "resnet18": (1e-4, 10),
                "mobilenet_v1": (1e-4, 0),
                "resnet50": (1e-4, 0),
            },
            id="large",
            marks=pytest.mark.large,
        ),
    ],
)
def test_jax_gives_the_same_outputs_and_losses(steps, tmp_path):
    """A compiled model goes on there, without TensorFlow; so does the augmentation."""
    batch = {
        **make_batch(faces=16),
        "labels": np.eye(5, dtype=np.float32)[np.arange(16) % 5],
        "key": draws.face_keys(0, np.arange(16)),
    }
    np.savez(tmp_path / "batch.npz", **batch)
    inputs = {name: batch[name] for name in ("image", "boxes", "mask")}
    targets = {"logits": batch["labels"], "mu": batch["mask"]}
    keras.utils.set_random_seed(0)
    want, losses = {}, {}
    for backbone, (rate, count) in steps.items():
        arguments = {"backbone": backbone, "num_classes": 5, "size": (64, 64)}
        model = compiled(arguments, learning_rate=rate)
        model.save(tmp_path / f"{backbone}.keras")
        model.save_weights(tmp_path / f"{backbone}.weights.h5")
        want |= {f"{backbone} {name}": value for name, value in arrays(model(inputs)).items()}
        if backbone in SHARED_SPLITS:
            split = SHARED_SPLITS[backbone]
            shared = ran_tf.RegionAttentionNetwork(**arguments, trunk="shared", split=split)
            shared.set_weights(model.get_weights())
            want |= {f"shared {name}": value for name, value in arrays(shared(inputs)).items()}
        losses[backbone] = [
            float(model.train_on_batch(inputs, targets, return_dict=True)["loss"])
            for _ in range(count)
        ]

    counts = {backbone: count for backbone, (_, count) in steps.items()}
    script = f"STEPS, SPLITS = {counts}, {SHARED_SPLITS}\n{JAX_SCRIPT}"
    run_python("-c", script, cwd=tmp_path, KERAS_BACKEND="jax")
    on_jax = np.load(tmp_path / "on_jax.npz")
    draw = draws.make_draw(batch["key"])
    augmented = faces.augment(
        batch["image"], batch["boxes"], draw, config=AugmentConfig(degrade=0.5)
    )
    mixed = mixup.mix(augmented["image"], batch["labels"], draw("mixup"), alpha=0.2)
    np.testing.assert_allclose(on_jax["targets"], mixed["targets"], atol=1e-5)
    # A pixel at an occluder's edge may fall on the other side.
    far = np.abs(on_jax["mixed"] - mixed["image"].numpy()).max(axis=-1) > 0.05
    assert far.mean() < 1e-3
    assert_same({name: on_jax[name] for name in want}, want, atol=1e-4)
    for backbone, values in losses.items():
        np.testing.assert_allclose(on_jax[f"{backbone} losses"], values, atol=1e-3, rtol=0)
        # Far more than the tolerance, so that losses of wrong gradients would differ.
        assert not values or values[-1] < values[0] - 0.02, values


def test_bfloat16_leaves_pixels_and_boxes_as_they_are(monkeypatch):
    """Keras would cast what a network is called with: .9 to .8984, 128.3 to 128."""
    model = ran_tf.RegionAttentionNetwork("tiny", 5, size=(32, 32), dtype="mixed_bfloat16")
    given = {
        "image": np.full((1, 24, 24, 3), 128.3, np.float32),
        "boxes": np.array([[[0, 0, 1, 1], [0, 0, 0.9, 0.9]]], np.float32),
    }
    cut, received = model.crop.call, {}

    def spy(image, boxes):
        received.update(image=np.asarray(image), boxes=np.asarray(boxes))
        return cut(image, boxes)

    monkeypatch.setattr(model.crop, "call", spy)
    model(given)
    for name, value in given.items():
        np.testing.assert_array_equal(received[name], value)
