"""What people do with a `keras.Model`, as a table of functions for any backend.

`python -m tests.keras_verbs NETWORK...` does it all on the backend of the environment.
"""

import dataclasses
import pathlib
import sys
import tempfile

import keras
import numpy as np

import ran_tf
from tests import tiny_backbone  # noqa: F401, registers it

_SMALL = {"backbone": "tiny", "num_classes": 5, "size": (32, 32)}
# Arguments, and how many regions a face has.
NETWORKS = {
    "full": (_SMALL, 3),
    "shared trunk": ({**_SMALL, "trunk": "shared", "split": "relu0"}, 3),
    "without relation": ({**_SMALL, "relation": False}, 3),
    "softmax": ({**_SMALL, "attention": "softmax"}, 3),
    "one region": (_SMALL, 1),
}
FACES = 8


@dataclasses.dataclass(frozen=True)
class Case:
    """A network that was compiled without a word on losses, and something to train it on."""

    arguments: dict
    model: keras.Model
    x: dict
    y: np.ndarray
    mask: np.ndarray
    folder: pathlib.Path

    def new(self, **changes):
        return ran_tf.RegionAttentionNetwork(**{**self.arguments, **changes})


def make_case(name: str, folder) -> Case:
    arguments, k = NETWORKS[name]
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    model = ran_tf.RegionAttentionNetwork(**arguments)
    model.compile(optimizer=keras.optimizers.AdamW(1e-3), metrics=["accuracy"])
    mask = np.ones((FACES, k), bool)
    mask[0, 1:] = False
    return Case(
        arguments=arguments,
        model=model,
        x={
            "image": rng.integers(0, 256, (FACES, 32, 32, 3)).astype(np.uint8),
            "boxes": np.tile(ran_tf.fixed_boxes(6)[:k], (FACES, 1, 1)),
        },
        y=np.eye(5, dtype=np.float32)[np.arange(FACES) % 5],
        mask=mask,
        folder=pathlib.Path(folder),
    )


def outputs(model, x) -> dict:
    return {name: np.asarray(value, np.float32) for name, value in model(x).items()}


def same(model, other, x, atol=1e-5) -> None:
    want = outputs(other, x)
    for name, value in outputs(model, x).items():
        np.testing.assert_allclose(value, want[name], atol=atol, err_msg=name)


def finite(logs: dict, *names: str) -> None:
    assert set(names) <= set(logs), sorted(logs)
    assert all(np.isfinite(value).all() for value in logs.values()), logs


def expected_loss(case: Case, model, *, weights=1.0, mask=None) -> float:
    """The paper's, in NumPy."""
    said = outputs(model, case.x if mask is None else {**case.x, "mask": mask})
    exp = np.exp(said["logits"] - said["logits"].max(axis=1, keepdims=True))
    entropy = -np.log((exp / exp.sum(axis=1, keepdims=True) * case.y).sum(axis=1))
    region = np.zeros(FACES)
    for i, mu in enumerate(said["mu"]):
        there = mu[1:] if mask is None else mu[1:][mask[i, 1:]]
        if there.size:
            region[i] = max(0.0, 0.02 - (there.max() - mu[0]))
    return float(np.mean(weights * (entropy + region)))


def fit(case):
    case.model.compile(optimizer=keras.optimizers.AdamW(1e-2), metrics=["accuracy"])
    history = case.model.fit(case.x, case.y, epochs=3, batch_size=FACES, verbose=0).history
    finite(history, "loss", "logits_loss", "mu_loss", "accuracy")
    assert history["loss"][-1] < history["loss"][0]


def fit_with_callbacks(case):
    path = case.folder / "best.weights.h5"
    case.model.fit(
        case.x,
        case.y,
        validation_data=(case.x, case.y),
        batch_size=FACES,
        verbose=0,
        callbacks=[
            keras.callbacks.ModelCheckpoint(path, save_weights_only=True),
            keras.callbacks.EarlyStopping(monitor="val_accuracy", restore_best_weights=True),
            keras.callbacks.ReduceLROnPlateau(monitor="val_loss"),
            keras.callbacks.TerminateOnNaN(),
        ],
    )
    assert path.exists()


