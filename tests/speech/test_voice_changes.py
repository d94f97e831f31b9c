"""Each change of the voice changes one thing, by as much as asked."""

import numpy as np
import pytest
import torch

from speech_interp.speech import voice_changes


def tone(frequency_hz, count=16_000):
    return np.sin(2 * np.pi * frequency_hz * np.arange(count) / 16_000).astype(np.float32)


def loudest_hz(wave):
    return np.abs(np.fft.rfft(wave)).argmax() * 16_000 / len(wave)


def test_pitch_and_rate_change_one_thing_each():
    wave = tone(440)
    higher = voice_changes.shift_pitch(wave, 12)
    assert len(higher) == len(wave) and loudest_hz(higher) == pytest.approx(880, rel=0.01)
    faster = voice_changes.change_rate(wave, 1.25)
    assert len(faster) == pytest.approx(12_800, abs=2)
    assert loudest_hz(faster) == pytest.approx(440, rel=0.01)


def test_noise_and_reverberation_are_as_strong_as_asked():
    wave = tone(440)
    added = voice_changes.add_noise(wave, 10) - wave
    assert 10 * np.log10((wave**2).mean() / (added**2).mean()) == pytest.approx(10, abs=0.2)
    click = np.zeros(16_000, np.float32)
    click[1000] = 1
    room = voice_changes.add_reverberation(click, 0.5)
    early, late = (np.abs(room[a : a + 800]).mean() for a in (1010, 1010 + 4000))
    assert 20 * np.log10(early / late) == pytest.approx(30, abs=6)
    assert room[:1000].max() == 0


def test_mean_change_is_before_minus_after():
    wave = tone(440)
    change = voice_changes.mean_change(lambda w: w.abs().mean(1), wave, [0.5 * wave, 0 * wave])
    assert float(change) == pytest.approx(np.abs(wave).mean() * 0.75, rel=1e-5)
    both = voice_changes.mean_change(
        lambda w: torch.stack([w.abs().mean(1), w.amax(1)], dim=1), wave, [0.5 * wave, 0 * wave]
    )
    assert both.shape == (2,) and float(both[0]) == pytest.approx(float(change))
