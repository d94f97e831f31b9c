"""Gaussian clouds one unit wide: two classes lie `distance` apart, in `signal_units` units."""

import numpy as np
import pytest
import reference_probing as slow
import torch
from scipy.stats import norm

from speech_interp.methods.probing import (
    ONLINE_SHARES,
    SLIP,
    chance_level,
    classify,
    control_labels,
    grouped_folds,
    never_trained,
    online_code,
    regress,
)
from speech_interp.statistics.predictions import (
    correlation,
    explained_variance,
    macro_f1,
)


def clouds(rng, labels, units, signal_units, distance):
    """Gaussian clouds one unit wide: two classes lie `distance` apart, in `signal_units` units."""
    x = rng.normal(size=(len(labels), units))
    x[:, :signal_units] += np.outer(labels - 0.5, np.full(signal_units, distance))
    return x / np.sqrt(signal_units) if signal_units == 0 else x


def planted_speech(rng, speakers=6, sentences=12, phones=("AA", "IY", "S", "T"), units=12):
    """Items of every phone of every speaker in every sentence, with realistic labels."""
    grid = np.array(
        [(s, u, p) for s in range(speakers) for u in range(sentences) for p in range(len(phones))]
    )
    speaker, sentence, phone = grid.T
    centres = [2 * rng.normal(size=(count, units)) for count in (speakers, sentences, len(phones))]
    noise = rng.normal(size=(len(grid), units))
    layers = np.stack([noise, noise + centres[2][phone], noise + centres[0][speaker]])
    return layers, np.array(phones)[phone], speaker, sentence


def test_folds_share_no_group_and_test_every_item_once():
    rng = np.random.default_rng(0)
    speaker, sentence = rng.integers(0, 5, 300), rng.integers(0, 20, 300)
    folds = grouped_folds(speaker, sentence, folds=3)
    assert len(folds) == 9
    for train, test in folds:
        assert not set(speaker[train]) & set(speaker[test])
        assert not set(sentence[train]) & set(sentence[test])
        assert len(train) > 0.35 * 300  # about (2/3)^2 of the items
    tested = np.concatenate([test for _, test in folds])
    assert sorted(tested) == list(range(300))


def test_folds_change_with_the_seed_only():
    names = np.repeat([f"speaker{k}" for k in range(12)], 5)
    first, again, other = (grouped_folds(names, seed=seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first[0], again[0], strict=True))
    assert not np.array_equal(first[0][1], other[0][1])


def test_classify_equals_slow_softmax_regression():
    layers, phones, speaker, sentence = planted_speech(np.random.default_rng(0))
    folds = grouped_folds(speaker, sentence, folds=2)
    result = classify(layers, phones, folds, penalty=0.01)
    for layer in range(3):
        expected = slow.out_of_fold(slow.logistic, layers[layer], phones, folds, 0.01)
        guess = result.classes[result.predicted[layer]]
        assert np.mean(guess == expected) > 0.99  # items on the border may fall on either side
        assert result.score()[layer] == pytest.approx(np.mean(guess == phones))
        assert result.score(macro_f1)[layer] == pytest.approx(slow.macro_f1(phones, guess))


def test_regress_equals_slow_normal_equations():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 200, 8)) + 100  # hidden states may lie far from zero
    targets = x[0] @ rng.normal(size=(8, 3)) + rng.normal(size=(200, 3))
    folds = grouped_folds(np.arange(200) // 10)
    result = regress(x, targets, folds, penalty=0.1)
    for layer in range(2):
        expected = slow.out_of_fold(slow.ridge, x[layer], targets, folds, 0.1)
        np.testing.assert_allclose(result.predicted[layer], expected, atol=5e-3)
        for k in range(3):
            t, p = targets[:, k], expected[:, k]
            assert result.score(correlation)[layer, k] == pytest.approx(
                np.corrcoef(t, p)[0, 1], abs=1e-3
            )
            r2 = 1 - ((t - p) ** 2).sum() / ((t - t.mean()) ** 2).sum()
            assert result.score(explained_variance)[layer, k] == pytest.approx(r2, abs=1e-3)


def test_online_code_equals_slow_one():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, 120)
    x = rng.normal(size=(1, 120, 4)).astype(np.float32)
    x[0, :, 0] += 2 * codes
    result = online_code(x, codes, penalty=0.01, seed=3)
    order = np.argsort(np.random.default_rng(3).permutation(120), kind="stable")
    sizes = [size for size in (int(120 * share) for share in ONLINE_SHARES) if size >= 10]
    expected = slow.online_bits(x[0], codes, order, sizes, 0.01, SLIP)
    assert result.bits[0] == pytest.approx(expected, rel=0.01)
    assert result.uniform_bits == pytest.approx(120 * np.log2(3))


