"""Permutation tests and intervals of CKA: against plain loops, and covering the truth."""

import numpy as np
import pytest
from reference_similarity import debiased_cka

from speech_interp.methods.cka import (
    cka_matrix,
    linear_cka,
)
from speech_interp.methods.cka_uncertainty import (
    bootstrap_interval,
    cka_by_layer,
    null_level,
    permutation_test,
)


@pytest.fixture
def spaces():
    """Three spaces of different widths over the same 20 items, far from the origin."""
    rng = np.random.default_rng(1)
    shared = rng.normal(size=(20, 3))
    return [shared @ rng.normal(size=(3, d)) + rng.normal(size=(20, d)) + 30 for d in (2, 7, 40)]


def linked_spaces(rng, count, width):
    """Two spaces with linear CKA known for infinitely many items: y = x b + noise."""
    b = np.random.default_rng(5).normal(size=(width, width)) / np.sqrt(width)
    covariance_y = b.T @ b + np.eye(width)
    truth = np.linalg.norm(b) ** 2 / (np.sqrt(width) * np.linalg.norm(covariance_y))
    x = rng.normal(size=(count, width))
    return x, x @ b + rng.normal(size=(count, width)), truth


def test_permutation_p_values():
    rng = np.random.default_rng(0)
    x, y, _ = linked_spaces(rng, 60, 4)
    result = permutation_test([x, rng.normal(size=(60, 4))], y, permutations=199)
    assert result.cka == pytest.approx([linear_cka(x, y), result.cka[1]])
    assert result.p_value[0] == pytest.approx(1 / 200)  # the true order beats every other
    assert result.p_value[1] > 0.01
    assert abs(result.null.mean()) < 0.02


def test_permutation_null_is_the_slow_one():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 8, 3))
    result = permutation_test([x], y, permutations=3, seed=4)
    orders = np.random.default_rng(4)
    expected = [debiased_cka(x, y[orders.permutation(8)]) for _ in range(3)]
    np.testing.assert_allclose(result.null[:, 0], expected, atol=1e-10)


def test_p_values_are_uniform_when_nothing_is_shared():
    rng = np.random.default_rng(3)
    values = [
        permutation_test([rng.normal(size=(20, 3))], rng.normal(size=(20, 3)), permutations=39)
        for _ in range(200)
    ]
    values = np.array([value.p_value[0] for value in values])
    for level in (0.1, 0.5, 0.9):
        assert np.mean(values <= level) == pytest.approx(level, abs=0.1)


def test_shuffling_within_groups_removes_what_the_groups_explain():
    """Two spaces share the speaker and nothing else."""
    rng = np.random.default_rng(0)
    speaker = np.repeat(np.arange(10), 12)
    centres = 3 * rng.normal(size=(10, 4))
    x, y = (centres[speaker] + rng.normal(size=(120, 4)) for _ in range(2))
    assert permutation_test([x], y, permutations=99).p_value[0] == pytest.approx(0.01)
    within = permutation_test([x], y, permutations=99, within=speaker)
    assert within.p_value[0] > 0.05
    assert within.null.mean() == pytest.approx(within.cka[0], abs=0.02)


