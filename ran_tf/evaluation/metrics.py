"""Metrics of a finished evaluation, in NumPy: accuracy, intervals, calibration, bootstrap."""

import dataclasses

import numpy as np

# The standard normal's 97.5 % point: two-sided 95 %.
_Z_95 = 1.959963984540054

# Probabilities of zero would make the log-likelihood of a whole split infinite.
_SMALLEST = float(np.finfo(np.float32).tiny)


@dataclasses.dataclass(frozen=True)
class PairedDifference:
    """How far a model is ahead of a baseline on the same faces.

    Attributes:
      mean: mean of model minus baseline.
      ci95: [low, high], percentile interval over bootstrap resamples of the faces.
      wins, losses: faces on which the model scores higher, and lower.
    """

    mean: float
    ci95: list[float]
    wins: int
    losses: int


def confusion_matrix(label, predicted, *, num_classes: int) -> np.ndarray:
    """Counts faces by true class (rows) and predicted class (columns).

    Args:
      label: i64[b], true classes.
      predicted: i64[b], predicted classes.
      num_classes: n.

    Returns:
      i64[n, n].

    Raises:
      ValueError: for a true class outside 0..n-1.
    """
    label, predicted = np.asarray(label, np.int64), np.asarray(predicted, np.int64)
    outside = label[(label < 0) | (label >= num_classes)]
    if outside.size:
        raise ValueError(
            f"`label` must hold classes in 0..{num_classes - 1}. Received: label={outside[0]}"
        )
    pairs = label * num_classes + predicted
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def class_recalls(confusion) -> np.ndarray:
    """Accuracy within each true class: f64[n], NaN for a class that has no face."""
    confusion = np.asarray(confusion)
    faces = confusion.sum(axis=1)
    return np.where(faces > 0, np.diagonal(confusion) / np.maximum(faces, 1), np.nan)


def mean_class_accuracy(confusion) -> float:
    """Mean of `class_recalls` over the classes that are present; there must be a face."""
    return float(np.nanmean(class_recalls(confusion)))


def wilson_interval(correct: int, count: int) -> list[float]:
    """[low, high]: 95 % score interval of a proportion (Wilson 1927), no continuity correction.

    Args:
      correct: successes.
      count: trials, at least 1.
    """
    share = correct / count
    squared = _Z_95**2
    centre = (share + squared / (2 * count)) / (1 + squared / count)
    spread = _Z_95 * np.sqrt(share * (1 - share) / count + squared / (4 * count**2))
    spread = spread / (1 + squared / count)
    # Rounding must not push the ends that are exactly 0 or 1 outside.
    return [max(0.0, float(centre - spread)), min(1.0, float(centre + spread))]


def proportion(which, *, name: str) -> dict:
    """A share of some faces with its interval, ready for JSON.

    Args:
      which: bool[b], the faces that count.
      name: of the share.

    Returns:
      {"count": b, name: 0..1, name + "_ci95": [low, high]}; None for both where b is 0.
    """
    count, right = len(which), int(np.sum(which))
    known = count > 0
    return {
        "count": count,
        name: right / count if known else None,
        f"{name}_ci95": wilson_interval(right, count) if known else None,
    }


def expected_calibration_error(probabilities, label, *, bins: int = 15) -> float:
    """How far confidence is from accuracy (Guo et al. 2017, equation 3).

    Faces are put in `bins` equal bins `(i/bins, (i+1)/bins]` of the highest probability; the result
    is the mean over faces of |accuracy - mean confidence| of their bin.

    Args:
      probabilities: f32[b, n], rows sum to 1.
      label: i64[b].
      bins: number of bins.
    """
    probabilities = np.asarray(probabilities, np.float64)
    confidence = probabilities.max(axis=1)
    hits = probabilities.argmax(axis=1) == label
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    # |sum of hits - sum of confidence| is count * |accuracy - confidence| of the bin.
    gaps = np.bincount(place, weights=hits - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(label))


def negative_log_likelihood(probabilities, label) -> float:
    """Mean of -log(probability of the true class), in nats.

    Args:
      probabilities: f32[b, n], rows sum to 1; zeros count as the smallest normal float32.
      label: i64[b].
    """
    probabilities = np.asarray(probabilities, np.float64)
    of_label = probabilities[np.arange(len(label)), label]
    return float(-np.log(np.maximum(of_label, _SMALLEST)).mean())


def area_under_curve(positive, negative) -> float:
    """Of the ROC: how often a positive one of two scores is the larger; ties count half.

    Args:
      positive, negative: f64[m] and f64[n].
    """
    both = np.concatenate([positive, negative])
    _, place, counts = np.unique(both, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    count = len(positive)
    return float((ranks[:count].sum() - count * (count + 1) / 2) / (count * len(negative)))


def repeated_labels(
    votes, label, *, annotators: int = 10, panels: int = 400, seed: int = 0
) -> float:
    """How often other annotators with the same shares of votes would give the label again.

    A model cannot be expected to agree with labels more often than annotators would.

    Args:
      votes: f32[b, n], shares of the classes in the votes of each face; rows sum to 1.
      label: i64[b].
      annotators: in a panel.
      panels: drawn for each face.
      seed: of the drawing.

    Returns:
      The share of panels, 0..1, in which the label has more votes than every other class.
    """
    votes = np.asarray(votes, np.float64)
    rows = np.arange(len(votes))
    rng = np.random.default_rng(seed)
    again = 0
    for _ in range(panels):
        drawn = rng.multinomial(annotators, votes / votes.sum(axis=1, keepdims=True))
        of_label = drawn[rows, label]
        drawn[rows, label] = -1
        again += int((of_label > drawn.max(axis=1)).sum())
    return again / (panels * len(votes))


def paired_bootstrap(
    model, baseline, *, resamples: int = 10_000, seed: int = 0
) -> PairedDifference:
    """Bootstrap interval of the mean difference of two scores of the same faces.

    Faces are resampled with both their scores, so what makes a face hard for both cancels. The
    interval holds the middle 95 % of the resampled means (Efron's percentile method).

    Args:
      model: f64[b], score of each face, such as 1 where the prediction is right.
      baseline: f64[b], the baseline's score of the same faces in the same order.
      resamples: bootstrap resamples.
      seed: of the resampling: the same input gives the same interval.
    """
    difference = np.asarray(model, np.float64) - np.asarray(baseline, np.float64)
    # Resampling faces with replacement draws the counts of their values from a multinomial
    # distribution: the same as drawing indices, and cheap for scores of few values.
    values, counts = np.unique(difference, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(
        difference.size, counts / difference.size, size=resamples
    )
    low, high = np.quantile(draws @ values / difference.size, (0.025, 0.975))
    return PairedDifference(
        mean=float(difference.mean()),
        ci95=[float(low), float(high)],
        wins=int((difference > 0).sum()),
        losses=int((difference < 0).sum()),
    )
