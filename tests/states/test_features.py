import numpy as np
import pytest
import torch

from speech_interp.states.features import GRID, mfcc


def test_one_layer_of_39_units_on_the_grid_of_the_convolutions():
    for samples in (400, 719, 720, 16_000):
        states = mfcc(np.random.default_rng(0).normal(size=samples).astype(np.float32))
        assert states.values.shape == (1, GRID.count(samples), 39)
        assert len(states.times_s) == GRID.count(samples)


def test_a_click_is_seen_by_the_frames_that_hold_it():
    wave = np.full(16_000, 1e-3, dtype=np.float32) * np.random.default_rng(0).normal(size=16_000)
    wave = wave.astype(np.float32)
    clicked = wave.copy()
    clicked[8000] = 1
    # Only cepstra, not slopes, which look two frames to either side.
    changed = (mfcc(wave).values[0, :, :13] != mfcc(clicked).values[0, :, :13]).any(1)
    expected = [
        k for k in range(GRID.count(16_000)) if GRID.samples(k)[0] < 8000 < GRID.samples(k)[1]
    ]
    assert np.flatnonzero(changed.numpy()).tolist() == expected


def test_slopes_of_a_steady_sound_vanish():
    tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000).astype(np.float32)
    values = mfcc(tone).values[0]  # 20 ms hold 20 whole periods: every frame is the same
    assert values[:, 13:].abs().max() < 1e-2 * values[:, 1:13].abs().max()


def test_slope_is_the_regression_over_five_frames():
    values = mfcc(np.random.default_rng(0).normal(size=6_000).astype(np.float32)).values[0]
    frame = 6
    weights = torch.tensor([-2.0, -1, 0, 1, 2]) / 10
    expected = weights @ values[frame - 2 : frame + 3, :13]
    assert torch.allclose(values[frame, 13:26], expected, atol=1e-3)


def test_too_short_a_wave_is_named():
    with pytest.raises(ValueError):
        mfcc(np.zeros(100, dtype=np.float32))
