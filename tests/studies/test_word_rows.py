"""Rows of the ambiguous word against sums over frames, one entry at a time."""

import itertools

import torch
from spoken_words import spoken, tiny_whisper

from speech_interp.methods.context_mixing import (
    raw_attention,
    record_attention,
    rollout,
    value_zeroing,
)
from speech_interp.studies import homophones, word_rows


def recorded():
    model = tiny_whisper()
    utterance = spoken(["da", "b", "ab", "e"], cue=0, target=2)
    choice = homophones.whisper_choice(model, utterance)
    torch.manual_seed(1)
    steps = record_attention(
        model.module,
        input_features=torch.randn(1, 8, 200),
        decoder_input_ids=torch.tensor([choice.prefix()]),
        use_cache=False,
    )
    return steps, word_rows.places(model, utterance, choice)


def test_places_are_the_frames_of_the_target_and_the_token_that_writes_it():
    _, where = recorded()
    frames = where["encoder"]
    assert [w.tolist()[0] for w in frames["sources"]] == [5, 15, 25, 35]
    assert frames["targets"][0].tolist() == list(range(25, 35))
    assert frames["pause"].tolist() == [0, 1, 2, 3, 4, *range(45, 50)]
    assert frames["padding"].tolist() == list(range(50, 100))
    assert where["cross"]["sources"] == frames["sources"]
    assert where["cross"]["targets"] == where["decoder"]["targets"] == [torch.tensor([4])]
    assert [t.tolist() for t in where["decoder"]["sources"]] == [[2, 3], [4]]


def test_shares_are_the_rows_of_the_word_map_of_every_layer():
    steps, where = recorded()
    for stack, rows in word_rows.shares(steps, value_zeroing, where).items():
        layers = [step for step in steps if step.stack == stack]
        assert rows.scores.shape == (len(layers), len(where[stack]["sources"]))
        torch.testing.assert_close(rows.scores.sum(1), torch.ones(len(layers)))
        for row, step in zip(rows.scores, layers, strict=True):
            by_key = value_zeroing(step, groups=where[stack]["sources"])
            expected = by_key[where[stack]["targets"][0]].mean(0)
            torch.testing.assert_close(row, expected / expected.sum(), atol=1e-5, rtol=0)


def test_rollout_shares_equal_rollout_over_tokens_and_walk_through_the_encoder():
    steps, where = recorded()
    rolled = word_rows.rollout_shares(steps, where)
    tokens = rollout([raw_attention(s) for s in steps if s.stack == "decoder"])
    for layer, row in enumerate(rolled["decoder"]):
        parts = torch.tensor([tokens[layer, -1, 2:4].sum(), tokens[layer, -1, 4]])
        torch.testing.assert_close(row, parts / parts.sum())
    frames = where["encoder"]
    items = [*frames["sources"], frames["pause"], frames["padding"]]
    reached = torch.eye(6)
    for step in (s for s in steps if s.stack == "encoder"):
        weights = step.weights().mean(0)
        table = torch.zeros(6, 6)
        for (i, rows), (j, keys) in itertools.product(enumerate(items), repeat=2):
            rows = rows[::20] if i == 5 else rows
            table[i, j] = weights[rows][:, keys].sum(1).mean()
        reached = (0.5 * table + 0.5 * torch.eye(6)) @ reached
    last = reached[2, :4] / reached[2, :4].sum()
    torch.testing.assert_close(rolled["encoder"][-1], last, atol=1e-5, rtol=0)
    cross = next(s for s in steps if s.stack == "cross").weights().mean(0)[-1]
    through = torch.stack([cross[keys].sum() for keys in items]) @ reached
    torch.testing.assert_close(
        rolled["cross"][0], through[:4] / through[:4].sum(), atol=1e-5, rtol=0
    )


def test_rows_of_a_sentence_are_those_of_its_own_pass(monkeypatch):
    model = tiny_whisper()
    sentence = spoken(["da", "b", "ab", "e"], cue=0, target=2)
    torch.manual_seed(1)
    mel = torch.randn(1, 8, 200)
    monkeypatch.setattr(word_rows, "model_inputs", lambda model, wave: mel)
    (row,) = word_rows.read_rows(model, [sentence], {"raw": raw_attention}, progress=False)
    steps, where = recorded()
    for stack, found in word_rows.shares(steps, raw_attention, where).items():
        torch.testing.assert_close(row.scores["raw", stack], found.scores)
        torch.testing.assert_close(row.outside["raw", stack][:, 1], found.padding)
    with torch.no_grad():
        states = model.module.model.encoder(mel).last_hidden_state
    torch.testing.assert_close(row.states, states)
    assert row.sizes["decoder"].tolist() == [2, 1]
    each = row.scores["rollout", "decoder"] / torch.tensor([2.0, 1.0])
    torch.testing.assert_close(row.shares("rollout", "decoder"), each / each.sum(1, keepdim=True))
    gap = word_rows.cue_minus_control([row], [1], "rollout", "decoder")
    expected = 100 * (each[:, 0] - each[:, 1]) / each.sum(1)
    torch.testing.assert_close(torch.tensor(gap[0]), expected)
