"""Groups are drawn as a plain loop draws them; two-way intervals cover, one-way ones do not."""

import numpy as np
import pytest

from speech_interp.statistics.resampling import (
    cells,
    draw_halves,
    draw_weights,
    limits,
    paired_by,
    weighted_median,
)


def test_items_of_a_group_are_drawn_together():
    weights = draw_weights(["b", "a", "b", "c"], resamples=50)
    assert weights.shape == (50, 4)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, [0, 1, 3]].sum(1) == 3).all()
    assert len(np.unique(weights, axis=0)) > 5


def test_two_groupings_multiply():
    speakers, sentences = ["x", "x", "y", "y"], [0, 1, 0, 1]
    both = draw_weights(speakers, sentences, resamples=20, seed=4)
    rng = np.random.default_rng(4)
    of_speaker = rng.multinomial(2, [0.5, 0.5], 20)
    of_sentence = rng.multinomial(2, [0.5, 0.5], 20)
    expected = of_speaker[:, [0, 0, 1, 1]] * of_sentence[:, [0, 1, 0, 1]]
    np.testing.assert_array_equal(both, expected)


def test_an_interval_over_speakers_and_sentences_covers_where_one_over_speakers_does_not():
    """The truth is the mean over all speakers and sentences; both vary, here equally much."""
    rng, covered = np.random.default_rng(0), {1: 0, 2: 0}
    speakers, sentences = np.repeat(np.arange(25), 25), np.tile(np.arange(25), 25)
    for trial in range(200):
        x = rng.normal(size=25)[speakers] + rng.normal(size=25)[sentences]
        for names in ((speakers,), (speakers, sentences)):
            w = draw_weights(*names, resamples=200, seed=trial)
            low, high = limits((w @ x) / w.sum(1))
            covered[len(names)] += low < 0 < high
    assert covered[1] / 200 < 0.85
    assert covered[2] / 200 > 0.88  # 25 groups: a bootstrap is a little narrow


def test_sums_over_cells_give_the_same_draws_as_items():
    rng = np.random.default_rng(1)
    speakers, sentences = rng.integers(0, 3, 40), rng.integers(0, 4, 40)
    x = rng.normal(size=40)
    cell, names = cells(speakers, sentences)
    sums = np.bincount(cell, weights=x)
    by_cell = draw_weights(*names, resamples=30) @ sums
    np.testing.assert_allclose(by_cell, draw_weights(speakers, sentences, resamples=30) @ x)


def test_weighted_median_is_that_of_repeated_items():
    rng = np.random.default_rng(2)
    values, weights = rng.normal(size=21), rng.integers(0, 4, size=(30, 21)).astype(float)
    for row, median in zip(weights, weighted_median(values, weights), strict=True):
        repeated = np.sort(np.repeat(values, row.astype(int)))
        assert median == repeated[(len(repeated) - 1) // 2]


def test_names_tell_other_groups_apart():
    assert paired_by(["a", "b", "a"]) == paired_by([1, 2, 1])
    assert paired_by(["a", "b", "a"]) != paired_by(["a", "b", "b"])
    assert paired_by() == ""


def test_halves_hold_half_of_the_groups_and_each_group_whole():
    speakers, sentences = np.repeat(np.arange(6), 8), np.tile(np.arange(8), 6)
    halves = draw_halves(speakers, sentences, resamples=60)
    assert set(np.unique(halves)) == {0, 1}
    for half in halves:
        inside = half.astype(bool)
        assert len(set(speakers[inside])) == 3 and len(set(sentences[inside])) == 4
        assert inside.sum() == 3 * 4  # every chosen speaker with every chosen sentence
    assert halves.mean(0) == pytest.approx(0.25, abs=0.2) and len(np.unique(halves, axis=0)) > 40


def test_halves_of_what_shares_nothing_spread_as_the_mean_does():
    x = np.random.default_rng(3).normal(size=400)
    halves = draw_halves(np.arange(400), resamples=2000)
    means = halves @ x / halves.sum(1)
    assert means.std() == pytest.approx(x.std() / 400**0.5, rel=0.1)


def test_errors_name_what_came():
    with pytest.raises(ValueError, match="grouping 1 has one group only"):
        draw_weights([0, 1], ["a", "a"])
    with pytest.raises(ValueError, match="got none"):
        draw_weights()
    with pytest.raises(ValueError, match=r"expected \(2,\)"):
        draw_weights([0, 1], ["a", "b", "c"])
    with pytest.raises(ValueError, match="level is 95"):
        limits(np.zeros((3, 2)), 95)
    with pytest.raises(ValueError, match="grouping 1 has 3 groups; half-samples need at least 4"):
        draw_halves(range(6), [0, 1, 2, 0, 1, 2])