def fit_with_a_mask(case):
    x = {**case.x, "mask": case.mask}
    logs = case.model.test_on_batch(x, case.y, return_dict=True)
    assert abs(logs["loss"] - expected_loss(case, case.model, mask=case.mask)) < 1e-4


def evaluate(case):
    logs = case.model.evaluate(case.x, case.y, batch_size=FACES, verbose=0, return_dict=True)
    finite(logs, "loss", "accuracy")
    right = np.argmax(outputs(case.model, case.x)["logits"], axis=1) == np.argmax(case.y, axis=1)
    np.testing.assert_allclose(logs["accuracy"], right.mean(), atol=1e-6)
    np.testing.assert_allclose(logs["loss"], expected_loss(case, case.model), atol=1e-4)


def predict(case):
    said, want = case.model.predict(case.x, verbose=0), outputs(case.model, case.x)
    for name, value in case.model.predict_on_batch(case.x).items():
        np.testing.assert_allclose(said[name], want[name], atol=1e-5)
        np.testing.assert_allclose(value, want[name], atol=1e-5)


def train_and_test_on_batch(case):
    want = expected_loss(case, case.model)
    logs = case.model.test_on_batch(case.x, case.y, return_dict=True)
    np.testing.assert_allclose(logs["loss"], want, atol=1e-4)
    finite(case.model.train_on_batch(case.x, case.y, return_dict=True), "loss", "accuracy")


def sample_weight(case):
    weights = np.arange(FACES) / FACES
    logs = case.model.test_on_batch(case.x, case.y, sample_weight=weights, return_dict=True)
    want = expected_loss(case, case.model, weights=weights)
    np.testing.assert_allclose(logs["loss"], want, atol=1e-4)


def class_weight(case):
    by_class = {0: 3.0, 1: 1.0, 2: 0.5, 3: 1.0, 4: 0.0}
    finite(
        case.model.train_on_batch(case.x, case.y, class_weight=by_class, return_dict=True), "loss"
    )


def targets_by_output(case):
    y = {"logits": case.y, "mu": np.ones_like(case.mask)}
    logs = case.model.test_on_batch(case.x, y, return_dict=True)
    np.testing.assert_allclose(logs["loss"], expected_loss(case, case.model), atol=1e-4)


def metrics_of_one_output(case):
    model = case.new()
    model.compile(
        optimizer="sgd",
        loss={
            "logits": keras.losses.CategoricalCrossentropy(from_logits=True),
            "mu": ran_tf.RegionBiasedLoss(0.05),
        },
        metrics={"logits": ["accuracy", keras.metrics.TopKCategoricalAccuracy(3)]},
        weighted_metrics=["accuracy"],
    )
    y = {"logits": case.y, "mu": np.ones_like(case.mask)}
    logs = model.test_on_batch(case.x, y, sample_weight=np.ones(FACES), return_dict=True)
    finite(logs, "accuracy", "top_k_categorical_accuracy", "weighted_accuracy", "mu_loss")


def one_loss(case):
    model = case.new()
    model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True, reduction="sum"))
    logs = model.test_on_batch(case.x, case.y, return_dict=True)
    assert set(logs) == {"loss"} and logs["loss"] > FACES * 0.5


def frozen_backbone(case):
    model = case.new()
    model.backbone.trainable = False
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    before = model.get_weights()
    own = len(model.backbone.weights)
    model.train_on_batch(case.x, case.y)
    after = model.get_weights()
    for old, new in zip(before[:own], after[:own], strict=True):
        np.testing.assert_array_equal(old, new)
    assert np.abs(after[-1] - before[-1]).max() > 0


def mixed_precision(case):
    for dtype in ("mixed_bfloat16", "mixed_float16"):
        model = case.new(dtype=dtype)
        model.compile(optimizer="sgd", metrics=["accuracy"])
        finite(model.train_on_batch(case.x, case.y, return_dict=True), "loss")