@pytest.mark.parametrize("signal_units, distance", [(1, 2.0), (4, 1.0), (16, 0.5), (16, 0.25)])
def test_signal_in_k_of_d_units_is_found_at_the_analytic_rate(signal_units, distance):
    """Two clouds, n training items, d units: the mean-difference rule is right with probability
    Phi(D^2 / (2 sqrt(D^2 + 4 d / n))), D = distance sqrt(k)."""
    rng = np.random.default_rng(0)
    units, items = 60, 6000
    labels = rng.integers(0, 2, items)
    x = clouds(rng, labels, units, signal_units, distance)
    folds = grouped_folds(np.arange(items), folds=2)
    found = classify(x[None], labels, folds, penalty=0.1).score()[0]
    gap = distance * np.sqrt(signal_units)
    expected = norm.cdf(gap**2 / (2 * np.sqrt(gap**2 + 4 * units / (items / 2))))
    assert found == pytest.approx(expected, abs=0.015)


def test_shuffled_labels_give_chance():
    rng = np.random.default_rng(0)
    layers, phones, speaker, sentence = planted_speech(rng)
    folds = grouped_folds(speaker, sentence, folds=2)
    shuffled = classify(layers, rng.permutation(phones), folds, clusters=sentence)
    low, high = shuffled.interval()
    assert np.all(low < 0.27) and np.all(high > 0.21)  # four phones, equally many


def test_chance_level_is_the_commonest_label():
    labels = np.array(["AH"] * 70 + ["ZH"] * 30)
    speakers = np.tile(np.arange(10), 10)
    result = chance_level(labels, grouped_folds(speakers))
    assert result.score() == pytest.approx(0.7)
    assert result.score(macro_f1) == pytest.approx((2 * 70 / 170) / 2)


def test_a_speaker_confound_is_caught_by_the_grouped_split():
    """Speakers lean to one label, and a layer that knows speakers only seems to know the label."""
    rng = np.random.default_rng(0)
    speaker = np.repeat(np.arange(20), 40)
    leaning = np.tile([0.1, 0.9], 10)[speaker]
    label = (rng.random(800) < leaning).astype(int)
    x = (3 * rng.normal(size=(20, 15)))[speaker] + rng.normal(size=(800, 15))
    naive = classify(x[None], label, grouped_folds(np.arange(800))).score()[0]
    honest = classify(x[None], label, grouped_folds(speaker)).score()[0]
    assert naive > 0.8
    assert honest < 0.6


def test_scaling_is_learnt_in_the_fold():
    """A fold whose test items are huge must not change what its training items look like."""
    rng = np.random.default_rng(0)
    labels = np.tile([0, 1], 100)
    x = rng.normal(size=(200, 3)) + 3 * labels[:, None]
    folds = [(np.arange(100), np.arange(100, 200))]
    moved = x.copy()
    moved[150:] *= 1e4
    before = classify(x[None], labels, folds).predicted[0, 100:150]
    after = classify(moved[None], labels, folds).predicted[0, 100:150]
    np.testing.assert_array_equal(before, after)


def test_control_labels_belong_to_types():
    rng = np.random.default_rng(0)
    types = rng.integers(0, 3000, 20_000)
    labels = rng.choice(["AH", "S", "ZH"], p=[0.6, 0.3, 0.1], size=20_000)
    control = control_labels(types, labels, seed=1)
    for kind in range(50):
        assert len(set(control[types == kind])) <= 1
    shares = [np.mean(control == label) for label in ("AH", "S", "ZH")]
    assert shares == pytest.approx([0.6, 0.3, 0.1], abs=0.03)
    assert not np.array_equal(control, control_labels(types, labels, seed=2))


def test_selectivity_tells_structure_from_memory():
    """One layer holds the phone, the other one only which word it came from."""
    rng = np.random.default_rng(0)
    word = np.repeat(np.arange(30), 20)
    phone = rng.integers(0, 4, 30)[word]
    knows_phone = 3 * rng.normal(size=(4, 40))[phone] + rng.normal(size=(600, 40))
    knows_word = 3 * rng.normal(size=(30, 40))[word] + rng.normal(size=(600, 40))
    layers = np.stack([knows_phone, knows_word])
    folds = grouped_folds(np.tile(np.arange(10), 60))  # by speaker: words come back
    task = classify(layers, phone, folds, clusters=word)
    control = classify(layers, control_labels(word, phone, seed=5), folds, clusters=word)
    gap = task.minus(control)
    selectivity, (low, high) = gap.score(), gap.interval()
    assert np.all(task.score() > 0.95)
    assert selectivity[0] > 0.3 and low[0] > 0
    assert selectivity[1] < 0.05
    assert np.all(low <= selectivity) and np.all(selectivity <= high)


