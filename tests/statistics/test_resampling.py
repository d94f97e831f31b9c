"""Groups are drawn as a plain loop draws them; two-way intervals cover, one-way ones do not."""

import numpy as np
import pytest

from speech_interp.statistics.resampling import (
    cells,
    draw_halves,
    draw_weights,
    limits,
    maximum_p_value,
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


def test_errors_name_what_came():
    with pytest.raises(ValueError, match="grouping 1 has one group only"):
        draw_weights([0, 1], ["a", "a"])
    with pytest.raises(ValueError, match="got none"):
        draw_weights()
    with pytest.raises(ValueError, match=r"expected \(2,\)"):
        draw_weights([0, 1], ["a", "b", "c"])
    with pytest.raises(ValueError, match="level is 95"):
        limits(np.zeros((3, 2)), 95)


def test_halves_keep_half_of_the_groups_of_each_grouping():
    speakers, texts = np.repeat(np.arange(8), 12), np.tile(np.arange(12), 8)
    kept = draw_halves(speakers, texts, resamples=50, seed=1)
    for row in kept:
        own = row.astype(bool)
        assert len(set(speakers[own])) == 4 and len(set(texts[own])) == 6 and own.sum() == 24
    np.testing.assert_array_equal(kept, draw_halves(speakers, texts, resamples=50, seed=1))
    assert len({row.tobytes() for row in kept}) > 40
    with pytest.raises(ValueError, match="grouping 1 has 5 groups"):
        draw_halves(speakers, speakers % 5)


def test_the_best_of_many_layers_is_judged_by_the_best_of_many():
    """Under the null the value is uniform, and far from uniform if layers were judged alone."""
    rng = np.random.default_rng(4)
    values, alone = [], []
    for _ in range(400):
        scores = rng.normal(size=(40, 13)) + rng.normal(size=(40, 1))  # layers go together
        values.append(maximum_p_value(scores[0], scores[1:]))
        best = scores[0].argmax()
        alone.append((1 + (scores[1:, best] >= scores[0, best]).sum()) / 40)
    assert np.mean(np.array(values) <= 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(values) == pytest.approx(0.5, abs=0.05)
    assert np.mean(np.array(alone) <= 0.05) > 0.09
