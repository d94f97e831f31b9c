"""Held-out CCA of layers whose truth is planted: one that shares, one that shares nothing."""

import numpy as np
import pytest
from scipy.stats import kstest

from speech_interp.methods.cca import by_x, by_y, fit_cca
from speech_interp.methods.cca_held_out import (
    cca_by_layer,
    held_out_variates,
    permutation_test,
)
from speech_interp.methods.probing import grouped_folds
from speech_interp.statistics.moments import Moments
from speech_interp.statistics.resampling import draw_weights

SPEAKERS, SENTENCES = np.repeat(np.arange(8), 30), np.tile(np.repeat(np.arange(6), 5), 8)
FOLDS = grouped_folds(SENTENCES, folds=3)


@pytest.fixture
def spaces():
    """Two layers and a target: the first shares one direction at .8, the second nothing."""
    rng = np.random.default_rng(0)
    x, other, y = rng.normal(size=(3, 240, 4))
    y = y[:, :2]
    y[:, 0] = 0.8 * x[:, 1] + 0.6 * y[:, 0]
    return [x @ rng.normal(size=(4, 4)) + 9, other], y @ rng.normal(size=(2, 2))


def test_variates_are_those_of_pairs_fitted_on_the_other_folds(spaces):
    (x, _), y = spaces
    found = held_out_variates(x, y, FOLDS, ridge=0.01, weighing=by_x)
    for train, test in FOLDS:
        moments = Moments()
        moments.add([x[train], y[train]])
        pairs = fit_cca(moments, ridge=0.01)
        np.testing.assert_allclose(found.x[test], pairs.x(x[test]), atol=1e-8)
        np.testing.assert_allclose(found.y[test], pairs.y(y[test]), atol=1e-8)
    r = [np.corrcoef(found.x[:, k], found.y[:, k])[0, 1] for k in (0, 1)]
    np.testing.assert_allclose(found.correlations(), r)
    assert found.score() == pytest.approx(found.weights @ r)
    assert r[0] == pytest.approx(0.8, abs=0.08) and abs(r[1]) < 0.15


def test_layers_have_scores_and_draws_over_speakers_and_sentences(spaces):
    xs, y = spaces
    scores = cca_by_layer(xs, y, FOLDS, groups=(SPEAKERS, SENTENCES), resamples=50, seed=3)
    variates = [held_out_variates(x, y, FOLDS) for x in xs]
    np.testing.assert_allclose(scores.score(), [v.score() for v in variates])
    assert scores.score() == pytest.approx([0.4, 0], abs=0.1)
    # Draw by draw: an item stands there as often as its speaker times its sentence was drawn.
    cells = np.unique(np.stack([SPEAKERS, SENTENCES]), axis=1)
    weights = draw_weights(*cells, resamples=50, seed=3)
    for draw in (0, 7):
        times = weights[draw].astype(int)[SPEAKERS * 6 + SENTENCES]
        some = np.repeat(np.arange(240), times)
        for layer, v in enumerate(variates):
            r = [np.corrcoef(v.x[some, k], v.y[some, k])[0, 1] for k in (0, 1)]
            assert scores.draws[draw, layer] == pytest.approx(np.mean(r))
    assert scores.verdict(0) == "above" and scores.verdict(1) == "not clearly different from"
    assert scores.minus(scores).score() == pytest.approx([0, 0])


def test_a_space_for_each_layer(spaces):
    xs, y = spaces
    options = {"groups": SPEAKERS, "resamples": 20, "weighing": by_y, "variance": 0.99}
    both = cca_by_layer(xs, [y, xs[0]], FOLDS, **options)
    for layer, other in enumerate((y, xs[0])):
        alone = cca_by_layer([xs[layer]], other, FOLDS, **options)
        np.testing.assert_allclose(both.draws[:, layer], alone.draws[:, 0])


def test_p_values_are_uniform_without_a_link_and_small_with_one(spaces):
    rng = np.random.default_rng(1)
    folds = grouped_folds(np.arange(40), folds=2)
    p_values = [
        permutation_test([x], y, folds, permutations=19).p_value[0]
        for x, y in (rng.normal(size=(2, 40, 2)) for _ in range(200))
    ]
    spread = np.array(p_values) - rng.uniform(0, 0.05, size=200)  # steps of .05 made even
    assert kstest(spread, "uniform").pvalue > 0.01
    xs, y = spaces
    assert permutation_test(xs, y, FOLDS, permutations=99).p_value[0] == 0.01


def test_shuffling_within_groups_keeps_what_the_groups_bring():
    """Both spaces know the speaker only: shuffled within speakers nothing changes."""
    rng = np.random.default_rng(2)
    x, y = (rng.normal(size=(8, 2))[SPEAKERS] + 0.1 * rng.normal(size=(240, 2)) for _ in range(2))
    free = permutation_test([x], y, FOLDS, permutations=99)
    within = permutation_test([x], y, FOLDS, permutations=99, within=SPEAKERS)
    assert free.p_value[0] == 0.01 and within.p_value[0] > 0.05
    assert within.null.min() > free.null.max()


def test_a_rare_class_may_leave_a_fold_when_shuffled():
    rng = np.random.default_rng(3)
    x, label = rng.normal(size=(240, 3)), np.arange(240) % 4
    label[label == 3] = 0
    label[[0, 5]] = 3  # two items, in sentences of different folds, or one fold would fail
    folds = [(np.r_[0:120], np.r_[120:240]), (np.r_[120:240], np.r_[0:120])]
    label[[5, 200]] = 0, 3
    test = permutation_test([x], np.eye(4)[label], folds, permutations=20, ridge=0.01)
    assert np.isfinite(test.null).all()
    label[200] = 0
    with pytest.raises(ValueError, match="1 of 4 units are the same for all 120 items"):
        cca_by_layer([x], np.eye(4)[label], folds, groups=SPEAKERS)


def test_wrong_folds_and_spaces_are_named(spaces):
    xs, y = spaces
    with pytest.raises(ValueError, match="exactly once, expected all 240"):
        cca_by_layer(xs, y, FOLDS[:2], groups=SPEAKERS)
    with pytest.raises(ValueError, match="y has 1 spaces, expected one for each of the 2"):
        cca_by_layer(xs, [y], FOLDS, groups=SPEAKERS)
    with pytest.raises(ValueError, match="unequal numbers"):
        cca_by_layer(xs, y[:200], FOLDS, groups=SPEAKERS)
