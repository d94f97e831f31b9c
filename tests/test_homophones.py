"""Spelling choices against slow oracles: one token, one prefix, one pairing at a time."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers

from speech_interp import homophones
from speech_interp.context_mixing import raw_attention, record_attention, rollout, value_zeroing
from speech_interp.corpus import Interval, Utterance, load_corpus
from speech_interp.homophones import Choice

CHOICE = Choice(start=[1, 2], words=[[5], [6, 7], [8]], right=[9, 10], wrong=[11], blank=3)


def tiny_whisper():
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        d_model=24, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=40, decoder_ffn_dim=40, vocab_size=31,
        num_mel_bins=8, max_source_positions=100, max_target_positions=16, init_std=0.4,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    module = transformers.WhisperForConditionalGeneration(config).eval()
    extractor = SimpleNamespace(hop_length=160, n_fft=400)
    processor = SimpleNamespace(feature_extractor=extractor, tokenizer=Letters())
    return SimpleNamespace(module=module, family="whisper", processor=processor)


class Letters:
    """A tokenizer: one token a letter, those of a word after a space."""

    prefix_tokens, unk_token_id = (1, 2), 3

    def __call__(self, text, add_special_tokens):
        assert text.startswith(" ") and not add_special_tokens
        return SimpleNamespace(input_ids=[4 + ord(c) - ord("a") for c in text.strip().lower()])


def spoken(words, *, cue, target, pair="ab/ac", spelling="ab", lengths=None):
    """An utterance of silence; every word lasts 0.2 s or its entry in `lengths`, then 0.1 s."""
    edges = np.cumsum([0.1, *(lengths or [0.2] * len(words))])
    spans = tuple(map(Interval, words, edges[:-1].tolist(), edges[1:].tolist()))
    wave = np.ones(round((edges[-1] + 0.1) * 16_000), np.float32)
    info = {"cue": cue, "target": target, "pair": pair, "spelling": spelling}
    return Utterance(id="u", text=" ".join(words) + ".", words=spans, info=info, audio=wave)


def test_prefix_and_positions():
    assert CHOICE.prefix() == [1, 2, 5, 6, 7, 8]
    assert CHOICE.prefix(without=[1]) == [1, 2, 5, 3, 3, 8]
    assert CHOICE.prefix(without=[0, 2]) == [1, 2, 3, 6, 7, 3]
    assert [p.tolist() for p in CHOICE.positions()] == [[2], [3, 4], [5]]


def test_choice_holds_the_words_before_the_target_and_both_spellings():
    utterance = spoken(["Da", "b", "ac", "e"], cue=0, target=2, spelling="ac")
    choice = homophones.whisper_choice(tiny_whisper(), utterance)
    assert choice == Choice(start=[1, 2], words=[[7, 4], [5]], right=[4, 6], wrong=[4, 5], blank=3)


def test_log_odds_equal_one_plain_pass_for_each_prefix_and_spelling():
    model = tiny_whisper()
    states = torch.randn(1, 100, 24)
    prefixes = [CHOICE.prefix(), CHOICE.prefix(without=[0]), CHOICE.prefix(without=[1])]
    expected = np.zeros((3, 2))
    for (i, prefix), (j, spelling) in itertools.product(
        enumerate(prefixes), enumerate((CHOICE.right, CHOICE.wrong))
    ):
        written = list(prefix)
        for token in spelling:
            with torch.no_grad():
                logits = model.module(
                    encoder_outputs=(states,),
                    decoder_input_ids=torch.tensor([written]),
                    use_cache=False,
                ).logits
            expected[i, j] += logits[0, -1].log_softmax(-1)[token].item()
            written.append(token)
    actual = homophones.log_odds(model, states, CHOICE, prefixes)
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    assert np.ptp(expected[:, 0]) > 1e-2


def test_ctc_log_odds_have_the_sentence_with_either_spelling(monkeypatch):
    asked = []

    def ctc_score(model, labels):
        asked.append(labels)
        return lambda waves: torch.full((len(waves),), float(len(asked)))

    monkeypatch.setattr(homophones, "ctc_score", ctc_score)
    tokenizer = lambda text: SimpleNamespace(input_ids=text)  # noqa: E731
    model = SimpleNamespace(processor=SimpleNamespace(tokenizer=tokenizer))
    utterance = spoken(["Da", "b", "ac", "e"], cue=0, target=2, spelling="ac")
    scores = homophones.ctc_log_odds(model, utterance, torch.zeros(3, 10))
    assert asked == ["DA B AC E", "DA B AB E"]
    assert scores.tolist() == [[1, 2]] * 3


def test_silence_takes_one_word_and_nothing_else():
    utterance = spoken(["a", "b", "c"], cue=0, target=2)
    changed = homophones.silence(utterance, 1)
    zero = np.flatnonzero(changed == 0)
    assert (zero[0], zero[-1], len(zero)) == (4800, 7999, 3200)
    assert utterance.wave.all()


def test_controls_have_the_distances_of_the_cues_and_are_as_long_as_can_be():
    rng = np.random.default_rng(0)
    utterances = [
        spoken(list("abcdefg"), cue=cue, target=6, lengths=rng.uniform(0.1, 0.4, 7).tolist())
        for cue in (1, 2, 3, 3, 4)
    ]
    controls = homophones.matched_controls(utterances)
    cues = [u.info["cue"] for u in utterances]
    assert sorted(controls) == sorted(cues)
    assert all(control != cue for control, cue in zip(controls, cues, strict=True))

    def mismatch(words):
        length = [[w.duration_s for w in u.words] for u in utterances]
        return sum(abs(length[i][w] - length[i][cues[i]]) for i, w in enumerate(words))

    allowed = [p for p in itertools.permutations(cues) if all(map(int.__ne__, p, cues))]
    assert mismatch(controls) == pytest.approx(min(map(mismatch, allowed)))


def test_controls_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="no words at the distances"):
        homophones.matched_controls([spoken(list("abc"), cue=0, target=2)] * 2)


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
    return steps, homophones.places(model, utterance, choice)


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
    for stack, rows in homophones.shares(steps, value_zeroing, where).items():
        layers = [step for step in steps if step.stack == stack]
        assert rows.scores.shape == (len(layers), len(where[stack]["sources"]))
        torch.testing.assert_close(rows.scores.sum(1), torch.ones(len(layers)))
        for row, step in zip(rows.scores, layers, strict=True):
            by_key = value_zeroing(step, groups=where[stack]["sources"])
            expected = by_key[where[stack]["targets"][0]].mean(0)
            torch.testing.assert_close(row, expected / expected.sum(), atol=1e-5, rtol=0)


def test_rollout_shares_equal_rollout_over_tokens_and_walk_through_the_encoder():
    steps, where = recorded()
    rolled = homophones.rollout_shares(steps, where)
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


def test_every_sentence_of_the_corpus_has_its_words_and_two_spellings():
    for utterance in load_corpus("homophones"):
        right, wrong = homophones.spellings(utterance)
        words = [word.strip(".,?!") for word in utterance.text.split()]
        assert len(words) == len(utterance.words)
        assert words[utterance.info["target"]].lower() == right != wrong
