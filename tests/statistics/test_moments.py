"""Sums over shards are exact, mergeable, and keep their digits."""

import numpy as np
import pytest

from speech_interp.methods.cka import cka_matrix, cka_of_moments
from speech_interp.statistics.moments import Moments


@pytest.fixture
def spaces():
    """Three spaces of different widths over the same 20 items, far from the origin."""
    rng = np.random.default_rng(1)
    shared = rng.normal(size=(20, 3))
    return [shared @ rng.normal(size=(3, d)) + rng.normal(size=(20, d)) + 30 for d in (2, 7, 40)]


def test_shards_do_not_matter(spaces):
    for cuts in ([20], [1, 1, 18], [7, 3, 10]):
        sums = Moments()
        for start, stop in zip(np.cumsum([0, *cuts[:-1]]), np.cumsum(cuts), strict=True):
            sums.add([x[start:stop] for x in spaces])
        np.testing.assert_allclose(cka_of_moments(sums), cka_matrix(spaces), atol=1e-10)
        np.testing.assert_allclose(
            cka_of_moments(sums, debiased=False), cka_matrix(spaces, debiased=False), atol=1e-10
        )


def test_sums_merge_in_any_order(spaces):
    parts = [Moments(), Moments(), Moments()]
    for part, rows in zip(parts, [slice(0, 4), slice(4, 5), slice(5, 20)], strict=True):
        part.add([x[rows] for x in spaces])
    total = Moments()
    for part in (parts[2], parts[0], parts[1]):
        total.merge(part)
    np.testing.assert_allclose(cka_of_moments(total), cka_matrix(spaces), atol=1e-10)


def test_merging_leaves_the_other_collection_alone(spaces):
    first, second = Moments(), Moments()
    first.add([x[:10] for x in spaces])
    second.add([x[10:] for x in spaces])
    alone = cka_of_moments(first)
    empty = Moments()
    empty.merge(first)
    empty.merge(second)
    np.testing.assert_array_equal(cka_of_moments(first), alone)


def test_merging_an_empty_collection_changes_nothing(spaces):
    sums = Moments()
    sums.add(spaces)
    before = cka_of_moments(sums)
    sums.merge(Moments())
    np.testing.assert_array_equal(cka_of_moments(sums), before)


def test_sums_keep_their_digits_far_from_zero(spaces):
    sums = Moments()
    for rows in np.array_split(np.arange(20), 4):
        sums.add([x[rows] + 1e5 for x in spaces])
    np.testing.assert_allclose(cka_of_moments(sums), cka_matrix(spaces), atol=1e-6)
