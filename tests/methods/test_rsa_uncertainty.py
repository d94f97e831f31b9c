"""Permuted items, half-samples and noise ceilings of RSA: against loops, and covering the truth."""

import numpy as np
import pytest
import reference_rsa as reference
from scipy.stats import kstest

from speech_interp.methods.cka_uncertainty import cka_by_layer
from speech_interp.methods.rsa import COMPARISONS, compare_rdms
from speech_interp.methods.rsa_distances import condensed, difference_rdm, rdms, square
from speech_interp.methods.rsa_regression import partial_rsa
from speech_interp.methods.rsa_uncertainty import (
    mantel_test,
    noise_ceiling,
    rsa_by_layer,
)
from speech_interp.statistics.resampling import draw_halves


def squares(*spaces):
    return rdms(spaces, "euclidean") ** 2


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_permuted_items_are_those_of_loops(comparison):
    rng = np.random.default_rng(0)
    xs, y = squares(*rng.normal(size=(2, 8, 3))), squares(rng.normal(size=(8, 3)))[0]
    test = mantel_test(xs, y, comparison=comparison, permutations=3, seed=4)
    orders = np.random.default_rng(4)
    for values in (test.similarity, *test.null):
        order = np.arange(8) if values is test.similarity else orders.permutation(8)
        moved = condensed(square(y)[order][:, order])
        expected = [reference.compare(x, moved, comparison, 8) for x in xs]
        np.testing.assert_allclose(values, expected, atol=1e-5)


def test_p_values_are_uniform_when_nothing_is_shared():
    rng = np.random.default_rng(1)
    spaces = [rdms(rng.normal(size=(2, 15, 3))) for _ in range(200)]
    values = [mantel_test(x, y, permutations=99, seed=k).p_value[0]
              for k, (x, y) in enumerate(spaces)]  # fmt: skip
    spread = np.array(values) - rng.random(200) / 100  # they come in steps of 1/100
    assert kstest(spread, "uniform").pvalue > 0.01


def test_permuting_pairs_instead_would_be_wrong():
    """An item that is far from all is far in all its pairs: 15 items, not 105 pairs, decide."""
    rng, wrong = np.random.default_rng(2), []
    for _ in range(100):
        x, y = (difference_rdm(rng.standard_t(3, size=15)) for _ in range(2))
        null = [np.corrcoef(rng.permutation(x), y)[0, 1] for _ in range(99)]
        wrong.append(np.mean(np.array(null) >= np.corrcoef(x, y)[0, 1]) < 0.05)
    assert np.mean(wrong) > 0.1


def test_partial_p_values_are_uniform_when_only_the_control_is_shared():
    rng, values = np.random.default_rng(3), []
    for k in range(200):
        voice, one, two = rng.normal(size=(3, 20, 3))
        x, y, control = squares(np.c_[voice, one], np.c_[voice, two], voice)
        options = {"comparison": "pearson", "permutations": 99, "seed": k}
        values.append(mantel_test(x, y, controls=control, **options).p_value[0])
        if k == 0:
            test = mantel_test(x, y, controls=control, **options)
            expected = partial_rsa(x, y, control, "pearson")
            np.testing.assert_allclose(test.similarity, expected, atol=1e-5)
            assert mantel_test(x, y, **options).p_value[0] < 0.05
    assert kstest(np.array(values) - rng.random(200) / 100, "uniform").pvalue > 0.01


def test_items_stay_within_their_groups():
    rng = np.random.default_rng(4)
    voice = np.repeat(np.arange(5.0), 6)
    x, y = rdms([np.c_[10 * voice, rng.normal(size=30)] for _ in range(2)], "euclidean")
    assert mantel_test(x, y, permutations=99).p_value[0] == pytest.approx(0.01)
    inside = mantel_test(x, y, permutations=99, within=voice)
    assert inside.null.min() > 0.9 and inside.p_value[0] > 0.05


@pytest.mark.parametrize("comparison", ["spearman", "whitened pearson", "kendall"])
def test_half_samples_are_similarities_of_half_of_the_groups(comparison):
    rng = np.random.default_rng(5)
    speaker, text = np.repeat(np.arange(6), 8), np.tile(np.arange(8), 6)
    spaces = rng.normal(size=(3, 48, 4))
    spaces[1:] += spaces[0]
    xs, y = squares(*spaces[1:]), squares(spaces[0])[0]
    got = rsa_by_layer(xs, y, groups=(speaker, text), comparison=comparison, resamples=5)
    raw = []
    for kept in draw_halves(speaker, text, resamples=5).astype(bool):
        assert len(set(speaker[kept])) == 3 and len(set(text[kept])) == 4 and kept.sum() == 12
        some = [squares(space[kept])[0] for space in spaces]
        raw.append([compare_rdms(x, some[0], comparison)[0, 0] for x in some[1:]])
    np.testing.assert_allclose(got.draws - got.draws[0], np.array(raw) - raw[0], atol=1e-10)
    assert got.values == pytest.approx(compare_rdms(xs, y, comparison)[:, 0])
    assert got.draws.mean(0) == pytest.approx(got.values)