@pytest.mark.parametrize("debiased", [True, False])
@pytest.mark.parametrize("blocks", [1, 7])
def test_intervals_are_those_of_the_plain_loop(spaces, debiased, blocks, monkeypatch):
    limit = 8 * 20 * 4 * -(-20 // blocks)
    monkeypatch.setattr("speech_interp.methods.cka_uncertainty.GRAM_BLOCK_BYTES", limit)
    names = np.random.default_rng(3).permutation(np.repeat(list("abcdefg"), [3, 2, 3, 2, 4, 3, 3]))
    rng, kinds = np.random.default_rng(9), np.unique(names)
    halves = [np.isin(names, kinds[rng.permutation(7)[:3]]) for _ in range(30)]
    draws = [cka_matrix([x[half] for x in spaces], debiased=debiased) for half in halves]
    spread = np.quantile(draws, [0.025, 0.975], axis=0) - np.mean(draws, axis=0)
    expected = np.moveaxis(spread, 0, -1) + cka_matrix(spaces, debiased=debiased)[..., None]
    options = {"groups": names, "resamples": 30, "debiased": debiased, "seed": 9}
    np.testing.assert_allclose(bootstrap_interval(spaces, **options), expected, atol=1e-9)
    block = bootstrap_interval(spaces[:1], spaces[1:], **options)
    np.testing.assert_allclose(block, expected[:1, 1:], atol=1e-9)


@pytest.mark.parametrize("debiased", [True, False])
def test_permutations_are_the_same_in_either_form_and_in_batches(spaces, debiased, monkeypatch):
    options = {"permutations": 9, "debiased": debiased, "within": np.arange(20) % 3}
    results = []
    for moving in (0, 1000):  # over items, over units
        monkeypatch.setattr("speech_interp.methods.cka_uncertainty.MOVING", moving)
        results.append(permutation_test(spaces, spaces[2], **options))
    monkeypatch.setattr("speech_interp.methods.cka_uncertainty.MOVING", 0)
    monkeypatch.setattr("speech_interp.methods.cka_uncertainty.GRAM_BLOCK_BYTES", 8 * 400 * 2)
    results.append(permutation_test(spaces, spaces[2], **options))
    for result in results:
        expected = cka_matrix(spaces, spaces[2:], debiased=debiased)[:, 0]
        np.testing.assert_allclose(result.cka, expected, atol=1e-9)
        np.testing.assert_allclose(result.null, results[0].null, atol=1e-9)


def test_interval_covers_the_truth():
    rng = np.random.default_rng(1)
    hits, widths = [], []
    for seed in range(100):
        x, y, truth = linked_spaces(rng, 60, 5)
        low, high = bootstrap_interval([x], [y], resamples=60, seed=seed)[0, 0]
        hits.append(low < truth < high)
        widths.append(high - low)
    assert 0.9 <= np.mean(hits) <= 1
    assert np.mean(widths) < 0.35  # not by being so wide that it cannot miss


def test_interval_over_groups_is_wider_when_items_repeat():
    rng = np.random.default_rng(0)
    x, y, _ = linked_spaces(rng, 30, 4)
    copies = np.repeat(np.arange(30), 5)
    x, y = x[copies] + 0.01 * rng.normal(size=(150, 4)), y[copies]
    by_item = np.ptp(bootstrap_interval([x], [y])[0, 0])
    by_group = np.ptp(bootstrap_interval([x], [y], groups=copies)[0, 0])
    assert by_group > 1.5 * by_item


def test_copies_of_items_would_inflate_a_bootstrap_with_replacement():
    """Why half-samples: drawn with replacement, independent spaces look alike."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 60, 100))
    naive = []
    for _ in range(50):
        rows = rng.integers(0, 60, 60)
        naive.append(linear_cka(x[rows], y[rows]))
    low, high = bootstrap_interval([x], [y])[0, 0]
    assert min(naive) > 0.1
    assert low < 0 < high


@pytest.fixture
def crossed():
    """Three spaces of 108 items: three of each of six speakers in each of six sentences."""
    rng = np.random.default_rng(3)
    shared = rng.normal(size=(108, 3))
    spaces = [shared @ rng.normal(size=(3, d)) + rng.normal(size=(108, d)) for d in (4, 7, 20)]
    return spaces, np.arange(108) % 6, np.arange(108) // 18


@pytest.mark.parametrize("debiased", [True, False])
def test_scores_by_layer_are_those_of_the_matrix(crossed, debiased):
    spaces, *groups = crossed
    found = cka_by_layer(spaces, spaces[1], groups=tuple(groups), resamples=30, debiased=debiased)
    np.testing.assert_allclose(
        found.score(), cka_matrix(spaces, [spaces[1]], debiased=debiased)[:, 0], atol=1e-10
    )
    np.testing.assert_allclose(found.draws.mean(0), found.score(), atol=1e-10)
    np.testing.assert_allclose(found.draws[:, 1], 1, atol=1e-10)  # a space with itself
    same = cka_by_layer(spaces, spaces, groups=tuple(groups), resamples=5)
    np.testing.assert_allclose(same.score(), 1, atol=1e-10)


def test_halves_of_two_groupings_are_those_of_the_plain_loop(crossed):
    spaces, speakers, sentences = crossed
    found = cka_by_layer([spaces[0]], spaces[1], groups=(speakers, sentences), resamples=20)
    rng = np.random.default_rng(0)
    halves = [[rng.permutation(6)[:3] for _ in range(20)] for _ in range(2)]
    plain = []
    for a, b in zip(*halves, strict=True):
        kept = np.isin(speakers, a) & np.isin(sentences, b)
        plain.append(linear_cka(spaces[0][kept], spaces[1][kept]))
    moved = found.draws[:, 0] - found.score()[0]
    np.testing.assert_allclose(moved, np.array(plain) - np.mean(plain), atol=1e-8)


def test_every_pair_has_its_own_null(spaces):
    rng = np.random.default_rng(0)
    small, large = rng.normal(size=(2, 20, 2)), rng.normal(size=(2, 20, 2))
    level = null_level(list(small), list(large), permutations=99)
    each = [
        np.quantile(permutation_test([a], b, permutations=99).null, 0.95)
        for a, b in zip(small, large, strict=True)
    ]
    np.testing.assert_allclose(level, each)
    assert null_level(spaces, spaces[0]).shape == (3,)


def test_too_few_groups_in_a_grouping_are_named(spaces):
    with pytest.raises(ValueError, match="grouping 1 has 2 groups; half-samples need at least 6"):
        cka_by_layer(spaces, spaces[0], groups=(np.arange(20), np.arange(20) % 2))
