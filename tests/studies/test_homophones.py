"""Spelling choices against slow oracles: one token, one prefix, one pairing at a time."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from spoken_words import spoken, tiny_whisper

from speech_interp.speech.corpus import Utterance, load_corpus
from speech_interp.studies import homophones
from speech_interp.studies.homophones import Choice

CHOICE = Choice(start=[1, 2], words=[[5], [6, 7], [8]], right=[9, 10], wrong=[11], blank=3)


def test_prefix_and_positions():
    assert CHOICE.prefix() == [1, 2, 5, 6, 7, 8]
    assert CHOICE.prefix(without=[1]) == [1, 2, 5, 3, 3, 8]
    assert CHOICE.prefix(without=[0, 2]) == [1, 2, 3, 6, 7, 3]
    assert CHOICE.prefix(instead={1: [4], 2: [9, 9]}) == [1, 2, 5, 4, 9, 9]
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
    prefixes = [CHOICE.prefix(), CHOICE.prefix(without=[0]), CHOICE.prefix(instead={1: [4]})]
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


def test_silence_takes_one_word_and_nothing_else():
    utterance = spoken(["a", "b", "c"], cue=0, target=2)
    changed = homophones.silence(utterance, 1)
    zero = np.flatnonzero(changed == 0)
    assert (zero[0], zero[-1], len(zero)) == (4800, 7999, 3200)
    assert utterance.wave.all()


def test_every_sentence_of_the_corpus_has_its_words_and_two_spellings():
    for utterance in load_corpus("homophones"):
        right, wrong = homophones.spellings(utterance)
        words = [word.strip(".,?!") for word in utterance.text.split()]
        assert len(words) == len(utterance.words)
        assert words[utterance.info["target"]].lower() == right != wrong


def test_french_nouns_are_found_behind_their_determiner():
    sentences = ["Il voit les livres.", "Le chat dort.", "Elle dort.", "Il a un os et une pomme."]
    found = homophones.with_french_cues([Utterance(id="", text=text) for text in sentences])
    assert [(u.info["cue"], u.info["target"], u.info["pair"]) for u in found] == [
        (2, 3, "livres/livre"), (0, 1, "chat/chats"), (5, 6, "pomme/pommes")
    ]  # fmt: skip
    assert homophones.spellings(found[0]) == ("livres", "livre")
