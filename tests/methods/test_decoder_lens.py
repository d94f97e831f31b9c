"""The decoder lens against plain generation, models with fewer layers, and hooks on the decoder."""

import numpy as np
import pytest
import torch
from tiny import tiny_model
from whisper_letters import END, PROMPT, SPECIAL, noise, whisper

from speech_interp.methods import decoder_lens as module
from speech_interp.methods.decoder_lens import (
    DecoderLens,
    decoder_lens,
    decoder_words,
    encoder_outputs,
    logit_lens,
    window_states,
    word_chances,
)
from speech_interp.speech.audio import EmptyAudioError, TooLongAudioError
from speech_interp.states import scores
from speech_interp.states.hidden_states import model_inputs


def generated(model, wave, longest):
    """What `generate` of transformers writes, from the prompt on."""
    written = model.module.generate(model_inputs(model, wave), max_new_tokens=longest)[0].tolist()
    return [*PROMPT, *[token for token in written if token not in SPECIAL], END]


@pytest.mark.parametrize("seed", range(4))
def test_the_last_layer_writes_what_plain_generation_writes_token_for_token(seed):
    model, wave = whisper(seed), noise(seed)
    lens = decoder_lens(model, wave, longest=12)
    assert list(lens.ids[-1]) == generated(model, wave, 12)
    assert list(lens.ids[-1]) == scores.whisper_ids(model, wave, longest=12)
    assert len(lens.ids) == len(lens.texts) == len(lens.stopped) == 4


@pytest.mark.parametrize("seed", range(3))
def test_layer_k_writes_what_a_model_writes_without_the_layers_above(seed):
    model, wave = whisper(seed), noise(seed)
    lens = decoder_lens(model, wave, longest=12)
    layers = model.module.get_encoder().layers
    for k in (2, 1, 0):
        del layers[k:]
        assert list(lens.ids[k]) == generated(model, wave, 12)
    assert len(set(lens.ids)) > 1


def test_the_last_states_are_those_that_the_encoder_returns_bit_for_bit():
    model, wave = whisper(), noise()
    with torch.no_grad():
        expected = model.module.get_encoder()(model_inputs(model, wave)).last_hidden_state[0]
    outputs = encoder_outputs(model, wave)
    assert torch.equal(outputs[-1], expected) and len(outputs) == 4
    assert outputs.shape[1] == 1500  # padding and all: the decoder attends to it
    assert not torch.equal(window_states(model, wave)[-1], expected)


@pytest.mark.parametrize("seed", range(3))
def test_a_prompt_of_several_tokens_stands_before_every_text(seed, monkeypatch):
    """As in multilingual models, whose prompt names language and task."""
    model, wave, longer = whisper(seed), noise(seed), [*PROMPT, 4]
    monkeypatch.setattr(module, "whisper_prompt", lambda *call: longer)
    lens = decoder_lens(model, wave, longest=8)
    written = model.module.generate(
        model_inputs(model, wave), decoder_input_ids=torch.tensor([longer]), max_new_tokens=8
    )[0].tolist()
    assert list(lens.ids[-1]) == [*longer, *[t for t in written if t not in SPECIAL], END]
    assert all(ids[:2] == tuple(longer) for ids in lens.ids)
    found = word_chances(model, wave, "the hat")
    ids = [*longer, *model.processor.tokenizer.encode(" the hat"), END]
    words = scores.whisper_words(model, ids)
    with torch.no_grad():
        alone = scores.whisper_word_scores(model, ids, words)(torch.tensor(wave)[None])[0]
    np.testing.assert_allclose(found.log_probs[-1], alone, atol=1e-3)


def test_texts_end_at_the_limit_and_say_so():
    model, wave = whisper(), noise()
    long, short = (decoder_lens(model, wave, longest=n) for n in (12, 3))
    for k in range(4):
        text = long.ids[k][len(PROMPT) : -1]
        if len(text) > 3:
            assert short.stopped[k] and short.ids[k] == (*PROMPT, *text[:3], END)
    assert any(short.stopped)
    assert not any(set(SPECIAL) & set(ids[len(PROMPT) : -1]) for ids in long.ids)


