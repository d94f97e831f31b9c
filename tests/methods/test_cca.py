"""CCA against a slow definition, scikit-learn, and spaces whose correlations were planted."""

import numpy as np
import pytest
from sklearn.cross_decomposition import CCA

from speech_interp.methods.cca import (
    by_both,
    by_x,
    by_y,
    canonical_correlations,
    correlations_on,
    evenly,
    fit_cca,
    null_mean_square,
    whiten,
)
from speech_interp.statistics.moments import Moments

PLANTED = np.array([0.9, 0.6, 0.3])


def planted(count, seed=0, p=8, q=5):
    """Two spaces, mixed and unequally loud, whose canonical correlations are `PLANTED`, then 0."""
    rng, mixing = np.random.default_rng(seed), np.random.default_rng(99)
    x, y = rng.normal(size=(count, p)), rng.normal(size=(count, q))
    k = len(PLANTED)
    y[:, :k] = PLANTED * x[:, :k] + np.sqrt(1 - PLANTED**2) * y[:, :k]
    loud = np.geomspace(0.2, 5, p)
    return x @ (loud[:, None] * mixing.normal(size=(p, p))) + 40, y @ mixing.normal(size=(q, q)) - 7


def sums(*spaces, shards=1):
    moments = Moments()
    for part in np.array_split(np.arange(len(spaces[0])), shards):
        moments.add([z[part] for z in spaces])
    return moments


def slow_correlations(x, y):
    """From orthonormal bases of the columns: no covariance, no eigenvalue."""
    bases = [np.linalg.qr(z - z.mean(0))[0] for z in (x, y)]
    return np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)


def test_equals_orthonormal_bases_and_streams():
    x, y = planted(60)
    expected = slow_correlations(x, y)
    np.testing.assert_allclose(canonical_correlations(x, y), expected, atol=1e-9)
    streamed = fit_cca(sums(y, x, shards=7), 1, 0)
    np.testing.assert_allclose(streamed.correlations, expected, atol=1e-9)


def test_equals_scikit_learn():
    x, y = np.random.default_rng(0).normal(size=(2, 300, 4))
    y += x @ np.diag([2, 1, 0.5, 0])
    a, b = CCA(n_components=4, tol=1e-12, max_iter=10_000).fit_transform(x, y)
    theirs = [np.corrcoef(a[:, k], b[:, k])[0, 1] for k in range(4)]
    np.testing.assert_allclose(canonical_correlations(x, y), theirs, atol=1e-5)


@pytest.mark.filterwarnings("ignore::Warning")
def test_equals_cca_zoo():
    linear = pytest.importorskip("cca_zoo.linear")
    x, y = planted(200)
    a, b = linear.CCA(n_components=5).fit([x, y]).transform([x, y])
    theirs = [np.corrcoef(a[:, k], b[:, k])[0, 1] for k in range(5)]
    np.testing.assert_allclose(canonical_correlations(x, y), theirs, atol=1e-6)


def test_planted_correlations_come_back_on_items_that_were_not_fitted():
    found = canonical_correlations(*planted(20_000), test=planted(20_000, seed=1))
    np.testing.assert_allclose(found, [*PLANTED, 0, 0], atol=0.03)
    few = planted(40)
    assert canonical_correlations(*few)[3:].mean() > 0.2  # where nothing is shared
    assert abs(canonical_correlations(*few, test=planted(20_000, seed=1))[3:]).mean() < 0.1


def test_correlations_on_are_those_of_the_variates():
    pairs = fit_cca(sums(*planted(50)), ridge=0.1)
    x, y = planted(70, seed=3)
    a, b = pairs.x(x), pairs.y(y)
    expected = [np.corrcoef(a[:, k], b[:, k])[0, 1] for k in range(len(pairs))]
    np.testing.assert_allclose(correlations_on(sums(x, y), pairs), expected, atol=1e-9)


@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_variates_have_variance_one_and_the_correlations_named(ridge):
    x, y = planted(50)
    pairs = fit_cca(sums(x, y), ridge=ridge)
    a, b = pairs.x(x), pairs.y(y)
    for v in (a, b):
        np.testing.assert_allclose(v.mean(0), 0, atol=1e-8)
        np.testing.assert_allclose(v.var(0), 1, atol=1e-8)
    np.testing.assert_allclose((a * b).mean(0), pairs.correlations, atol=1e-8)


