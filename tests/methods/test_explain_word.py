"""A word explained in one call, on a model whose scores are known in closed form."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny import tiny_model

from speech_interp.methods import attribution
from speech_interp.methods.explain_word import explain_word
from speech_interp.methods.games import windows
from speech_interp.show.player import listen
from speech_interp.speech.corpus import Interval, Utterance

LABELS = ["-", "|", "A", "B"]  # blank, gap between words, two letters
WORDS = tuple(Interval(name, k / 10, (k + 1) / 10) for k, name in enumerate("wxyz"))
# The loudest part, w, is not what the letter of the second word needs most.
WAVE = np.concatenate([np.full(1600, a, np.float32) for a in (0.9, 0.1, 0.4, 0.5)])


class Tokenizer:
    pad_token_id, word_delimiter_token_id = 0, 1

    def decode(self, ids):
        return "".join(LABELS[i] for i in ids if i)


class Writer(torch.nn.Module):
    """Writes A, gap, B, nothing. The logit of B is 4 + 6 |z| + |w|: the fourth part and the first.

    |.| is the mean amplitude of a part; all other logits are constants.
    """

    lm_head = None

    def __init__(self):
        super().__init__()
        self.place = torch.nn.Parameter(torch.zeros(0))  # a model is where its parameters are

    def forward(self, waves):
        w, _, _, z = waves.abs().unflatten(1, (4, 1600)).mean(-1).T
        logits = torch.zeros(len(waves), 4, 4)
        logits[:, 0, 2] = logits[:, 1, 1] = logits[:, 3, 0] = 5.0
        logits[:, 2, 3] = 4 + 6 * z + w
        return SimpleNamespace(logits=logits)


def writer():
    processor = SimpleNamespace(
        tokenizer=Tokenizer(), feature_extractor=SimpleNamespace(do_normalize=False)
    )
    return SimpleNamespace(module=Writer(), family="wav2vec2", name="writer", processor=processor)


def said(wave=WAVE, words=WORDS):
    return Utterance(id="u", text="", words=words, audio=wave)


def score_without(*parts):
    """log P(B) in its frame, with the other three labels at logit 0."""
    z, w = (0.0 if part in parts else a for part, a in (("z", 0.5), ("w", 0.9)))
    return -np.log1p(3 * np.exp(-(4 + 6 * z + w)))


def test_values_and_curves_are_those_of_the_formula():
    explained = explain_word(writer(), said(), "b")
    assert explained.word == "B" and explained.written == ("A", "B")
    whole = score_without()
    expected = [whole - score_without("w"), 0, 0, whole - score_without("z")]
    np.testing.assert_allclose(explained.values, expected, atol=1e-6)
    without_z = score_without("z")
    none = score_without("z", "w")
    np.testing.assert_allclose(
        explained.curves["map"], [whole, without_z, none, none, none], atol=1e-6
    )
    by_energy = [whole, score_without("w"), none, none, none]  # .9, .5, .4, .1
    np.testing.assert_allclose(explained.curves["loudest first"], by_energy, atol=1e-6)
    # Four orders of four parts, turned: each part comes first once, and last once.
    parts = {"x", "y", "z", "w"}
    single = np.log(np.mean([np.exp(score_without(part)) for part in parts]))
    alone = np.log(np.mean([np.exp(score_without(*parts - {part})) for part in parts]))
    random = explained.curves["random orders"]
    np.testing.assert_allclose(random[[0, 1, 3, 4]], [whole, single, alone, none], atol=1e-6)
    gap = (np.exp(score_without("w")) - np.exp(without_z)) / 4
    assert explained.below("loudest first") == pytest.approx(gap, rel=1e-4)
    assert explained.below() > 0
    with pytest.raises(ValueError, match="rival is 'chance', expected one of"):
        explained.below("chance")


def test_a_map_that_points_elsewhere_lies_above_its_rivals():
    wrong = explain_word(writer(), said(), "B", lambda game: torch.tensor([0.0, 2.0, 1.0, -1.0]))
    assert wrong.below() < 0 and wrong.below("loudest first") < 0


def test_method_segments_and_replacement_are_the_callers():
    whole, none = score_without(), score_without("z", "w")
    shapley = explain_word(writer(), said(), 1, attribution.shapley_exact)
    assert float(shapley.values.sum()) == pytest.approx(whole - none, abs=1e-6)
    halves = explain_word(writer(), said(words=()), "B", segments=windows(0.4, 0.2))
    np.testing.assert_allclose(
        halves.values, [whole - score_without("w"), whole - score_without("z")], atol=1e-6
    )
    mean = explain_word(writer(), said(), "B", replacement="mean")  # .475, little less than z
    assert 0 < float(mean.values[3]) < float(explain_word(writer(), said(), "B").values[3])


def test_a_tensor_is_a_wave_and_draws_no_warning():
    plain = explain_word(writer(), said(), "B")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = explain_word(writer(), said(torch.tensor(WAVE)), "B")
    assert (tensor.values == plain.values).all()


def test_it_is_heard():
    explained = explain_word(writer(), said(), "B")
    page = listen(said(), **explained.shown())._repr_html_()
    assert "part of &#x27;B&#x27;" in page and f"{explained.values[3]:.4g}" in page


def test_what_cannot_be_explained_says_why():
    model = writer()
    for word, reason in {
        "c": "u: 'c' is not there; the model wrote 'A B'",
        2: "u: word is 2, expected 0 to 1 of 'A B'",
    }.items():
        with pytest.raises(ValueError, match=reason):
            explain_word(model, said(), word)
    with pytest.raises(ValueError, match="u: no words, expected their times"):
        explain_word(model, said(words=()), "B")
    with pytest.raises(ValueError, match="hubert writes no words, expected Whisper or a model"):
        explain_word(tiny_model("hubert"), said(), "B")


def test_a_word_written_twice_is_asked_by_its_place():
    model = writer()
    model.processor.tokenizer.decode = lambda ids: "same"
    with pytest.raises(ValueError, match=r"'Same' stands at the places \[0, 1\], say which"):
        explain_word(model, said(), "Same")
    np.testing.assert_allclose(
        explain_word(model, said(), 1).values, explain_word(writer(), said(), "B").values
    )
