"""Whether an export says what its model says, asked in a process that has no Keras."""

import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ran_tf.exports import signatures
from ran_tf.regions import kinds
from ran_tf.safety import files
from ran_tf.weights.card import ModelCard

# Largest difference of an output between model and export that is rounding, in float32.
TOLERANCE = 1e-4
# An accelerator multiplies float32 with 10 bits of mantissa (TF32); the export is checked on a CPU.
_ACCELERATOR_TOLERANCE = 1e-2


def example_faces(count: int = 8) -> np.ndarray:
    """Noise, u8[count, 96, 80, 3]: of a size that no model has."""
    return np.random.default_rng(0).integers(0, 256, (count, 96, 80, 3), np.uint8)


def model_outputs(model, card: ModelCard, *, faces: np.ndarray) -> dict[str, np.ndarray]:
    """What the plain network says of faces u8[b, H, W, 3]: probabilities, label, weights, boxes."""
    return plain_network(model, card)(faces)


def plain_network(model, card: ModelCard) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """`model_outputs` as a function of faces, for batch after batch.

    Nothing is frozen or folded, and regions are cut by the network itself.
    """
    boxes = kinds.serving_boxes(card.regions)[np.newaxis]
    spec = tf.TensorSpec([None, None, None, 3], tf.uint8)

    @tf.function(autograph=False, input_signature=[spec])
    def classify(images):
        tiled = tf.tile(tf.constant(boxes), [tf.shape(images)[0], 1, 1])
        prepared = signatures.prepare_faces(images, card=card)
        outputs = model({"image": prepared, "boxes": tiled}, training=False)
        return {**signatures.outputs_of(outputs), "boxes": tiled}

    return lambda faces: {name: value.numpy() for name, value in classify(faces).items()}


def compare_with_model(version_dir: pathlib.Path, *, model, card: ModelCard) -> float:
    """Runs every signature in a process without Keras.

    Args:
      version_dir: a SavedModel, see `ran_tf.export`.
      model: the network in the precision that the export computes in.
      card: of both.

    Returns:
      Largest absolute difference of an output on random faces between the model here and the
      export there.

    Raises:
      RuntimeError: if it is more than rounding, see `tolerance`.
    """
    faces = example_faces()
    expected = model_outputs(model, card, faces=faces)
    shape = signatures.regions_shape(model, card)
    inputs = inputs_of(faces, card=card, shape=shape)
    difference = largest_difference(answers_without_keras(version_dir, inputs=inputs), expected)
    allowed = tolerance(model, card, faces=faces, outputs=expected)
    require(difference, allowed=allowed, path=version_dir)
    return difference


def compare_signatures(version_dir: pathlib.Path, *, card: ModelCard) -> float:
    """Largest difference of an output between the signature `images` and the other two.

    For an export whose model is not at hand: the regions are cut here, outside its graph.

    Raises:
      RuntimeError: if it is more than rounding.
    """
    faces = example_faces()
    loaded = signatures.load_saved_model(version_dir)
    _, arguments = loaded.signatures["regions"].structured_input_signature
    shape = tuple(arguments["regions"].shape[1:])
    answers = answers_without_keras(version_dir, inputs=inputs_of(faces, card=card, shape=shape))
    expected = {
        name.removeprefix("images/"): value
        for name, value in answers.items()
        if name.startswith("images/")
    }
    difference = largest_difference(answers, expected)
    if not difference <= _ACCELERATOR_TOLERANCE:
        raise RuntimeError(
            f"the signatures of the export differ by {difference:.2g} "
            f"(allowed: {_ACCELERATOR_TOLERANCE:.0e}); do not use it. "
            f"Received: {str(version_dir)!r}"
        )
    return difference


def require(difference: float, *, allowed: float, path: pathlib.Path) -> None:
    """Raises RuntimeError unless an export is as near its model as allowed."""
    if not difference <= allowed:
        raise RuntimeError(
            f"the export differs from the model by {difference:.2g} (allowed: {allowed:.1e}); "
            f"do not use it. Received: {str(path)!r}"
        )


def allowed_in_float32() -> float:
    """Where the model is computed decides how exact it is."""
    return _ACCELERATOR_TOLERANCE if tf.config.list_logical_devices("GPU") else TOLERANCE


def tolerance(model, card: ModelCard, *, faces: np.ndarray, outputs: dict) -> float:
    """How far an export may be from the model.

    A folded kernel is rounded anew. In float32 that is nothing. In bfloat16 export and model are
    two roundings of one network, each about as far from it as the other: three times the distance
    between the model and its twin in float32 is allowed (twice, and room for chance).

    Args:
      model: in the precision that the export computes in.
      card: of the model.
      faces: u8[b, H, W, 3].
      outputs: of `model_outputs`.
    """
    allowed = allowed_in_float32()
    if model.dtype_policy.compute_dtype == "float32":
        return allowed
    exact = model_outputs(model.twin(dtype="float32"), card, faces=faces)
    return max(allowed, 3 * largest_difference(outputs, exact))


def largest_difference(answers: dict, expected: dict) -> float:
    """Over all outputs but the label, which follows from the probabilities, but for ties.

    Args:
      answers: name or "<signature>/<name>" -> array.
      expected: name -> array.
    """
    return max(
        float(np.abs(value - expected[name.rpartition("/")[2]]).max())
        for name, value in answers.items()
        if name.rpartition("/")[2] != "label"
    )


def inputs_of(faces: np.ndarray, *, card: ModelCard, shape: tuple) -> dict[str, np.ndarray]:
    """What the signatures `images` and `regions` take for the same faces.

    Args:
      faces: u8[b, H, W, 3].
      card: of the model.
      shape: (k, h, w, 3) of the signature `regions`.
    """
    prepared = signatures.prepare_faces(tf.constant(faces), card=card)
    regions = signatures.cut_regions(prepared, card=card, shape=shape)
    return {"images": faces, "regions": regions.numpy()}


def answers_without_keras(
    version_dir: pathlib.Path, *, inputs: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """What every signature says in a fresh process that cannot import Keras.

    Args:
      version_dir: of a SavedModel.
      inputs: {"images" u8[b, H, W, 3], "regions" f32[b, k, h, w, 3]}.

    Returns:
      "<signature>/<output>" -> array.

    Raises:
      RuntimeError: if it cannot be loaded or run there.
    """
    script = pathlib.Path(__file__).with_name("reload.py")
    with tempfile.TemporaryDirectory() as folder, files.without_patterns(version_dir) as plain:
        inputs_path, outputs_path = pathlib.Path(folder, "in.npz"), pathlib.Path(folder, "out.npz")
        np.savez(inputs_path, allow_pickle=False, **inputs)
        # -P: the script's own folder holds modules whose names others may use.
        result = subprocess.run(
            [sys.executable, "-P", script, plain, inputs_path, outputs_path],
            capture_output=True,
            text=True,
            # This process may hold all memory of the accelerator.
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        )
        if result.returncode:
            raise RuntimeError(
                f"the export cannot be reloaded without Keras: {result.stderr[-2000:]}"
            )
        with np.load(outputs_path) as answers:
            return dict(answers)
