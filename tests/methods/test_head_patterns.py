"""Patterns over utterances: merged, shuffled, typed; frames out of order on tiny models."""

from dataclasses import replace

import numpy as np
import pytest
from planted_heads import LABELS, planted_maps
from recorded_attention import recorded
from tiny import tiny_model

from speech_interp import load_corpus
from speech_interp.methods.attention_patterns import MEASURES, head_patterns
from speech_interp.methods.head_patterns import (
    HeadPatterns,
    collect_patterns,
    encoder_attention,
    head_types,
    relabelled,
)


def short(seconds=0.5):
    u = load_corpus("sentences")[0]
    return replace(u, audio=u.wave[: int(16_000 * seconds)])


def test_patterns_of_two_utterances_merge_to_those_of_both():
    model, spoken = tiny_model("wav2vec2"), [short(0.5), short(0.8)]
    one, two = (collect_patterns(model, [u]) for u in spoken)
    both = collect_patterns(model, spoken)
    merged = one.merge(two)
    assert len(both) == len(merged) == 2
    for name in MEASURES:
        np.testing.assert_array_equal(both.values[name], merged.values[name])
    np.testing.assert_allclose(
        merged.mean()["globalness"],
        (one.values["globalness"][0] + two.values["globalness"][0]) / 2,
    )
    with pytest.raises(ValueError, match="layer, head"):
        one.merge(HeadPatterns.of_steps(recorded("wav2vec2")[2][:1]))


def test_shuffled_heads_keep_the_measures_of_a_head_together():
    steps = recorded("wav2vec2")[2]
    found = HeadPatterns.of_steps(steps)
    mixed = found.shuffled(1)
    pairs = [
        sorted(zip(p.values["globalness"].ravel(), p.values["diagonality"].ravel(), strict=True))
        for p in (found, mixed)
    ]
    assert pairs[0] == pairs[1]
    assert not np.array_equal(found.values["globalness"], mixed.values["globalness"])


def test_by_layer_is_the_mean_over_heads_and_utterances():
    found = HeadPatterns.of_steps(recorded("wav2vec2")[2])
    both = found.merge(HeadPatterns.of_steps(recorded("hubert")[2]))
    scores = both.by_layer("first", ["a", "b"])
    np.testing.assert_allclose(scores.score(), both.values["first"].mean((0, 2)))


def test_types_of_planted_heads():
    found = head_patterns(planted_maps())
    scores = {name: value[None, [0, 1, 3]] for name, value in found.items()}
    assert head_types(scores).tolist() == [["diagonality", "verticality", "globalness"]]


@pytest.mark.parametrize("family, frames, keys", [("wav2vec2", 24, 24), ("whisper", 25, 1500)])
def test_attention_of_an_encoder_with_the_phones_of_its_frames(family, frames, keys):
    steps, options = encoder_attention(tiny_model(family), short())
    assert len(steps) == 3 and {s.stack for s in steps} == {"encoder"}
    assert options["speech_count"] == frames and steps[0].key_count == keys
    assert options["labels"][0] == "SIL" and len(set(options["labels"])) > 3


@pytest.mark.parametrize("family", ["wav2vec2", "whisper"])
def test_moved_frames_by_content_are_those_by_position_numbered_anew(family):
    model, u = tiny_model(family), short()
    plain, _ = encoder_attention(model, u)
    position, one = encoder_attention(model, u, moved=3)
    content, two = encoder_attention(model, u, moved=3, by="content")
    count = one["speech_count"]
    order = np.random.default_rng(3).permutation(count)
    a, b = position[0].weights()[:, :count, :count], content[0].weights()[:, :count, :count]
    for row in range(count):
        np.testing.assert_allclose(a[:, row], b[:, order[row]][:, order], rtol=1e-4)
    assert not np.allclose(position[0].queries, plain[0].queries, atol=1e-6)
    assert (one["labels"] == two["labels"][order]).all()
    with pytest.raises(ValueError, match="by is 'time'"):
        encoder_attention(model, u, moved=3, by="time")


def test_relabelled_runs_keep_their_lengths_and_silence():
    labels = np.array(["SIL", "SIL", "AA", "AA", "B", "SIL", "K", "K", "K"])
    found = [relabelled(labels, seed=seed).tolist() for seed in range(20)]
    for new in found:
        assert [k for k, label in enumerate(new) if label == "SIL"] == [0, 1, 5]
        assert new[2] == new[3] and new[6] == new[7] == new[8]
        assert sorted([new[2], new[4], new[6]]) == ["AA", "B", "K"]
    assert len({tuple(new) for new in found}) == 6


def test_the_planted_same_phone_head_is_lost_when_labels_move():
    labels = np.array(LABELS)
    scores = [
        head_patterns(planted_maps(), labels=relabelled(labels, seed=seed))["same_phone"][2]
        for seed in range(40)
    ]
    assert np.mean(scores) < 0.35 < head_patterns(planted_maps(), labels=labels)["same_phone"][2]


def test_nothing_is_an_error():
    with pytest.raises(ValueError, match="steps: got none"):
        HeadPatterns.of_steps([])
    with pytest.raises(ValueError, match="utterances: got none"):
        collect_patterns(tiny_model("wav2vec2"), [])
