"""A short window is the encoder with fewer positions, and with all of them the encoder itself."""

import copy

import numpy as np
import pytest
import torch
from tiny import tiny_model

from speech_interp.speech.audio import TooLongAudioError
from speech_interp.states.hidden_states import hidden_states, model_inputs
from speech_interp.states.short_window import short_window


def noise(seconds):
    samples = int(seconds * 16_000)
    return np.random.default_rng(0).normal(scale=0.1, size=samples).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    return tiny_model("whisper")


def test_the_whole_window_is_hidden_states(model):
    full, same = hidden_states(model, noise(1)), short_window(model, window_s=30)(noise(1))
    assert torch.equal(full.values, same.values) and np.array_equal(full.times_s, same.times_s)
    assert full.padding_frames == same.padding_frames == 1450


@torch.no_grad()
def test_is_the_encoder_that_transformers_makes_with_so_few_positions(model):
    """Oracle: an encoder configured for two seconds, the same weights, the first 200 mel frames."""
    small = copy.deepcopy(model.module.get_encoder())
    small.config.max_source_positions = 100
    small.embed_positions = torch.nn.Embedding.from_pretrained(small.embed_positions.weight[:100])
    wave = noise(1.5)
    mel = model_inputs(model, wave)[:, :, :200]
    expected = small(mel, output_hidden_states=True).hidden_states
    found = short_window(model, window_s=2)(wave)
    assert found.values.shape[1] == 75 and found.padding_frames == 25
    for k in (0, 1, 2):  # the last entry has passed a norm
        torch.testing.assert_close(found.values[k], expected[k][0, :75], atol=1e-5, rtol=1e-4)
    # The sound ends before the window does: what reaches the first layer is the same, what leaves
    # it is not.
    full = hidden_states(model, wave)
    torch.testing.assert_close(found.values[0], full.values[0])
    assert (found.values[1] - full.values[1]).abs().max() > 1e-4


def test_leaves_the_model_as_it_was(model):
    before = hidden_states(model, noise(1)).values
    brief = short_window(model, window_s=1)
    brief(noise(1))
    with pytest.raises(TooLongAudioError, match=r"1\.10 s, the window takes at most 1 s"):
        brief(noise(1.1))
    assert torch.equal(hidden_states(model, noise(1)).values, before)


@pytest.mark.parametrize("window_s", [1.01, 0, -1, 30.02, float("nan")])
def test_windows_that_are_none(model, window_s):
    with pytest.raises(
        ValueError, match=r"window_s is .*, expected a multiple of 0\.02 s up to 30"
    ):
        short_window(model, window_s=window_s)


def test_other_families_have_no_window():
    with pytest.raises(ValueError, match="family is 'hubert', expected 'whisper'"):
        short_window(tiny_model("hubert"), window_s=1)