def test_chances_of_words_are_single_scores_of_the_model_cut_off_at_each_layer():
    model, wave, text = whisper(), noise(), "the hat at"
    found = word_chances(model, wave, text)
    assert found.words == ("the", "hat", "at") and found.log_probs.shape == (4, 3)
    ids = [*PROMPT, *model.processor.tokenizer.encode(" " + text), END]
    words = scores.whisper_words(model, ids)
    layers = model.module.get_encoder().layers
    for k in (3, 2, 1, 0):
        del layers[k:]
        with torch.no_grad():
            for word, value in zip(words, found.log_probs[k], strict=True):
                alone = scores.whisper_score(model, ids, word.places)(torch.tensor(wave)[None])
                assert float(alone) == pytest.approx(value, abs=1e-3)
    assert found.per_word().tolist() == pytest.approx(found.log_probs.mean(1).tolist())
    with pytest.raises(ValueError, match="text is '', expected a text with words"):
        word_chances(whisper(), wave, "")


def test_errors_of_texts_are_counted_beside_the_truth():
    lens = DecoderLens(((3, 2),) * 3, ("", "a goat", "A boat."), (False,) * 3)
    assert lens.word_errors("a boat").tolist() == [1, 0.5, 0]
    assert lens.character_errors("a boat").tolist() == pytest.approx([1, 1 / 6, 0])


@pytest.mark.parametrize("seed", range(3))
def test_decoder_layers_are_read_as_the_last_one_is(seed):
    model, wave, ids = whisper(seed), noise(seed), [3, 4, 9, 12, 7, 2]
    lens = logit_lens(model, wave, ids)
    assert lens.shape == (4, 5, 60)
    layers, inputs = model.module.get_decoder().layers, model_inputs(model, wave)
    prefix = torch.tensor([ids[:-1]])
    for k in (3, 2, 1, 0):
        del layers[k:]
        with torch.no_grad():
            logits = model.module(input_features=inputs, decoder_input_ids=prefix).logits[0]
        assert torch.equal(lens[k], logits.log_softmax(-1))


def test_words_by_decoder_layer_are_those_of_a_decoder_cut_off_there():
    model, wave, text = whisper(), noise(), "the hat at"
    found = decoder_words(model, wave, text)
    assert found.words == ("the", "hat", "at") and found.log_probs.shape == (4, 3)
    layers = model.module.get_decoder().layers
    for k in (3, 2, 1, 0):
        del layers[k:]
        expected = word_chances(model, wave, text).log_probs[-1]
        np.testing.assert_allclose(found.log_probs[k], expected, atol=1e-4)


def test_silence_is_read_and_what_cannot_be_is_refused():
    model = whisper()
    lens = decoder_lens(model, np.zeros(8000, np.float32), longest=4)
    assert len(lens.texts) == 4
    with pytest.raises(EmptyAudioError):
        decoder_lens(model, np.zeros(0, np.float32))
    with pytest.raises(TooLongAudioError, match=r"31\.0 s"):
        window_states(model, np.zeros(31 * 16_000, np.float32))
    with pytest.raises(ValueError, match="family is 'hubert', and only whisper has a decoder"):
        decoder_lens(tiny_model("hubert"), noise())


def test_a_text_of_any_length_is_scored_up_to_the_room_that_the_decoder_has():
    """The text need not be as long as the sound: 20 words of half a second, and one word."""
    model, wave = whisper(), noise()
    long, short = (word_chances(model, wave, text) for text in ("the hat " * 10, "the"))
    assert long.log_probs.shape == (4, 20) and short.log_probs.shape == (4, 1)
    # What comes after a word does not change it.
    np.testing.assert_allclose(long.log_probs[:, 0], short.log_probs[:, 0], atol=1e-4)
    model.module.config.max_target_positions = 8
    with pytest.raises(ValueError, match="text comes to 32 tokens with the prompt"):
        word_chances(model, wave, "the hat " * 10)
    with pytest.raises(ValueError, match="longest comes to 65 tokens with the prompt"):
        decoder_lens(model, wave)


def test_beams_of_a_checkpoint_do_not_enter():
    """A checkpoint may be saved with beams; the lens writes greedily, as it says."""
    model, wave = whisper(1), noise(1)
    greedy = decoder_lens(model, wave, longest=8)
    model.module.generation_config.num_beams = 3
    assert decoder_lens(model, wave, longest=8).ids == greedy.ids
