"""Sums over shards are exact, mergeable, and keep their digits."""

import numpy as np
import pytest

from speech_interp.methods.cka import (
    cka_matrix,
)
from speech_interp.statistics.moments import CkaSums


@pytest.fixture
def spaces():
    """Three spaces of different widths over the same 20 items, far from the origin."""
    rng = np.random.default_rng(1)
    shared = rng.normal(size=(20, 3))
    return [shared @ rng.normal(size=(3, d)) + rng.normal(size=(20, d)) + 30 for d in (2, 7, 40)]


def test_shards_do_not_matter(spaces):
    for cuts in ([20], [1, 1, 18], [7, 3, 10]):
        sums = CkaSums()
        for start, stop in zip(np.cumsum([0, *cuts[:-1]]), np.cumsum(cuts), strict=True):
            sums.add([x[start:stop] for x in spaces])
        np.testing.assert_allclose(sums.cka(), cka_matrix(spaces), atol=1e-10)
        np.testing.assert_allclose(
            sums.cka(debiased=False), cka_matrix(spaces, debiased=False), atol=1e-10
        )


def test_sums_merge_in_any_order(spaces):
    parts = [CkaSums(), CkaSums(), CkaSums()]
    for part, rows in zip(parts, [slice(0, 4), slice(4, 5), slice(5, 20)], strict=True):
        part.add([x[rows] for x in spaces])
    total = CkaSums()
    for part in (parts[2], parts[0], parts[1]):
        total.merge(part)
    np.testing.assert_allclose(total.cka(), cka_matrix(spaces), atol=1e-10)


def test_merging_leaves_the_other_collection_alone(spaces):
    first, second = CkaSums(), CkaSums()
    first.add([x[:10] for x in spaces])
    second.add([x[10:] for x in spaces])
    alone = first.cka()
    empty = CkaSums()
    empty.merge(first)
    empty.merge(second)
    np.testing.assert_array_equal(first.cka(), alone)


def test_merging_an_empty_collection_changes_nothing(spaces):
    sums = CkaSums()
    sums.add(spaces)
    before = sums.cka()
    sums.merge(CkaSums())
    np.testing.assert_array_equal(sums.cka(), before)


def test_sums_keep_their_digits_far_from_zero(spaces):
    sums = CkaSums()
    for rows in np.array_split(np.arange(20), 4):
        sums.add([x[rows] + 1e5 for x in spaces])
    np.testing.assert_allclose(sums.cka(), cka_matrix(spaces), atol=1e-6)
