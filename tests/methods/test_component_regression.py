"""Components that predict a measure: against scikit-learn fold by fold, and planted truths."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression

from speech_interp.methods.component_regression import regress_on_components
from speech_interp.methods.probing import grouped_folds
from speech_interp.statistics.predictions import correlation

RNG = np.random.default_rng(0)
SPEAKERS = np.repeat(np.arange(6), 20)
KINDS = np.tile(np.arange(4), 30)
GROUPS = (SPEAKERS, np.tile(np.arange(5), 24))
FOLDS = grouped_folds(SPEAKERS, folds=6)
HIDDEN = RNG.normal(size=(120, 2)) + np.array([[4, 0], [0, 4], [-4, 0], [0, -4]])[KINDS]
STATES = 3 * HIDDEN @ RNG.normal(size=(2, 12)) + RNG.normal(size=(2, 120, 12))
TARGETS = HIDDEN @ [[1.0, 0.5], [0.2, 1.0]] + 0.3 * RNG.normal(size=(120, 2))


def plainly(states, within):
    """Both, prediction and truth, by scikit-learn, one fold after another."""
    predicted, truth = np.empty((2, 120, 2))
    for train, test in FOLDS:
        plane, y = PCA(2).fit(states[train]).transform(states), TARGETS.copy()
        if within:
            for kind in range(4):
                own, known = kind == KINDS, train[KINDS[train] == kind]
                plane[own] -= plane[known].mean(0)
                y[own] -= y[known].mean(0)
        predicted[test] = LinearRegression().fit(plane[train], y[train]).predict(plane[test])
        truth[test] = y[test]
    return [np.corrcoef(predicted[:, k], truth[:, k])[0, 1] for k in range(2)]


@pytest.mark.parametrize("within", [False, True])
def test_scores_equal_those_of_scikit_learn_fold_by_fold(within):
    result = regress_on_components(
        STATES, TARGETS, FOLDS, clusters=GROUPS, kinds=KINDS if within else None
    )
    expected = [plainly(x, within) for x in STATES]  # without the small penalty
    np.testing.assert_allclose(result.score(correlation), expected, atol=0.01)


def test_within_kinds_only_what_differs_within_them_counts():
    """Targets that are their kind and nothing else: perfect from outside, nothing within."""
    of_kind = RNG.normal(size=(4, 2))[KINDS] + 0.1 * RNG.normal(size=(120, 2))
    whole = regress_on_components(STATES, of_kind, FOLDS, clusters=GROUPS)
    within = regress_on_components(STATES, of_kind, FOLDS, clusters=GROUPS, kinds=KINDS)
    assert whole.score(correlation).min() > 0.5
    assert np.abs(within.score(correlation)).max() < 0.25


def test_held_out_items_leave_no_trace_in_components_and_means():
    """One speaker shouts in a unit of its own: no prediction for this speaker may follow it."""
    loud = STATES.copy()
    loud[:, SPEAKERS == 0, 0] += 1000 * TARGETS[SPEAKERS == 0, 0]
    train, test = next((a, b) for a, b in FOLDS if 0 in SPEAKERS[b])
    small = np.where(np.arange(12) == 0, 0, loud)  # the unit is silent in training
    small[:, test, 0] = loud[:, test, 0]
    silent = np.where(np.arange(12) == 0, 0, STATES)
    of = {}
    for name, x in {"small": small, "silent": silent}.items():
        found = regress_on_components(x, TARGETS, [(train, test)], clusters=GROUPS, kinds=KINDS)
        of[name] = found.predicted[:, test]
    np.testing.assert_allclose(of["small"], of["silent"], atol=1e-4)


def test_a_kind_that_is_never_trained_on_is_not_tested():
    kinds = np.where(SPEAKERS == 5, "own", KINDS.astype(str))
    result = regress_on_components(STATES, TARGETS, FOLDS, clusters=GROUPS, kinds=kinds)
    tested = np.isfinite(result.predicted).all((0, 2)).reshape(6, 120).any(0)
    assert (tested == (SPEAKERS != 5)).all()


def test_targets_of_other_items_are_refused():
    with pytest.raises(ValueError, match="targets have 119 items, layers 120"):
        regress_on_components(STATES, TARGETS[:-1], FOLDS, clusters=GROUPS)
