"""Formants of a vowel built from known resonances, and of the continua of the corpus."""

import sys

import numpy as np
import pytest
from scipy.signal import lfilter

from speech_interp.speech.audio import RATE_HZ
from speech_interp.speech.corpus import Interval, load_corpus
from speech_interp.speech.formants import formants

RESONANCES_HZ = (600.0, 1400.0, 2500.0, 3500.0, 4500.0)


def vowel(resonances_hz, seconds=0.4, pitch_hz=110, width_hz=80):
    """Pulses of a voice through one resonator a formant."""
    wave = np.zeros(round(seconds * RATE_HZ))
    wave[:: round(RATE_HZ / pitch_hz)] = 1
    wave = lfilter([1], [1, -0.95], wave)  # a voice is weaker at high frequencies
    radius = np.exp(-np.pi * width_hz / RATE_HZ)
    for hz in resonances_hz:
        wave = lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * hz / RATE_HZ), radius**2], wave)
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


def test_planted_resonances_are_found():
    pytest.importorskip("parselmouth", reason="needs praat-parselmouth")
    sound = np.concatenate([vowel(RESONANCES_HZ), vowel((330, 2200, 2900, 3600, 4500))])
    found = formants(sound, [Interval("AH", 0.02, 0.38), Interval("IY", 0.42, 0.78)])
    np.testing.assert_allclose(found, [[600, 1400, 2500], [330, 2200, 2900]], atol=30)


def test_formants_of_the_vowel_continua_are_those_known():
    """Measured when the corpus was made, before the sound was compressed."""
    pytest.importorskip("parselmouth", reason="needs praat-parselmouth")
    known, found = [], []
    for utterance in load_corpus("continua"):
        if utterance.info["continuum"] == "ih-eh":
            phone = utterance.phones[utterance.info["target_phone"]]
            found.append(formants(utterance.wave, [phone])[0, :2])
            known.append([utterance.info[f"f{k}_hz"] for k in (1, 2)])
    gaps_hz = np.abs(np.array(found) - known)
    assert len(gaps_hz) == 88
    assert (np.median(gaps_hz, axis=0) < [5, 15]).all() and (gaps_hz.max(axis=0) < [20, 100]).all()


def test_errors_name_what_came_and_what_is_missing(monkeypatch):
    with pytest.raises(ValueError, match=r"not lie in a sound of 0\.400 s"):
        formants(vowel(RESONANCES_HZ), [Interval("AH", 0.3, 0.5)])
    with pytest.raises(ValueError, match="highest_hz is 9000"):
        formants(vowel(RESONANCES_HZ), [], highest_hz=9000)
    monkeypatch.setitem(sys.modules, "parselmouth", None)
    with pytest.raises(ImportError, match="pip install praat-parselmouth"):
        formants(vowel(RESONANCES_HZ), [Interval("AH", 0.1, 0.3)])
