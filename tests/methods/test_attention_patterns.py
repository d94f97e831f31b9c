"""Measures of attention maps, beside slow loops, and on heads whose pattern was planted."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from planted_heads import LABELS, own_run, planted_maps
from recorded_attention import FAMILIES, recorded

from speech_interp.methods import attention_patterns as patterns
from speech_interp.methods.attention_patterns import head_patterns


def random_maps(heads=4, rows=15, keys=15, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(heads, rows, keys, generator=generator)).softmax(-1)


def slow(maps, labels, speech):
    """Every measure by loops over heads, rows and keys."""
    maps = maps.double().numpy()
    square = maps.shape[1] == maps.shape[2]
    rows = speech if square else maps.shape[1]
    found = {name: [] for name in patterns.MEASURES}
    renormalised = []
    for whole in maps:
        a = np.array([whole[q, :speech] / whole[q, :speech].sum() for q in range(rows)])
        renormalised.append(a)
        entropies = [-sum(p * np.log(p) for p in row if p > 0) for row in a]
        found["globalness"].append(np.mean(entropies) / np.log(speech))
        mean_row = a.mean(0)
        found["verticality"].append(sum(p * np.log(p) for p in mean_row if p > 0) / np.log(speech))
        found["diagonality"].append(
            -sum(a[q, k] * abs(q / rows - k / speech) for q in range(rows) for k in range(speech))
            / rows
        )
        found["padding"].append(np.mean([whole[q, speech:].sum() for q in range(rows)]))
        found["first"].append(np.mean([row[:5].sum() for row in a]))
        found["silence"].append(
            np.mean([sum(row[k] for k in range(speech) if labels[k] == "SIL") for row in a])
        )
        if not square:
            continue
        for w in range(speech):
            near = sum(a[q, k] for q in range(rows) for k in range(speech) if abs(q - k) <= w)
            if near / rows >= 0.9 - 1e-9:
                found["window"].append(w)
                break
        same = outside = expected = 0
        for q in range(rows):
            if labels[q] == "SIL":
                continue
            others = [k for k in range(speech) if k not in own_run(labels, q)]
            alike = [k for k in others if labels[k] == labels[q]]
            same += a[q, alike].sum()
            outside += a[q, others].sum()
            expected += a[q, others].sum() * len(alike) / len(others)
        found["same_phone"].append((same - expected) / outside)
    flat = [a.ravel() for a in renormalised]
    likeness = np.corrcoef(flat)
    found["likeness"] = [(row.sum() - 1) / (len(flat) - 1) for row in likeness]
    return {name: value or [np.nan] * len(maps) for name, value in found.items()}


@pytest.mark.parametrize("rows, keys, speech", [(15, 15, 15), (15, 15, 11), (6, 15, 12)])
@pytest.mark.parametrize("at_once", [1, 4, 256])
def test_every_measure_equals_slow_loops(rows, keys, speech, at_once):
    maps = random_maps(rows=rows, keys=keys)
    labels = ["SIL", *LABELS[1:speech]]
    found = head_patterns(maps, speech_count=speech, labels=labels, rows_at_once=at_once)
    expected = slow(maps, labels, speech)
    assert tuple(found) == patterns.MEASURES
    for name in patterns.MEASURES:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6, err_msg=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_recorded_attention_gives_what_its_map_gives(family):
    for step in recorded(family)[2]:
        labels = (LABELS * 5)[: step.key_count]
        found = head_patterns(step, labels=labels, rows_at_once=3)
        for name, value in head_patterns(step.weights(), labels=labels).items():
            np.testing.assert_allclose(found[name], value, atol=1e-6, err_msg=name)


def test_planted_heads_are_found_by_the_right_measure_and_by_no_other():
    found = head_patterns(planted_maps(), labels=LABELS)
    copies, constant, same, everywhere = range(4)
    best = {"diagonality": copies, "verticality": constant, "same_phone": same}
    best["globalness"] = everywhere
    for name, head in best.items():
        others = np.delete(found[name], head)
        assert found[name].argmax() == head and found[name][head] > others.max() + 0.2, name
    assert found["window"][copies] == 1
    np.testing.assert_allclose(found["globalness"], [0, 0, found["globalness"][2], 1], atol=1e-6)
    np.testing.assert_allclose(found["verticality"][[constant, everywhere]], [0, -1], atol=1e-6)
    np.testing.assert_allclose(found["same_phone"][everywhere], 0, atol=1e-6)


def test_cumulative_diagonality_is_diagonality_in_another_unit():
    """D(r) is the attention within r (T - 1) of the diagonal; its integral over r, by steps."""
    maps, t = random_maps().double(), 15
    distance = (torch.arange(t)[:, None] - torch.arange(t)).abs()
    grid = (torch.arange(20_000) + 0.5) / 20_000
    up_to = torch.stack([(maps * (distance <= r * (t - 1))).sum((1, 2)) / t for r in grid])
    expected = up_to.mean(0)
    found = 1 + head_patterns(maps)["diagonality"] * t / (t - 1)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_near_even_maps_keep_their_likeness():
    """Heads of an untrained network differ by little, and single precision may not blur that."""
    maps = (1e-3 * torch.randn(3, 300, 300, generator=torch.Generator().manual_seed(2))).softmax(-1)
    maps[1] = (maps[0] + maps[1]) / 2
    expected = np.corrcoef(maps.double().flatten(1))
    found = head_patterns(maps)["likeness"]
    np.testing.assert_allclose(found, (expected.sum(0) - 1) / 2, atol=1e-3)


def test_maps_that_are_given_stay_as_they_were():
    maps = random_maps()
    before = maps.clone()
    head_patterns(maps, labels=LABELS)
    assert torch.equal(maps, before)


def test_labels_of_frames():
    phones = [SimpleNamespace(label="AA", start_s=0.02, end_s=0.04)]
    labels = patterns.frame_labels(phones, np.array([0.01, 0.02, 0.03, 0.04]))
    assert labels.tolist() == ["SIL", "AA", "AA", "SIL"]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"speech_count": 16}, "speech_count is 16, expected 2 to 15"),
        ({"speech_count": 1}, "speech_count is 1"),
        ({"labels": ["a"] * 4}, "labels name 4 frames, expected 15"),
    ],
)
def test_errors_name_what_came(options, message):
    with pytest.raises(ValueError, match=message):
        head_patterns(random_maps(), **options)
