"""Skipped layers against models whose layer was taken out of the list of layers."""

import numpy as np
import pytest
import torch
from tiny import tiny_model
from whisper_letters import noise, whisper

from speech_interp.methods.decoder_lens import word_chances
from speech_interp.methods.skipped_layers import left_out, skipped_layers

TEXT = "the hat at"


@pytest.mark.parametrize("stack", ["encoder", "decoder"])
def test_a_skipped_layer_is_a_model_that_never_had_it(stack):
    model, wave = whisper(), noise()
    found = skipped_layers(model, wave, TEXT, stack=stack)
    assert found.words == ("the", "hat", "at") and found.log_probs.shape == (4, 3)
    part = getattr(model.module, f"get_{stack}")()
    kept = list(part.layers)
    for k in range(4):
        part.layers = torch.nn.ModuleList(x for i, x in enumerate(kept) if i != k - 1)
        expected = word_chances(model, wave, TEXT).log_probs[-1]
        np.testing.assert_allclose(found.log_probs[k], expected, atol=1e-4)
    assert np.abs(found.log_probs[1:] - found.log_probs[0]).max(1).min() > 0.01


def test_a_planted_layer_that_does_nothing_is_not_missed():
    model, wave = whisper(), noise()
    idle = model.module.get_decoder().layers[1]
    with torch.no_grad():  # what each part adds to the stream is nothing
        for part in (idle.self_attn.out_proj, idle.encoder_attn.out_proj, idle.fc2):
            part.weight.zero_()
            part.bias.zero_()
    found = skipped_layers(model, wave, TEXT).log_probs
    np.testing.assert_allclose(found[2], found[0], atol=1e-5)
    assert np.abs(found[[1, 3]] - found[0]).max(1).min() > 0.01


def test_the_layer_is_itself_again_afterwards_even_after_an_error():
    model, wave = whisper(), noise()
    before = word_chances(model, wave, TEXT).log_probs
    with pytest.raises(KeyError), left_out(model.module.get_decoder().layers[0]):
        raise KeyError
    np.testing.assert_array_equal(word_chances(model, wave, TEXT).log_probs, before)


def test_what_cannot_be_skipped_is_refused():
    with pytest.raises(ValueError, match="stack is 'middle', expected one of"):
        skipped_layers(whisper(), noise(), TEXT, stack="middle")
    with pytest.raises(ValueError, match="text is '', expected a text with words"):
        skipped_layers(whisper(), noise(), "")
    with pytest.raises(ValueError, match="family is 'hubert'"):
        skipped_layers(tiny_model("hubert"), noise(), TEXT)
