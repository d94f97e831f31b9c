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


def test_means_of_items_have_the_interval_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(size=(400, 3)) + np.arange(3)
    found = LayerScores.of_items(values, np.arange(400), resamples=4000)
    np.testing.assert_allclose(found.score(), values.mean(0))
    np.testing.assert_allclose(found.error_bars(), [1.96 * values.std(0) / 20] * 2, rtol=0.1)


def test_means_of_items_vary_with_the_groups_that_vary():
    """Two items a group say the same: the interval is that of the groups, not of the items."""
    values = np.repeat(np.random.default_rng(0).normal(size=(100, 1)), 2, axis=0)
    groups = np.repeat(np.arange(100), 2)
    ratio = [LayerScores.of_items(values, g).draws.std() for g in (groups, np.arange(200))]
    assert ratio[0] / ratio[1] == pytest.approx(np.sqrt(2), rel=0.1)
    both = LayerScores.of_items(values, groups, np.tile(["a", "b"], 100))
    assert both.paired_by.startswith("100 x 2 groups") and np.isfinite(both.draws).all()


def test_what_is_detectable_is_detected_so_often():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 1))
    pilot = LayerScores.of_items(values / values.std(), np.arange(50))
    effect = pilot.detectable()[0]
    shown = [
        LayerScores.of_items(rng.normal(effect, 1, (50, 1)), np.arange(50)).verdict(0) == "above"
        for _ in range(300)
    ]
    assert np.mean(shown) == pytest.approx(0.8, abs=0.1)


def test_scores_become_percent_and_errors():
    scores = LayerScores(np.array([0.2, 0.5]), np.array([[0.1, 0.4], [0.3, 0.6]]), "voices")
    wrong = scores.scaled(-100, plus=100)
    np.testing.assert_allclose(wrong.score(), [80, 50])
    np.testing.assert_allclose(wrong.interval(level=0.99)[:, 0], [70, 90], atol=0.2)
    assert wrong.paired_by == "voices"