def test_online_code_is_long_for_noise_and_short_for_signal():
    layers, phones, _, sentence = planted_speech(np.random.default_rng(0))
    result = online_code(layers, phones, groups=sentence)
    assert result.compression[0] < 1.05
    assert result.compression[1] > 2


def test_online_code_of_rare_labels_waits_until_two_classes_are_seen():
    rng = np.random.default_rng(0)
    labels = np.arange(400) < 8  # the first ten items sent are most likely all of one class
    result = online_code(rng.normal(size=(1, 400, 3)), labels)
    assert 0 < result.bits[0] < 2 * result.uniform_bits
    with pytest.raises(ValueError, match="got 8 items, expected at least 10"):
        online_code(rng.normal(size=(1, 8, 3)), labels[4:12])


def test_interval_covers_the_true_accuracy():
    """Predictions of known accuracy, speakers that differ: 95 % of intervals hold the truth."""
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(200):
        quality = np.clip(rng.normal(0.7, 0.1, 25), 0, 1)  # 25 speakers
        right = rng.random((25, 40)) < quality[:, None]
        truth = rng.integers(0, 2, (25, 40))
        guess = np.where(right, truth, 1 - truth)
        result = result_of(truth.ravel(), guess.ravel(), np.repeat(np.arange(25), 40))
        low, high = result.interval()
        hits.append(low[0] < 0.7 < high[0])
    assert 0.88 <= np.mean(hits) <= 0.99


def result_of(truth, guess, cluster):
    from speech_interp.statistics.predictions import ProbeResult, class_counts

    predicted = guess[None]
    counts = class_counts(truth, predicted, cluster, 2)
    return ProbeResult(counts, predicted, truth, np.arange(2))


def test_tensors_and_lists_of_labels_are_accepted():
    layers, phones, speaker, sentence = planted_speech(np.random.default_rng(0))
    tensor = torch.from_numpy(layers).float()
    folds = grouped_folds(list(speaker))
    assert classify(tensor, list(phones), folds, clusters=list(sentence)).score()[1] > 0.9


def test_errors_name_what_came():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(2, 30, 4)), np.tile(["AA", "S", "T"], 10)
    folds = grouped_folds(np.arange(30))
    with pytest.raises(ValueError, match=r"shape \(2, 30, 4\), expected \(layer, 29 items, unit\)"):
        classify(x, labels[:-1], folds)
    with pytest.raises(ValueError, match="one class only: 'AA'"):
        classify(x, ["AA"] * 30, folds)
    with pytest.raises(ValueError, match="not finite"):
        classify(np.where(x > 2, np.nan, x), labels, folds)
    with pytest.raises(ValueError, match="fold 0 tests items that it trains on"):
        classify(x, labels, [(np.arange(20), np.arange(10, 30))])
    with pytest.raises(ValueError, match="fold 0 trains on 1 items of fewer than 2 classes"):
        classify(x, labels, [(np.arange(1), np.arange(10, 30))])
    with pytest.raises(ValueError, match="3 folds need as many groups; got 2"):
        grouped_folds(labels == "AA")
    with pytest.raises(ValueError, match="types names 3 items, labels 30"):
        control_labels([1, 2, 3], labels)
    with pytest.raises(ValueError, match="name 3 items, expected 30"):
        classify(x, labels, folds, clusters=[1, 2, 3])


def test_classes_that_no_probe_could_name_are_refused():
    """In the first fold "c" is tested and never trained on: two items of five."""
    labels = np.array(["a", "b", "c", "c", "a", "b", "a", "b"])
    folds = [(np.array([0, 1, 4, 5]), np.array([2, 3, 6])), (np.array([2, 3, 6, 7]), np.array([0]))]
    x = np.random.default_rng(0).normal(size=(1, 8, 3)).astype(np.float32)
    assert never_trained(labels, folds) == {"c": 2}
    with pytest.raises(ValueError, match=r"2 of 8 items .* never trains on: \{'c': 2\}"):
        classify(x, labels, folds)
    allowed = classify(x, labels, folds, allow_unseen=True)
    assert allowed.predicted[0, 2] != 2 and allowed.predicted[0, 3] != 2
    assert never_trained(labels, [(np.arange(8), np.arange(8))]) == {}