def test_one_model_for_each_layer_and_controls():
    rng = np.random.default_rng(6)
    xs, ys = squares(*rng.normal(size=(2, 20, 3))), squares(*rng.normal(size=(2, 20, 3)))
    names = np.arange(20)
    pairwise = rsa_by_layer(xs, ys, groups=names, resamples=10)
    for k in range(2):
        alone = rsa_by_layer(xs[k : k + 1], ys[k], groups=names, resamples=10)
        np.testing.assert_allclose(pairwise.draws[:, k], alone.draws[:, 0], atol=1e-12)
    partial = rsa_by_layer(xs, ys[0], controls=ys[1], groups=names, resamples=10)
    assert partial.values == pytest.approx(partial_rsa(xs, ys[0], ys[1]))


def test_intervals_hold_the_truth_and_draws_with_copies_would_not():
    """Two spaces that share half of their variance; the truth from many items."""
    rng = np.random.default_rng(7)

    def drawn(count):
        shared, *own = rng.normal(size=(3, count, 4))
        return squares(shared + own[0], shared + own[1])

    truth = compare_rdms(*drawn(1500))[0, 0]
    inside, copies = [], []
    for k in range(60):
        x, y = drawn(40)
        found = rsa_by_layer(x, y, groups=np.arange(40), resamples=60, seed=k)
        low, high = found.interval()[:, 0]
        inside.append(low <= truth <= high)
        some = np.sort(rng.integers(0, 40, 40))
        again = [condensed(square(z)[some][:, some]) for z in (x, y)]
        copies.append(compare_rdms(*again)[0, 0] - found.values[0])
    assert 0.85 <= np.mean(inside)
    assert np.mean(copies) > 0.01  # copies are at distance 0 in both: agreement by construction


def test_the_halves_are_those_of_cka():
    rng = np.random.default_rng(8)
    speaker, text = np.repeat(np.arange(6), 6), np.tile(np.arange(6), 6)
    x = rng.normal(size=(36, 3))
    y = x + rng.normal(size=(36, 3))
    options = {"groups": (speaker, text), "resamples": 20, "seed": 3}
    cka = cka_by_layer([x], y, debiased=False, **options)
    rsa = rsa_by_layer(squares(x), squares(y)[0], comparison="whitened cosine", **options)
    np.testing.assert_allclose(rsa.draws, cka.draws, atol=1e-8)


def test_noise_ceiling_holds_the_similarity_of_the_truth():
    rng = np.random.default_rng(9)
    true = rng.normal(size=(30, 4))
    tables = squares(*(true + 0.7 * rng.normal(size=(12, 30, 4))))
    for comparison in ("spearman", "pearson", "cosine", "whitened pearson"):
        low, high = noise_ceiling(tables, comparison)
        best = compare_rdms(tables, squares(true)[0], comparison).mean()
        assert low < high < 1 and low - 0.02 < best <= high + 1e-12, comparison
    others = [np.delete(tables, k, axis=0) for k in range(12)]
    scaled = [[z / np.linalg.norm(z) for z in some] for some in others]
    means = [np.mean(some, axis=0) for some in scaled]
    low, high = noise_ceiling(tables, "cosine")
    expected = [reference.cosine(x, mean) for x, mean in zip(tables, means, strict=True)]
    assert low == pytest.approx(np.mean(expected))


def test_errors_say_what_came():
    x = squares(*np.random.default_rng(0).normal(size=(2, 12, 3)))
    with pytest.raises(ValueError, match="at least 2"):
        noise_ceiling(x[:1])
    with pytest.raises(ValueError, match="no partial form"):
        mantel_test(x, x[0], controls=x[1], comparison="kendall")
    with pytest.raises(ValueError, match="xs are of 12 items, y of 4"):
        mantel_test(x, np.arange(6.0))
    with pytest.raises(ValueError, match="grouping 0 has 2 groups"):
        rsa_by_layer(x, x[0], groups=[0, 1] * 6)
    with pytest.raises(ValueError, match="groups name 3 items, xs are of 12"):
        rsa_by_layer(x, x[0], groups=[0, 1, 2])
    with pytest.raises(ValueError, match="holds 3 RDMs, expected 1 or 2"):
        rsa_by_layer(x, np.vstack([x, x[:1]]), groups=np.arange(12))