def test_ridge_is_that_of_the_definition():
    """Against the eigenvalues of (Sxx + r)^-1 Sxy (Syy + s)^-1 Syx, before rescaling."""
    x, y = planted(50)
    covariance = np.cov(x.T, y.T, bias=True)
    xx, xy, yy = covariance[:8, :8], covariance[:8, 8:], covariance[8:, 8:]
    xx, yy = (s + 0.2 * np.trace(s) / len(s) * np.eye(len(s)) for s in (xx, yy))
    product = np.linalg.solve(yy, xy.T) @ np.linalg.solve(xx, xy)
    expected = np.sqrt(np.sort(np.linalg.eigvals(product).real)[::-1])
    moments = sums(x, y)
    a, b = (whiten(moments, k, ridge=0.2) for k in (0, 1))
    found = np.linalg.svd(a.directions.T @ xy @ b.directions, compute_uv=False)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("ridge", [0.0, 0.2])
def test_projection_weights_are_those_of_the_definition(ridge):
    x, y = planted(50)
    pairs = fit_cca(sums(x, y), ridge=ridge)
    for space, variates, weighing in ((x, pairs.x(x), by_x), (y, pairs.y(y), by_y)):
        unit_length = variates / np.linalg.norm(variates, axis=0)
        alpha = np.abs(unit_length.T @ (space - space.mean(0))).sum(1)
        np.testing.assert_allclose(weighing(pairs), alpha / alpha.sum(), atol=1e-9)
    np.testing.assert_allclose(by_both(pairs), (by_x(pairs) + by_y(pairs)) / 2)
    assert evenly(pairs).sum() == pytest.approx(1)


def test_linear_maps_change_nothing():
    x, y = planted(60)
    mixing = np.random.default_rng(5).normal(size=(8, 8))
    before = canonical_correlations(x, y)
    np.testing.assert_allclose(canonical_correlations(x @ mixing + 3, y), before, atol=1e-7)


def test_svcca_keeps_the_directions_that_hold_the_variance():
    """SVCCA: CCA of the scores on the first principal components."""
    x, y = planted(80)
    scores = []
    for z in (x, y):
        left, sizes, _ = np.linalg.svd(z - z.mean(0), full_matrices=False)
        count = np.searchsorted(np.cumsum(sizes**2) / (sizes**2).sum(), 0.9) + 1
        scores.append((left * sizes)[:, :count])
    assert scores[0].shape[1] < 8
    expected = slow_correlations(*scores)
    np.testing.assert_allclose(canonical_correlations(x, y, variance=0.9), expected, atol=1e-9)


def test_directions_without_variance_are_left_out():
    """A one-hot space has one direction fewer than classes; a doubled unit adds none."""
    x, _ = planted(90)
    label = np.eye(3)[np.arange(90) % 3]
    doubled = np.c_[x, x[:, :2] * 5]
    assert whiten(sums(label, shards=4), 0).directions.shape == (3, 2)
    expected = slow_correlations(x, label[:, :2])
    np.testing.assert_allclose(canonical_correlations(doubled, label), expected, atol=1e-8)


def test_null_mean_square_is_what_independent_spaces_give():
    rng = np.random.default_rng(0)
    for n, p, q in ((50, 10, 4), (200, 30, 30)):
        drawn = [
            (canonical_correlations(rng.normal(size=(n, p)), rng.normal(size=(n, q))) ** 2).mean()
            for _ in range(100)
        ]
        assert null_mean_square(n, p, q) == pytest.approx(np.mean(drawn), rel=0.05)
    assert null_mean_square(5, 768, 10) == 1


def test_wrong_spaces_are_named():
    x, y = planted(60)
    with pytest.raises(ValueError, match=r"unequal numbers of items: \[60, 50\]"):
        canonical_correlations(x, y[:50])
    with pytest.raises(ValueError, match=r"12 items are too few for 8 \+ 5 directions: below 14"):
        canonical_correlations(x[:12], y[:12])
    assert canonical_correlations(x[:12], y[:12], ridge=0.1).max() < 1
    assert canonical_correlations(x[:14], y[:14]).max() < 1
    with pytest.raises(ValueError, match=r"space 1: 1 of 5 units are the same for all 60 items"):
        canonical_correlations(x, np.c_[y[:, :4], np.full(60, 0.1)])
    with pytest.raises(ValueError, match="not finite"):
        canonical_correlations(x, np.where(y > y.max() - 1e-9, np.nan, y))
    with pytest.raises(ValueError, match="ridge is -1"):
        canonical_correlations(x, y, ridge=-1)
    with pytest.raises(ValueError, match="variance is 0"):
        canonical_correlations(x, y, variance=0)


def test_where_divide_and_conquer_does_not_end_the_older_way_gives_the_same(monkeypatch):
    x, y = planted(400)[:2]
    expected = canonical_correlations(x, y)

    def does_not_end(*_, **__):
        raise np.linalg.LinAlgError("SVD did not converge")

    monkeypatch.setattr(np.linalg, "svd", does_not_end)
    np.testing.assert_allclose(canonical_correlations(x, y), expected, atol=1e-12)
