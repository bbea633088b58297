"""Probabilities that mean something: of faces called with 80 %, four of five are right.

A network's logits are divided by a temperature that makes its probabilities fit held-out faces best
(Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2). No face changes its
class. The classifier's weights take the division, so that every export and runtime has it.
"""

import dataclasses
from typing import Any

import numpy as np

from ran_tf.checks import InvalidArgument
from ran_tf.evaluation import metrics, predictions, split
from ran_tf.evaluation.covered import fit_covered_readout
from ran_tf.inference import keras_engine
from ran_tf.models.ran import RegionAttentionNetwork

# Temperatures beyond are those of a network that knows nothing, or of a handful of faces.
_LOW, _HIGH = 0.05, 20.0


def fit_temperature(probabilities, label) -> float:
    """The temperature with the lowest mean negative log-likelihood.

    Args:
      probabilities: f32[b, n], of a softmax; their logarithms are logits up to a constant.
      label: i64[b], true classes.

    Returns:
      In 0.05..20.
    """
    logits = np.log(np.maximum(np.asarray(probabilities, np.float64), 1e-30))

    def loss(log_temperature):
        scaled = logits / np.exp(log_temperature)
        odds = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return metrics.negative_log_likelihood(odds / odds.sum(axis=1, keepdims=True), label)

    # The loss has one valley: the best of some, then of some between its neighbours.
    low, high = np.log([_LOW, _HIGH])
    for _ in range(4):
        tried = np.linspace(low, high, 25)
        best = int(np.argmin([loss(t) for t in tried]))
        low, high = tried[max(best - 1, 0)], tried[min(best + 1, 24)]
    return float(np.exp(tried[best]))


def calibrate(
    model: RegionAttentionNetwork,
    data: Any = "validation",
    *,
    dataset: str | None = None,
    data_dir: str | None = None,
) -> float:
    """Fits a network's probabilities to held-out faces, by a temperature in its weights.

    The logits are divided by the temperature. No answer changes its class. The card of a network
    that looks away from what is covered learns to read the covered share of a face from the region
    weights, too (`evaluation.covered`).

    Args:
      model: a network with a card, such as one of `ran_tf.from_preset`. Its classifier is scaled,
        and its card holds the product of all temperatures.
      data: faces that it was not trained on, in the forms that `ran_tf.evaluate` takes. Do not
        take the test split: it would no longer be held out.
      dataset, data_dir: dataset and folder of a split expression.

    Returns:
      The temperature. It is above 1 if the network was too sure.

    Raises:
      InvalidArgument: for a network without a card.
      FileNotFoundError, ValueError: as `ran_tf.evaluate`.

    Example:
      >>> model = ran_tf.from_preset("ran_faceres_shared_ferplus")
      >>> data = ran_tf.load_dataset("synthetic_faces", image_size=48, validation_split="test[:64]")
      >>> ran_tf.calibrate(model, data.validation) > 1  # these faces are not what it knows
      True
    """
    if model.card is None:
        raise InvalidArgument("model", "a network with a card (`ran_tf.from_preset`)", model.name)
    classifier = keras_engine.from_network(model, split.card_on(model, data), name=model.name)
    faces = split.open_faces(classifier, data, dataset=dataset, data_dir=data_dir)
    said = predictions.collect(classifier, faces.batches)
    temperature = fit_temperature(said.probabilities, said.label)
    for weight in model.classifier.weights:
        weight.assign(weight / temperature)
    model.card = dataclasses.replace(
        model.card,
        temperature=model.card.temperature * temperature,
        covered=fit_covered_readout(classifier, faces.batches),
    )
    return temperature
