"""RDMs and their comparisons: against plain loops, and where the answer is known."""

import numpy as np
import pytest
import reference_rsa as reference
from scipy.stats import rankdata

from speech_interp.methods import rsa_distances
from speech_interp.methods.cka import linear_cka
from speech_interp.methods.rsa import COMPARISONS, compare_rdms, prepared, ranks
from speech_interp.methods.rsa_distances import (
    categorical_rdm,
    condensed,
    crossvalidated_rdms,
    difference_rdm,
    pairs_among,
    rdms,
    square,
)

DISTANCES = ("cosine", "pearson", "euclidean")


@pytest.fixture
def spaces():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(9, 3))
    return [shared @ rng.normal(size=(3, d)) + rng.normal(size=(9, d)) + 2 for d in (4, 7, 7)]


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("block_bytes", [1, 8 * 9 * 4, 2**26])
def test_distances_are_those_of_loops(spaces, distance, block_bytes, monkeypatch):
    monkeypatch.setattr(rsa_distances, "BLOCK_BYTES", block_bytes)
    expected = [reference.rdm(x, distance) for x in spaces]
    np.testing.assert_allclose(rdms(spaces, distance), expected, atol=1e-12)


@pytest.mark.parametrize("distance", DISTANCES)
def test_single_precision_stays_single_and_close(spaces, distance):
    far = [(x + 50).astype(np.float32) for x in spaces[1:]]
    single = rdms(far, distance)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, rdms([x.astype(float) for x in far], distance), atol=3e-6)


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_comparisons_are_those_of_loops(spaces, comparison):
    tables = rdms(spaces, "euclidean")
    coarse = np.round(tables[2:])  # with ties
    coarse[0, :3] = coarse[0, 0]
    got = compare_rdms(tables[:2], np.r_[tables[2:], coarse], comparison)
    expected = [[reference.compare(x, y, comparison, 9) for y in (tables[2], coarse[0])]
                for x in tables[:2]]  # fmt: skip
    np.testing.assert_allclose(got, expected, atol=1e-10)


@pytest.mark.parametrize("comparison", COMPARISONS)
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_a_rotated_copy_is_the_same(spaces, comparison, distance):
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(7, 7)))[0]
    copy = 3 * spaces[1] @ turn + (11 if distance == "euclidean" else 0)
    x, y = rdms([spaces[1]], distance), rdms([copy], distance)
    assert compare_rdms(x, y, comparison) == pytest.approx(1)


def test_whitened_cosine_of_squared_distances_is_linear_cka(spaces):
    x, y = (rdms([space], "euclidean") ** 2 for space in spaces[:2])
    expected = linear_cka(spaces[0], spaces[1], debiased=False)
    assert compare_rdms(x, y, "whitened cosine")[0, 0] == pytest.approx(expected)


def test_the_diagonal_is_never_read(spaces):
    whole = square(rdms(spaces[:1])[0])
    np.fill_diagonal(whole, 1e6)
    np.testing.assert_array_equal(condensed(whole), rdms(spaces[:1])[0])


def test_prepared_vectors_move_with_the_items(spaces):
    """What permutation tests rest on."""
    order = np.random.default_rng(2).permutation(9)
    for comparison in COMPARISONS[:-1]:
        x = rdms(spaces[:1])[0]
        moved = condensed(square(x)[order][:, order])
        expected = condensed(square(prepared(x, comparison))[order][:, order])
        np.testing.assert_allclose(prepared(moved, comparison), expected, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ranks_with_ties_and_signs(dtype):
    rng = np.random.default_rng(3)
    values = np.r_[rng.normal(size=500), rng.integers(-3, 3, 500), 0.0, -0.0].astype(dtype)
    np.testing.assert_array_equal(ranks(values), rankdata(values))
    distinct = rng.permutation(np.linspace(-1, 1, 99)).astype(dtype)
    np.testing.assert_array_equal(ranks(distinct), rankdata(distinct))


def test_crossvalidated_distances_are_those_of_loops_and_without_bias():
    rng = np.random.default_rng(4)
    conditions, folds = np.repeat(list("ecab"), 9), np.tile(np.repeat([0, 1, 2], 3), 4)
    x = rng.normal(size=(36, 5))
    got = crossvalidated_rdms([x], conditions, folds)
    np.testing.assert_allclose(got[0], reference.crossvalidated(x, conditions, folds), atol=1e-12)
    # Noise alone: plain squared distances are 2/9 of its variance, these 0 on average.
    noise = rng.normal(size=(400, 36, 5))
    values = crossvalidated_rdms(noise, conditions, folds)
    assert abs(values.mean()) < 4 * values.mean(1).std() / 20
    assert (values < 0).mean() > 0.3


def test_reference_distances():
    np.testing.assert_array_equal(categorical_rdm(list("aba")), [1, 0, 1])
    np.testing.assert_array_equal(difference_rdm([1.0, 4.0, 2.0]), [3, 1, 2])


def test_pairs_of_some_items(spaces):
    some = np.array([1, 4, 5, 8])
    table = rdms(spaces[:1])[0]
    np.testing.assert_array_equal(
        table[pairs_among(some, 9)], condensed(square(table)[some][:, some])
    )


def test_errors_say_what_came(spaces):
    x = rdms(spaces)
    with pytest.raises(ValueError, match="'manhattan', expected one of"):
        rdms(spaces, "manhattan")
    with pytest.raises(ValueError, match="unequal numbers of items"):
        rdms([spaces[0], spaces[1][:5]])
    with pytest.raises(ValueError, match="item 4 has no direction"):
        rdms([np.where(np.arange(9)[:, None] == 4, 0, spaces[0])])
    with pytest.raises(ValueError, match="item 2 is constant"):
        rdms([np.where(np.arange(9)[:, None] == 2, 5, spaces[0])], "pearson")
    with pytest.raises(ValueError, match="not finite"):
        compare_rdms(np.where(x > x.mean(), np.nan, x), x)
    with pytest.raises(ValueError, match="an RDM is constant"):
        compare_rdms(x, np.ones(36))
    with pytest.raises(ValueError, match="an RDM is constant"):
        compare_rdms(x, np.ones(36), "kendall")
    with pytest.raises(ValueError, match="'tau', expected one of"):
        compare_rdms(x, x, "tau")
    with pytest.raises(ValueError, match="37 pairs"):
        compare_rdms(np.arange(37.0), x)
    with pytest.raises(ValueError, match="xs are of 9 items, ys of 4"):
        compare_rdms(x, np.arange(6.0))
    with pytest.raises(ValueError, match="'c' is missing from fold '1'"):
        crossvalidated_rdms(spaces, list("abcababab"), [0, 0, 0, 1, 1, 1, 2, 2, 2])
    with pytest.raises(ValueError, match="one fold only"):
        crossvalidated_rdms(spaces, list("abcabcabc"), [0] * 9)