def with_gaps(rng):
    """Speech with labels; the items of one sentence in six lack theirs."""
    layers, phone, speaker, sentence = planted_speech(rng)
    gap = sentence == 3
    return layers, phone, gap, grouped_folds(speaker, sentence), speaker


@pytest.mark.parametrize("nothing", [float("nan"), None])
def test_labels_that_are_missing_are_said_to_be(nothing):
    layers, phone, gap, folds, _ = with_gaps(np.random.default_rng(0))
    labels = [nothing if g else p for p, g in zip(phone, gap, strict=True)]
    message = rf"labels has no value .* for {gap.sum()} of {len(gap)} items, .* item 12; leave_out"
    for call in (classify, lambda s, *rest: chance_level(*rest)):
        with pytest.raises(ValueError, match=message):
            call(layers, labels, folds)
    with pytest.raises(ValueError, match="labels has no value"):
        never_trained(labels, folds)
    with pytest.raises(ValueError, match="labels has no value"):
        online_code(layers, labels)
    with pytest.raises(ValueError, match="types has no value"):
        control_labels(labels, phone)
    with pytest.raises(ValueError, match="a group has no value"):
        grouped_folds(labels)
    with pytest.raises(ValueError, match="clusters or groups has no value"):
        classify(layers, phone, folds, clusters=labels)


def test_left_out_labels_are_as_items_that_never_were():
    """What is predicted for the others is what it is where the items are cut away by hand."""
    layers, phone, gap, folds, speaker = with_gaps(np.random.default_rng(0))
    labels = [None if g else p for p, g in zip(phone, gap, strict=True)]
    found = classify(layers, labels, folds, clusters=speaker, leave_out_missing=True)
    number = np.cumsum(~gap) - 1  # of each item among those that are left
    fewer = [(number[a[~gap[a]]], number[b[~gap[b]]]) for a, b in folds]
    cut = classify(layers[:, ~gap], phone[~gap], fewer, clusters=speaker[~gap])
    assert np.array_equal(found.predicted[:, ~gap], cut.predicted)
    assert (found.predicted[:, gap] == -1).all() and (found.truth[gap] == -1).all()
    assert found.classes.tolist() == ["AA", "IY", "S", "T"]
    assert np.array_equal(found.score(), cut.score()) and found.score()[1] > 0.9
    assert np.array_equal(found.confusion(1), cut.confusion(1))
    assert np.array_equal(found.interval(), cut.interval())
    chance = chance_level(labels, folds, leave_out_missing=True)
    assert chance.score()[0] == pytest.approx(chance_level(phone[~gap], fewer).score()[0])


def test_targets_that_are_missing():
    rng = np.random.default_rng(0)
    layers, _, gap, folds, speaker = with_gaps(rng)
    targets = layers[1] @ rng.normal(size=(12, 2)) + 100
    holes = targets.copy()
    holes[gap, 1] = np.nan  # one of two targets is enough
    holes[np.flatnonzero(gap)[0], 0] = np.inf
    message = rf"targets has no value .* for {gap.sum()} of {len(gap)} items, .* leave_out_missing"
    with pytest.raises(ValueError, match=message):
        regress(layers, holes, folds)
    found = regress(layers, holes, folds, clusters=speaker, leave_out_missing=True)
    number = np.cumsum(~gap) - 1
    fewer = [(number[a[~gap[a]]], number[b[~gap[b]]]) for a, b in folds]
    cut = regress(layers[:, ~gap], targets[~gap], fewer, clusters=speaker[~gap])
    np.testing.assert_allclose(found.predicted[:, ~gap], cut.predicted, rtol=1e-6)
    assert np.isnan(found.predicted[:, gap]).all()
    for measure in (correlation, explained_variance):
        np.testing.assert_allclose(found.score(measure), cut.score(measure), rtol=1e-5, atol=1e-6)
        assert found.score(measure)[1].min() > 0.95


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_states_of_half_precision(dtype):
    """The same numbers in half and in full precision give the same probe."""
    layers, phone, speaker, sentence = planted_speech(np.random.default_rng(0))
    half = torch.tensor(layers, dtype=dtype)
    folds = grouped_folds(speaker, sentence)
    full = classify(half.double().numpy(), phone, folds)
    assert np.array_equal(classify(half, phone, folds).predicted, full.predicted)
    targets = half[1, :, :2]
    found = regress(half, targets, folds).predicted
    assert np.array_equal(found, regress(half.float(), targets.float(), folds).predicted)
    assert np.array_equal(online_code(half, phone).bits, online_code(half.float(), phone).bits)
