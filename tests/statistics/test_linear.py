"""Linear methods from sums over shards equal the plain formulas and scikit-learn."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from speech_interp.statistics.linear import (
    class_means,
    principal_components,
    ridge,
    ridge_correlation,
)
from speech_interp.statistics.moments import Moments

SHARDS = ([60], [1, 59], [20, 20, 20], [7, 13, 1, 39])


@pytest.fixture
def spaces():
    """Inputs, targets that depend on them, and one-hot labels, over 60 items far from zero."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(60, 8)) @ rng.normal(size=(8, 8)) + 500
    y = x @ rng.normal(size=(8, 3)) + rng.normal(size=(60, 3))
    return [x, y, np.eye(4)[rng.permutation(60) % 4]]


def collected(spaces, cuts):
    moments = Moments()
    for part in np.split(np.arange(60), np.cumsum(cuts)[:-1]):
        moments.add([space[part] for space in spaces])
    return moments


@pytest.mark.parametrize("cuts", SHARDS, ids=str)
def test_means_and_covariances_are_the_plain_ones(spaces, cuts):
    moments, (x, y, _) = collected(spaces, cuts), spaces
    np.testing.assert_allclose(moments.mean(0), x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.covariance(1), np.cov(y.T), rtol=1e-9)
    expected = (x - x.mean(0)).T @ (y - y.mean(0))
    np.testing.assert_allclose(moments.scatter(0, 1), expected, rtol=1e-8, atol=1e-7)


def test_float32_with_a_huge_mean_keeps_its_digits():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(4000, 3)) + np.array([1e4, -1e4, 0])).astype(np.float32)
    moments = Moments()
    for part in np.array_split(x, 9):
        moments.add([part])
    np.testing.assert_allclose(
        moments.covariance(0), np.cov(x.astype(float).T), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("cuts", SHARDS, ids=str)
def test_principal_components_are_those_of_scikit_learn(spaces, cuts):
    found, expected = principal_components(collected(spaces, cuts)), PCA().fit(spaces[0])
    np.testing.assert_allclose(found.variances, expected.explained_variance_, rtol=1e-8)
    np.testing.assert_allclose(found.explained, expected.explained_variance_ratio_, rtol=1e-8)
    overlap = np.abs(np.sum(found.directions * expected.components_, axis=1))
    np.testing.assert_allclose(overlap, 1, atol=1e-8)


@pytest.mark.parametrize("directions", [1, 4, 9])
def test_participation_ratio_of_a_known_spectrum(directions):
    x = np.zeros((2 * directions, 10))
    for k in range(directions):  # variance the same in every direction that is used
        x[2 * k, k], x[2 * k + 1, k] = 1, -1
    moments = Moments()
    moments.add([x])
    assert principal_components(moments).participation_ratio == pytest.approx(directions)


@pytest.mark.parametrize("cuts", SHARDS, ids=str)
@pytest.mark.parametrize("penalty", [0.0, 0.1, 10.0])
def test_ridge_is_that_of_scikit_learn(spaces, cuts, penalty):
    x, y, _ = spaces
    moments = collected(spaces, cuts)
    fitted, expected = ridge(moments, 0, 1, penalty=penalty), Ridge(alpha=60 * penalty).fit(x, y)
    np.testing.assert_allclose(fitted(x), expected.predict(x), rtol=1e-6)
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(y.T, fitted(x).T, strict=True)]
    np.testing.assert_allclose(ridge_correlation(moments, fitted, 0, 1), r, rtol=1e-8)


@pytest.mark.parametrize("cuts", SHARDS, ids=str)
def test_class_means_are_the_plain_ones(spaces, cuts):
    x, _, labels = spaces
    expected = [x[labels[:, k] == 1].mean(0) for k in range(4)]
    np.testing.assert_allclose(class_means(collected(spaces, cuts), 0, 2), expected, rtol=1e-10)


def test_errors_name_what_came(spaces):
    with pytest.raises(ValueError, match="got 0 items so far, expected at least 1"):
        Moments().mean(0)
    moments = collected(spaces, [60])
    with pytest.raises(ValueError, match="space is 3, expected one of the 3"):
        moments.scatter(3)
    with pytest.raises(ValueError, match="penalty is -1"):
        ridge(moments, 0, 1, penalty=-1)
    alone = Moments()
    alone.add([spaces[0], np.eye(5)[np.zeros(60, int)]])
    with pytest.raises(ValueError, match=r"classes \[1, 2, 3, 4\] have no items"):
        class_means(alone, 0, 1)