def summary(case):
    lines = []
    case.model.predict_on_batch(case.x)
    case.model.summary(print_fn=lambda line, **_: lines.append(line), expand_nested=True)
    assert "crop" in "".join(lines) and "classifier" in "".join(lines)
    assert case.model.count_params() == sum(w.size for w in case.model.get_weights())


def save_and_load(case):
    case.model.save(case.folder / "model.keras")
    loaded = keras.models.load_model(case.folder / "model.keras")
    same(loaded, case.model, case.x)
    want = case.model.test_on_batch(case.x, case.y, return_dict=True)
    got = loaded.test_on_batch(case.x, case.y, return_dict=True)
    assert set(want) == set(got)
    np.testing.assert_allclose(got["loss"], want["loss"], atol=1e-4)
    finite(loaded.train_on_batch(case.x, case.y, return_dict=True), "loss")


def save_weights(case):
    case.model.save_weights(case.folder / "some.weights.h5")
    other = case.new()
    other.load_weights(case.folder / "some.weights.h5")
    same(other, case.model, case.x)


def export(case):
    if keras.backend.backend() != "tensorflow":
        return  # Keras' own way from JAX needs TensorFlow beside it.
    import tensorflow as tf

    case.new().export(case.folder / "exported", verbose=False)
    case.model.export(case.folder / "exported", verbose=False)
    loaded = tf.saved_model.load(str(case.folder / "exported"))
    said = loaded.serve({"image": case.x["image"].astype(np.float32), "boxes": case.x["boxes"]})
    for name, value in outputs(case.model, case.x).items():
        np.testing.assert_allclose(said[name], value, atol=1e-4)


def clone(case):
    for made in (
        keras.models.clone_model(case.model),
        keras.models.model_from_json(case.model.to_json()),
        type(case.model).from_config(case.model.get_config()),
    ):
        made.set_weights(case.model.get_weights())
        same(made, case.model, case.x)


def compile_config(case):
    other = case.new()
    other.compile_from_config(case.model.get_compile_config())
    assert type(other.optimizer) is type(case.model.optimizer)
    finite(other.train_on_batch(case.x, case.y, return_dict=True), "loss", "accuracy")


def layers(case):
    names = [layer.name for layer in case.model.layers]
    assert {"crop", "self_attention", "classifier"} <= set(names)
    assert case.model.get_layer("classifier") is case.model.classifier
    assert case.model.get_layer(index=0) is case.model.layers[0]


def build(case):
    model = case.new()
    before = model.get_weights()
    model.build({name: value.shape for name, value in case.x.items()})
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def stateless_call(case):
    said, _ = case.model.stateless_call(
        [v.value for v in case.model.trainable_variables],
        [v.value for v in case.model.non_trainable_variables],
        case.x,
        training=False,
    )
    for name, value in outputs(case.model, case.x).items():
        np.testing.assert_allclose(np.asarray(said[name]), value, atol=1e-5)


def inside_a_functional_model(case):
    inputs = {
        name: keras.Input(value.shape[1:], name=name, dtype=str(value.dtype))
        for name, value in case.x.items()
    }
    model = keras.Model(inputs, keras.layers.Softmax()(case.model(inputs)["logits"]))
    np.testing.assert_allclose(np.sum(model.predict(case.x, verbose=0), axis=1), 1, atol=1e-5)


VERBS = [
    fit,
    fit_with_callbacks,
    fit_with_a_mask,
    evaluate,
    predict,
    train_and_test_on_batch,
    sample_weight,
    class_weight,
    targets_by_output,
    metrics_of_one_output,
    one_loss,
    frozen_backbone,
    mixed_precision,
    summary,
    save_and_load,
    save_weights,
    export,
    clone,
    compile_config,
    layers,
    build,
    stateless_call,
    inside_a_functional_model,
]


def main(names, verbs=VERBS) -> None:
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            case = make_case(name, folder)
            for verb in verbs:
                try:
                    verb(case)
                except Exception as error:
                    raise RuntimeError(f"{verb.__name__} of {name!r}") from error


if __name__ == "__main__":
    main(sys.argv[1:])
