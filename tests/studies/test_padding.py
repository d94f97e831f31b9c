"""Each way in which silence acts can be shut, and both together leave the frames as they were."""

import numpy as np
import pytest
from tiny import tiny_model

from speech_interp.speech.audio import ScaleAudioError
from speech_interp.studies.padding import padding_change


@pytest.fixture(scope="module")
def wave():
    return np.random.default_rng(0).normal(scale=0.1, size=16_000).astype(np.float32)


@pytest.mark.parametrize("family", ["wav2vec2", "hubert"])
def test_two_ways_and_no_other(family, wave):
    model = tiny_model(family)
    change = {
        (norm, attend): padding_change(
            model, wave, 1.0, norm_of_speech=norm, attend_to_speech=attend
        )
        for norm in (False, True)
        for attend in (False, True)
    }
    assert change[False, False] > 0.01
    assert change[True, True] < 1e-4
    assert min(change[True, False], change[False, True]) > 10 * change[True, True]


def test_floats_in_the_range_of_integers_are_refused(wave):
    with pytest.raises(ScaleAudioError, match="its peak is"):
        padding_change(tiny_model("wav2vec2"), wave * 32768, 1.0)


def test_no_silence_changes_nothing(wave):
    model = tiny_model("hubert")
    assert padding_change(model, wave, 0.0) == 0
    assert padding_change(model, wave, 0.0, norm_of_speech=True) < 1e-5


def test_models_without_that_normalisation_are_named(wave):
    with pytest.raises(ValueError, match="does not normalise its first convolution over time"):
        padding_change(tiny_model("wav2vec2-stable"), wave, 1.0)
