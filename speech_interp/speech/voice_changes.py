"""Changes of a voice that leave the words alone: pitch, rate, noise, reverberation.

How far a score moves under them tells whether a model listens to *how* something is said
[pastor-etal-2024-explaining].
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor
from torchaudio import functional, transforms

from speech_interp.speech.audio import RATE_HZ, AnyWave, as_array

Wave = Float[ndarray, " sample"]
WINDOW = 512  # samples of the phase vocoder's window


def change_rate(wave: AnyWave, factor: float) -> Float[ndarray, " changed"]:
    """Return the wave spoken `factor` times as fast at the same pitch."""
    hop, window = WINDOW // 4, torch.hann_window(WINDOW)
    spectrum = torch.stft(torch.as_tensor(wave), WINDOW, hop, window=window, return_complex=True)
    stretch = transforms.TimeStretch(hop_length=hop, n_freq=WINDOW // 2 + 1)
    length = round(len(wave) / factor)
    changed = torch.istft(stretch(spectrum, factor), WINDOW, hop, window=window, length=length)
    return changed.numpy()


def shift_pitch(wave: AnyWave, semitones: float) -> Wave:
    """Return the wave with its pitch raised; its formants move with it."""
    factor = 2 ** (semitones / 12)
    slow = torch.tensor(change_rate(wave, 1 / factor))
    changed = functional.resample(slow, round(1000 * factor), 1000)
    return _of_length(changed.numpy(), len(wave))


def add_noise(wave: AnyWave, snr_db: float, *, seed: int = 0) -> Wave:
    """Return the wave with white noise at a signal-to-noise ratio in dB."""
    wave = as_array(wave)
    noise = np.random.default_rng(seed).normal(size=len(wave))
    scale = np.sqrt((wave**2).mean() / (noise**2).mean() / 10 ** (snr_db / 10))
    return (wave + scale * noise).astype(np.float32)


def add_reverberation(wave: AnyWave, decay_s: float, *, seed: int = 0) -> Wave:
    """Return the wave in a room that takes `decay_s` to fall by 60 dB; same loudness."""
    wave = as_array(wave)
    times_s = np.arange(int(decay_s * RATE_HZ)) / RATE_HZ
    echo = np.random.default_rng(seed).normal(size=len(times_s)) * 10 ** (-3 * times_s / decay_s)
    echo = np.concatenate([[1.0], 0.5 * echo / np.linalg.norm(echo)])
    changed = np.convolve(wave, echo)[: len(wave)]
    return (changed * wave.std() / max(changed.std(), 1e-12)).astype(np.float32)


def mean_change(
    score: Callable[[Tensor], Tensor], wave: AnyWave, changed: Sequence[ndarray | Tensor]
) -> Float[Tensor, "..."]:
    """Return score(wave) minus the mean score of the changed waves; positive: the change hurts.

    One number, or one for each column of the score.
    """
    with torch.no_grad():
        before, *after = (score(torch.as_tensor(w)[None])[0] for w in (wave, *changed))
    return before - torch.stack(after).mean(0)


def _of_length(wave: ndarray, length: int) -> ndarray:
    return np.pad(wave, (0, max(0, length - len(wave))))[:length].astype(np.float32)
