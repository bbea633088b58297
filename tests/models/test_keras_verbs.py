"""Every verb of `keras.Model` on every network, on TensorFlow here and on JAX in a process."""

import functools
import re

import keras
import numpy as np
import pytest

import ran_tf
from tests.fixtures import keras_verbs
from tests.fixtures.commands import ROOT, run_python

# What the networks differ in is seen by these; the rest is slow, and done on "full" alone.
OF_EACH = (
    keras_verbs.fit_with_a_mask,
    keras_verbs.evaluate,
    keras_verbs.summary,
    keras_verbs.clone,
    keras_verbs.layers,
)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    @functools.cache
    def make(network):
        return keras_verbs.make_case(network, tmp_path_factory.mktemp("verbs"))

    return make


@pytest.fixture
def case(cases):
    return cases("full")


@pytest.mark.parametrize(
    ("network", "verb"),
    [
        pytest.param(
            network,
            verb,
            id=f"{network}-{verb.__name__}",
            marks=[] if network == "full" or verb in OF_EACH else pytest.mark.large,
        )
        for network in keras_verbs.NETWORKS
        for verb in keras_verbs.VERBS
    ],
)
def test_on_tensorflow(cases, network, verb):
    verb(cases(network))


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`:UserWarning")
def test_quantize(case):
    """Keras can do it for dense layers alone, and says so."""
    model = case.model.twin()
    want = model.predict(case.x, verbose=0)["logits"]
    model.quantize("int8")
    got = model.predict(case.x, verbose=0)["logits"]
    assert "int8" in str(model.classifier.dtype_policy)
    np.testing.assert_allclose(got, want, atol=0.05 * np.ptp(want) + 0.01)


@pytest.mark.large
def test_on_jax(tmp_path):
    """What is quick of it is in `test_conformance`."""
    verbs = ("-m", "tests.fixtures.keras_verbs", *keras_verbs.NETWORKS)
    run_python(*verbs, cwd=tmp_path, KERAS_BACKEND="jax")


def test_importing_is_quick_and_makes_every_class_known():
    """Registered in whichever order the two are imported, and Keras is not loaded for it."""
    classes = set()
    for path in (ROOT / "ran_tf").rglob("*.py"):
        found = re.findall(r'serializable\("ran_tf"\)\nclass (\w+)', path.read_text())
        classes |= {f"ran_tf>{name}" for name in found}
    assert "ran_tf>RegionAttentionNetwork" in classes
    assert classes <= set(keras.saving.get_custom_objects())
    quick = "import sys, ran_tf; assert not {'keras', 'numpy', 'tensorflow'} & set(sys.modules)"
    run_python("-c", quick)


def wrong(**changes):
    model = keras_verbs.NETWORKS["full"][0]
    model = ran_tf.RegionAttentionNetwork(**model)
    model.compile(**{"optimizer": "sgd", **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "categorical_crossentropy"}, "`loss` must take logits.*Received: loss='cat"),
        ({"loss": keras.losses.CategoricalCrossentropy()}, "`loss` must take logits"),
        ({"loss": {"logit": "mse"}}, r"`loss` must be for the logits.*Received: .*\['logit'\]"),
        ({"metrics": {"labels": ["accuracy"]}}, r"`metrics` must be.*\['labels'\]"),
    ],
)
def test_what_cannot_be_compiled_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        wrong(**changes)


def test_an_output_without_a_target_is_named(case):
    model = case.new()
    model.compile("sgd", {"logits": keras.losses.MeanSquaredError(), "nu": "mse"})
    with pytest.raises(ValueError, match=r"Received: none for \['nu'\]"):
        model.train_on_batch(case.x, case.y)


def test_a_backbone_registered_again_is_the_last_one():
    """As by a notebook's cell that is run twice."""

    def build(filters):
        def backbone(pixels, *, synchronized):
            x = keras.layers.Conv2D(filters, 3, name="conv")(pixels)
            return keras.layers.GlobalAveragePooling2D()(x)

        return backbone

    for filters in (3, 7):
        ran_tf.register_backbone("mine", build(filters))
        model = ran_tf.RegionAttentionNetwork("mine", 5, size=(16, 16))
        assert model.backbone.output_shape == (None, filters)
