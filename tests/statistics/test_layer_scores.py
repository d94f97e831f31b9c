"""Scores by layer: intervals of known draws, differences draw by draw, verdicts from intervals."""

import numpy as np
import pytest

from speech_interp.statistics.layer_scores import LayerScores


def scores(values, spread, *, seed=0, paired_by="speakers"):
    rng = np.random.default_rng(seed)
    values = np.asarray(values, dtype=float)
    return LayerScores(values, values + spread * rng.normal(size=(4000, len(values))), paired_by)


def test_interval_and_bars_are_those_of_the_normal_distribution():
    found = scores([0.0, 5.0], 1.0)
    np.testing.assert_allclose(found.interval(), [[-1.96, 3.04], [1.96, 6.96]], atol=0.12)
    np.testing.assert_allclose(found.error_bars(), 1.96, atol=0.12)
    np.testing.assert_allclose(found.interval(level=0.68)[1], [0.99, 5.99], atol=0.06)


def test_a_paired_difference_is_sharper_than_its_parts():
    """Both scores move with the speakers drawn; their difference does not."""
    common = np.random.default_rng(0).normal(size=(1000, 1))
    low, high = (LayerScores(np.array([v]), v + common, "speakers") for v in (1.0, 1.1))
    assert low.interval()[1] > high.interval()[0]
    gap = high.minus(low)
    np.testing.assert_allclose(gap.interval(), 0.1, atol=1e-12)
    assert gap.verdict(0) == "above"


def test_one_layer_is_taken_from_all():
    found, floor = scores([1.0, 2.0, 3.0], 0.1), scores([1.0], 0.1, seed=1)
    np.testing.assert_allclose(found.minus(floor).score(), [0, 1, 2])
    np.testing.assert_allclose(found.minus(found.at(0)).draws[:, 0], 0)
    assert found.best() == 2


def test_verdicts_come_from_the_interval():
    found = scores([-1.0, 0.05, 1.0], 0.1)
    assert [found.verdict(k) for k in range(3)] == ["below", "not clearly different from", "above"]
    assert found.verdict(2, zero=2, words=("more", "as much", "less")) == "less"


def test_what_was_not_drawn_together_is_not_paired():
    with pytest.raises(ValueError, match=r"over 'speakers' \(4000 draws\) and over 'sentences'"):
        scores([1.0], 0.1).minus(scores([1.0], 0.1, paired_by="sentences"))
    with pytest.raises(ValueError, match=r"draws have shape \(5, 3\), expected \(resample, \*\(2,"):
        LayerScores(np.zeros(2), np.zeros((5, 3)))
