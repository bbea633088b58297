"""Metrics against loops, a published table and simulation."""

import math

import numpy as np
import pytest

from ran_tf.evaluation import metrics


def random_case(*, faces=400, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.5), faces).astype(np.float32)
    # Class 3 never occurs.
    label = rng.choice([0, 1, 2, 4], faces, p=[0.5, 0.3, 0.15, 0.05])
    return probabilities, label


def test_confusion_accuracy_and_class_mean_against_loops():
    probabilities, label = random_case()
    predicted = probabilities.argmax(axis=1)
    expected = [[0] * 5 for _ in range(5)]
    for truth, guess in zip(label, predicted, strict=True):
        expected[truth][guess] += 1
    confusion = metrics.confusion_matrix(label, predicted, num_classes=5)
    np.testing.assert_array_equal(confusion, expected)
    hits = [truth == guess for truth, guess in zip(label, predicted, strict=True)]
    recalls = []
    for c in (0, 1, 2, 4):
        of_class = [hit for hit, truth in zip(hits, label, strict=True) if truth == c]
        recalls.append(sum(of_class) / len(of_class))
    np.testing.assert_allclose(metrics.class_recalls(confusion)[[0, 1, 2, 4]], recalls)
    assert np.isnan(metrics.class_recalls(confusion)[3])
    assert metrics.mean_class_accuracy(confusion) == pytest.approx(sum(recalls) / 4)


def test_another_panel_gives_a_label_again_as_often_as_the_binomial_says():
    votes = np.float32([[1.0, 0.0], [0.7, 0.3], [0.3, 0.7]])
    found = metrics.repeated_labels(votes, np.zeros(3, int), panels=4000)

    def more_than_half(p):
        return sum(math.comb(10, i) * p**i * (1 - p) ** (10 - i) for i in range(6, 11))

    assert found == pytest.approx((1 + more_than_half(0.7) + more_than_half(0.3)) / 3, abs=0.01)


@pytest.mark.parametrize("bins", [15, 4])
def test_calibration_error_against_a_loop(bins):
    probabilities, label = random_case(seed=1)
    expected = 0.0
    for i in range(bins):
        confidences, hits = [], []
        for row, truth in zip(probabilities.astype(np.float64), label, strict=True):
            best = max(range(5), key=lambda c: row[c])
            if i / bins < row[best] <= (i + 1) / bins:
                confidences.append(row[best])
                hits.append(best == truth)
        if hits:
            gap = abs(sum(hits) / len(hits) - sum(confidences) / len(confidences))
            expected += gap * len(hits) / len(label)
    found = metrics.expected_calibration_error(probabilities, label, bins=bins)
    assert found == pytest.approx(expected, abs=1e-9)


def test_calibration_error_of_known_cases():
    sure = np.eye(4)[[0, 1, 2, 3]]
    assert metrics.expected_calibration_error(sure, [0, 1, 2, 3]) == pytest.approx(0.0)
    assert metrics.expected_calibration_error(sure, [0, 1, 3, 2]) == pytest.approx(0.5)
    # Right three times of four at confidence .6: off by .15.
    unsure = np.tile([0.6, 0.4], (4, 1))
    assert metrics.expected_calibration_error(unsure, [0, 0, 0, 1]) == pytest.approx(0.15)
    # A bin ends with its upper edge: .5 lies in (.25, .5], .6 in the next.
    edge = metrics.expected_calibration_error([[0.5, 0.5], [0.6, 0.4]], [0, 1], bins=4)
    assert edge == pytest.approx(0.55)


def test_log_likelihood_against_a_loop_and_at_zero():
    probabilities, label = random_case(seed=2)
    expected = -sum(
        math.log(max(row[truth], 1.1754943508222875e-38))
        for row, truth in zip(probabilities.tolist(), label, strict=True)
    ) / len(label)
    assert metrics.negative_log_likelihood(probabilities, label) == pytest.approx(expected)
    assert np.isfinite(metrics.negative_log_likelihood(np.eye(2), [1, 0]))


@pytest.mark.parametrize(
    ("correct", "count", "low", "high"),
    # Newcombe 1998 (Statistics in Medicine 17:857), table I, method 3.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_of_published_examples(correct, count, low, high):
    assert metrics.wilson_interval(correct, count) == pytest.approx([low, high], abs=5e-5)
    mirrored = metrics.wilson_interval(count - correct, count)
    assert mirrored == pytest.approx([1 - high, 1 - low], abs=5e-5)


def test_bootstrap_of_a_known_difference():
    model, baseline = np.zeros(1000), np.zeros(1000)
    model[:120] = 1  # right alone on 120 faces
    baseline[100:160] = 1  # 20 of them shared, 40 alone
    difference = metrics.paired_bootstrap(model, baseline)
    assert difference.mean == pytest.approx(0.06)
    assert (difference.wins, difference.losses) == (100, 40)
    # Normal theory: variance of the values -1, 0, 1 over the number of faces.
    error = 1.96 * math.sqrt((0.14 - 0.06**2) / 1000)
    assert difference.ci95[0] == pytest.approx(0.06 - error, abs=2e-3)
    assert difference.ci95[1] == pytest.approx(0.06 + error, abs=2e-3)
    other_way = metrics.paired_bootstrap(baseline, model)
    assert other_way.mean == pytest.approx(-0.06)
    assert metrics.paired_bootstrap(model, baseline) == difference


def test_bootstrap_is_that_of_resampled_faces():
    rng = np.random.default_rng(3)
    model, baseline = rng.normal(0.2, 1.0, 60), rng.normal(0.0, 1.0, 60)
    means = []
    for _ in range(20_000):
        drawn = rng.integers(0, 60, 60)
        means.append((model[drawn] - baseline[drawn]).mean())
    found = metrics.paired_bootstrap(model, baseline, resamples=20_000, seed=5)
    expected = np.quantile(means, (0.025, 0.975))
    np.testing.assert_allclose(found.ci95, expected, atol=0.02)


def test_a_class_that_there_is_not_is_named():
    with pytest.raises(ValueError, match=r"`label` must hold classes in 0\.\.7. Received: label=8"):
        metrics.confusion_matrix([0, 8], [0, 1], num_classes=8)
