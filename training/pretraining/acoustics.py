"""Acoustic measurements at the frames of the models, and noise and rooms to add to speech."""

from functools import cache

import numpy as np
import torch
from scipy.fft import dct
from scipy.signal import fftconvolve, lfilter

from training.pretraining.config import RATE_HZ, RECEPTIVE_FIELD, STRIDE

N_FFT = 512


@cache
def mel_filters(bands: int) -> np.ndarray:
    """Triangular filters from 60 Hz to 7600 Hz, evenly spaced in mel: (frequency, band)."""
    to_mel = lambda hz: 2595 * np.log10(1 + hz / 700)  # noqa: E731
    edges_mel = np.linspace(to_mel(60), to_mel(7600), bands + 2)
    edges = 700 * (10 ** (edges_mel / 2595) - 1)
    hz = np.linspace(0, RATE_HZ / 2, N_FFT // 2 + 1)[:, None]
    rise = (hz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - hz) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rise, fall)).astype(np.float32)


def log_mel(wave: torch.Tensor, *, bands=40, window=RECEPTIVE_FIELD, offset=0) -> torch.Tensor:
    """Log energies (..., frame, band) of `window` samples of what a frame of the models sees."""
    frames = wave.unfold(-1, RECEPTIVE_FIELD, STRIDE)[..., offset : offset + window]
    frames = frames - frames.mean(-1, keepdim=True)
    power = torch.fft.rfft(frames * torch.hann_window(window), N_FFT).abs() ** 2
    return torch.log(power @ torch.from_numpy(mel_filters(bands)) + 1e-4)


def mfcc(wave: np.ndarray) -> np.ndarray:
    """13 MFCCs with first and second differences, normalised over the utterance: (frame, 39)."""
    scaled = normalise(wave)
    energies = log_mel(torch.from_numpy(scaled)).numpy()
    static = dct(energies, norm="ortho", axis=-1)[:, :13]
    first = _slope(static)
    features = np.concatenate([static, first, _slope(first)], axis=1)
    return (features - features.mean(0)) / (features.std(0) + 1e-5)


def _slope(x):
    """Regression slope over five frames."""
    p = np.pad(x, ((2, 2), (0, 0)), mode="edge")
    return (2 * (p[4:] - p[:-4]) + p[3:-1] - p[1:-3]) / 10


def normalise(wave: np.ndarray) -> np.ndarray:
    """Zero mean and unit variance, as the models' preprocessor does."""
    wave = np.asarray(wave, np.float32)
    return (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)


def augment(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The wave in a room, through a channel, with noise, each by chance; same length."""
    if rng.random() < 0.4:
        wave = _room(wave, rng)
    if rng.random() < 0.5:
        wave = lfilter([1, rng.uniform(-0.6, 0.6)], [1.0], wave)
    if rng.random() < 0.7:
        wave = _noise(wave, rng)
    return np.asarray(wave, np.float32)


def _room(wave, rng):
    """Convolved with exponentially decaying noise, 0.1 to 0.5 s to fall by 60 dB."""
    decay_s = rng.uniform(0.1, 0.5)
    t = np.arange(int(decay_s * RATE_HZ)) / RATE_HZ
    response = rng.standard_normal(len(t)) * 10 ** (-3 * t / decay_s)
    response *= 0.5 * rng.uniform(0.1, 1.0) / np.sqrt((response**2).sum())
    response[0] = 1.0
    return fftconvolve(wave, response)[: len(wave)]


def _noise(wave, rng):
    """With noise of a random spectral slope, 5 to 40 dB below the speech."""
    noise = rng.standard_normal(len(wave))
    noise = lfilter([1.0], [1, -rng.uniform(0.0, 0.97)], noise)
    level_db = rng.uniform(5, 40)
    scale = np.sqrt((wave**2).mean() / ((noise**2).mean() * 10 ** (level_db / 10)))
    return wave + scale * noise
