"""What `fit` compares the outputs of a network with: labels alone, or a dict by output."""

import keras
from keras import ops

from ran_tf.models import losses

OUTPUTS = ("logits", "mu", "nu", "weights")


def paper_losses() -> dict:
    """Cross-entropy and the region biased loss, whose sum the paper trains with."""
    return {
        "logits": keras.losses.CategoricalCrossentropy(from_logits=True),
        "mu": losses.RegionBiasedLoss(),
    }


def by_output(name: str, given) -> dict | None:
    """What `compile` was given, by output: what names none is of the logits.

    Raises:
      ValueError: for a name that is no output.
    """
    if given is None:
        return None
    given = given if isinstance(given, dict) else {"logits": given}
    if unknown := sorted(set(given) - set(OUTPUTS)):
        raise ValueError(
            f"`{name}` must be for the logits, or a dict whose keys are among the outputs "
            f"{OUTPUTS}. Received: {name} for {unknown}"
        )
    return given


def check_logits_loss(loss) -> None:
    """Raises ValueError for a loss that would take logits for probabilities."""
    if isinstance(loss, keras.losses.Loss):
        wrong = loss.get_config().get("from_logits") is False
    else:
        wrong = "crossentropy" in (loss if isinstance(loss, str) else getattr(loss, "__name__", ""))
    if wrong:
        raise ValueError(
            "`loss` must take logits, such as "
            f"keras.losses.CategoricalCrossentropy(from_logits=True). Received: loss={loss!r}"
        )


class PerFace(keras.losses.Loss):
    """What was computed already, one number a face."""

    def call(self, y_true, y_pred):
        return y_pred


def mean_over_faces(values, *, sample_weight=None):
    """The mean of f32[b], as Keras takes it of a loss: with weights, and over replicas."""
    return PerFace()(values, values, sample_weight)


def labels(y):
    """The targets of the logits, f32[b, n], of labels or a dict by output."""
    return y["logits"] if isinstance(y, dict) else y


def of_outputs(names, *, x, y, y_pred, sample_weight) -> tuple:
    """Targets, outputs and weights of the outputs that a loss or a metric reads.

    Args:
      names: of those outputs.
      x: inputs of the network; the target of "mu" is their mask, unless `y` says.
      y: f32[b, n], labels, or a dict by output.
      y_pred: outputs of the network.
      sample_weight: f32[b], a dict by output, or None.

    Returns:
      Dicts by output; `sample_weight` as it came where it is of all outputs.

    Raises:
      ValueError: for an output that has no target.
    """
    y = y if isinstance(y, dict) else {"logits": y}
    if "mu" in names and "mu" not in y:
        mask = x.get("mask")
        y = {**y, "mu": ops.ones_like(y_pred["mu"]) if mask is None else mask}
    if missing := [name for name in names if y.get(name) is None]:
        raise ValueError(
            "`y` must be labels, f32[b, n], or a dict with a target for each output that has a "
            f"loss or a metric. Received: none for {missing}"
        )
    if isinstance(sample_weight, dict):
        sample_weight = {name: sample_weight.get(name) for name in names}
    return {n: y[n] for n in names}, {n: y_pred[n] for n in names}, sample_weight
