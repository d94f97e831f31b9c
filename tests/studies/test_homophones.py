"""Spelling choices against slow oracles: one token, one prefix, one pairing at a time."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
import torch
import transformers
from spoken_words import spoken, tiny_whisper

from speech_interp.speech.corpus import Utterance, load_corpus
from speech_interp.states.scores import ctc_score
from speech_interp.studies import homophones
from speech_interp.studies.homophones import Choice

CHOICE = Choice(start=[1, 2], words=[[5], [6, 7], [8]], right=[9, 10], wrong=[11], blank=3)


def test_prefix_and_positions():
    assert CHOICE.prefix() == [1, 2, 5, 6, 7, 8]
    assert CHOICE.prefix(without=[1]) == [1, 2, 5, 3, 3, 8]
    assert CHOICE.prefix(without=[0, 2]) == [1, 2, 3, 6, 7, 3]
    assert [p.tolist() for p in CHOICE.positions()] == [[2], [3, 4], [5]]


def test_choice_holds_the_words_before_the_target_and_both_spellings():
    utterance = spoken(["Da", "b", "ac", "e"], cue=0, target=2, spelling="ac")
    choice = homophones.whisper_choice(tiny_whisper(), utterance)
    assert choice == Choice(start=[1, 2], words=[[7, 4], [5]], right=[4, 6], wrong=[4, 5], blank=3)


@pytest.mark.parametrize("wrong", [[11], [11, 4, 5], [9, 5]])
@pytest.mark.parametrize("right", [[9, 10], [9]])
def test_log_odds_equal_one_plain_pass_for_each_prefix_and_spelling(right, wrong):
    model, choice = tiny_whisper(), replace(CHOICE, right=right, wrong=wrong)
    states = torch.randn(1, 100, 24)
    prefixes = [CHOICE.prefix(), CHOICE.prefix(without=[0]), CHOICE.prefix(without=[1])]
    expected = np.zeros((3, 2))
    for (i, prefix), (j, spelling) in itertools.product(
        enumerate(prefixes), enumerate((right, wrong))
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
    actual = homophones.log_odds(model, states, choice, prefixes)
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    assert np.ptp(expected[:, 0]) > 1e-2


def test_ctc_log_odds_are_the_scores_of_the_sentence_with_either_spelling():
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        conv_dim=[8] * 7, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
        vocab_size=30, pad_token_id=0,
    )  # fmt: skip
    tokenizer = lambda text: SimpleNamespace(  # noqa: E731
        input_ids=[1 if c == " " else 2 + ord(c) - ord("A") for c in text]
    )
    model = SimpleNamespace(
        module=transformers.Wav2Vec2ForCTC(config).eval(),
        processor=SimpleNamespace(tokenizer=tokenizer, do_normalize=True),
        family="wav2vec2",
    )
    utterance = spoken(["Da", "b", "ac", "e"], cue=0, target=2, spelling="ac")
    waves = torch.randn(3, 16_000)
    scores = homophones.ctc_log_odds(model, utterance, waves)
    for column, text in zip(scores.T, ("DA B AC E", "DA B AB E"), strict=True):
        with torch.no_grad():
            expected = ctc_score(model, tokenizer(text).input_ids)(waves)
        np.testing.assert_allclose(column, expected, rtol=1e-5)


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


def test_controls_stand_as_near_as_can_be_where_no_word_has_the_distance():
    near = spoken(list("abc"), cue=0, target=2)
    assert homophones.matched_controls([near] * 2) == [1, 1]
    with pytest.raises(ValueError, match="no word before the target but the cue"):
        homophones.matched_controls([spoken(list("abc"), cue=0, target=1)])


def test_every_sentence_of_the_corpus_has_its_words_and_two_spellings():
    for utterance in load_corpus("homophones"):
        right, wrong = homophones.spellings(utterance)
        words = [word.strip(".,?!") for word in utterance.text.split()]
        assert len(words) == len(utterance.words)
        assert words[utterance.info["target"]].lower() == right != wrong


def test_interval_of_a_mean_is_nearly_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(size=(400, 3)) + np.arange(3)
    mean, low, high = homophones.mean_interval(values)
    np.testing.assert_allclose(mean, values.mean(0))
    half = 1.96 * values.std(0) / 20
    np.testing.assert_allclose([mean - low, high - mean], [half, half], rtol=0.1)


def test_rank_agreement_is_spearman_over_all_words_with_an_interval_over_sentences():
    rng = np.random.default_rng(0)
    drops = [rng.normal(size=n) for n in (2, 5, 3, 6, 4, 5)]
    scores = [np.exp(d) + rng.normal(scale=0.5, size=len(d)) for d in drops]
    middle, low, high = homophones.rank_agreement(scores, drops)
    expected = scipy.stats.spearmanr(np.concatenate(scores), np.concatenate(drops)).statistic
    assert middle == pytest.approx(expected)
    assert low < middle < high <= 1
    assert homophones.rank_agreement(drops, drops) == pytest.approx((1, 1, 1))
    unrelated = [rng.normal(size=len(d)) for d in drops]
    _, low, high = homophones.rank_agreement(unrelated, drops)
    assert low < 0 < high
    assert homophones.rank_agreement([np.ones(len(d)) for d in drops], drops) == (0, 0, 0)


def test_french_nouns_are_found_behind_their_determiner():
    sentences = ["Il voit les livres.", "Le chat dort.", "Elle dort.", "Il a un os et une pomme."]
    found = homophones.with_french_cues([Utterance(id="", text=text) for text in sentences])
    assert [(u.info["cue"], u.info["target"], u.info["pair"]) for u in found] == [
        (2, 3, "livres/livre"), (0, 1, "chat/chats"), (5, 6, "pomme/pommes")
    ]  # fmt: skip
    assert homophones.spellings(found[0]) == ("livres", "livre")
