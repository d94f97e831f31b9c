"""Scores by layer and their intervals: against slow resampling."""

import numpy as np
import pytest
import reference_probing as slow

from speech_interp.methods.probing import (
    classify,
    grouped_folds,
    regress,
)
from speech_interp.statistics.predictions import (
    accuracy,
    correlation,
    macro_f1,
    matthews,
)


def planted_speech(rng, speakers=6, sentences=12, phones=("AA", "IY", "S", "T"), units=12):
    """Items of every phone of every speaker in every sentence, with realistic labels."""
    grid = np.array(
        [(s, u, p) for s in range(speakers) for u in range(sentences) for p in range(len(phones))]
    )
    speaker, sentence, phone = grid.T
    centres = [2 * rng.normal(size=(count, units)) for count in (speakers, sentences, len(phones))]
    noise = rng.normal(size=(len(grid), units))
    layers = np.stack([noise, noise + centres[2][phone], noise + centres[0][speaker]])
    return layers, np.array(phones)[phone], speaker, sentence


def result_of(truth, guess, cluster):
    from speech_interp.statistics.predictions import ProbeResult, class_counts

    predicted = guess[None]
    counts = class_counts(truth, predicted, cluster, 2)
    return ProbeResult(counts, predicted, truth, np.arange(2))


@pytest.mark.parametrize("labels", [2, 4])
def test_matthews_is_that_of_a_public_library(labels):
    from sklearn.metrics import matthews_corrcoef

    from speech_interp.statistics.predictions import class_counts

    rng = np.random.default_rng(labels)
    truth = rng.choice(labels, 80, p=np.arange(1, labels + 1) / np.arange(1, labels + 1).sum())
    guesses = np.stack([np.where(rng.random(80) < s, truth, rng.integers(0, labels, 80))
                        for s in (0.0, 0.5, 1.0)])  # fmt: skip
    counts = class_counts(truth, guesses, np.arange(80), labels).sum(0)
    expected = [matthews_corrcoef(truth, guess) for guess in guesses]
    np.testing.assert_allclose(matthews(counts), expected, atol=1e-12)
    assert matthews(counts)[2] == pytest.approx(1)


def test_matthews_of_one_answer_for_all_is_zero():
    from speech_interp.statistics.predictions import class_counts

    counts = class_counts(np.arange(10) % 2, np.zeros((1, 10), int), np.arange(10), 2).sum(0)
    assert matthews(counts)[0] == 0


def test_interval_equals_slow_resampling():
    rng = np.random.default_rng(0)
    truth, guess, cluster = rng.integers(0, 2, (3, 60))
    cluster = np.arange(60) // 6
    result = result_of(truth, guess, cluster)
    drawn = np.random.default_rng(0).multinomial(10, np.full(10, 0.1), 1000)
    scores = []
    for times in drawn:
        items = np.concatenate([np.tile(np.flatnonzero(cluster == c), times[c]) for c in range(10)])
        scores.append(slow.macro_f1(truth[items], guess[items]))
    expected = np.quantile(scores, [0.025, 0.975])
    np.testing.assert_allclose(result.interval(macro_f1)[:, 0], expected, atol=1e-9)


def test_r_is_resampled_over_clusters():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 400, 5))
    targets = x[0, :, :1] + rng.normal(size=(400, 1))
    result = regress(x, targets, grouped_folds(np.arange(400) // 20), clusters=np.arange(400) // 20)
    low, high = result.interval(correlation)
    truth = np.sqrt(0.5)
    assert low[0, 0] < truth < high[0, 0]
    assert high[0, 0] - low[0, 0] < 0.2
    assert np.all(result.error_bars(correlation) >= 0)


def test_confusion_counts():
    truth, guess = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    result = result_of(truth, guess, np.arange(4))
    np.testing.assert_array_equal(result.confusion(0), [[1, 1], [0, 2]])
    assert result.score(accuracy)[0] == 0.75


def test_untested_items_do_not_count():
    layers, phones, speaker, _ = planted_speech(np.random.default_rng(0))
    folds = grouped_folds(speaker)[:1]
    result = classify(layers, phones, folds)
    test = folds[0][1]
    assert (result.predicted >= 0).sum() == 3 * len(test)
    right = result.classes[result.predicted[1, test]] == phones[test]
    assert result.score()[1] == pytest.approx(right.mean())
    numbers = regress(layers, layers[1, :, :1], folds)
    assert np.isfinite(numbers.predicted[:, test]).all()
    assert numbers.score(correlation)[1, 0] > 0.99
