"""What WORLD does for the corpus: new pitch for the same voice, and morphs between two sounds."""

import numpy as np

from training.corpus.speech import RATE_HZ

FRAME_S = 0.005
FFT = 1024
ORDER = 18  # of the all-pole envelope: two poles a kHz and two more


def analyse(wave, lowest_hz=60.0):
    """F0, envelope (power) and aperiodicity of a wave, each 5 ms."""
    import pyworld

    wave = np.asarray(wave, np.float64)
    f0, times_s = pyworld.harvest(
        wave, RATE_HZ, f0_floor=lowest_hz, f0_ceil=400.0, frame_period=1000 * FRAME_S
    )
    envelope = pyworld.cheaptrick(wave, f0, times_s, RATE_HZ, f0_floor=lowest_hz, fft_size=FFT)
    aperiodicity = pyworld.d4c(wave, f0, times_s, RATE_HZ, fft_size=FFT)
    return f0, envelope, aperiodicity


def synthesise(f0, envelope, aperiodicity):
    """The wave of F0, envelope and aperiodicity."""
    import pyworld

    parts = [np.ascontiguousarray(part, np.float64) for part in (f0, envelope, aperiodicity)]
    return pyworld.synthesize(*parts, RATE_HZ, 1000 * FRAME_S).astype(np.float32)


def stretch(parts, positions):
    """The frames at fractional `positions`, between neighbours: a warp of time."""
    f0, envelope, aperiodicity = parts
    lower = np.clip(np.floor(positions).astype(int), 0, len(f0) - 2)
    share = np.clip(positions - lower, 0, 1)
    nearest = np.clip(np.round(positions).astype(int), 0, len(f0) - 1)
    log = np.log(envelope + 1e-16)
    log = log[lower] * (1 - share[:, None]) + log[lower + 1] * share[:, None]
    return f0[nearest], np.exp(log), aperiodicity[nearest]


def line_spectral_frequencies(power):
    """Frames of power spectra as (LSF in radians, gain of the all-pole filter)."""
    frequencies, gains = [], []
    for frame in power:
        correlation = np.fft.irfft(frame)[: ORDER + 1]
        correlation[0] *= 1 + 1e-6
        filter_, error = _levinson(correlation)
        padded = np.append(filter_, 0.0)
        angles = []
        for polynomial in (padded + padded[::-1], padded - padded[::-1]):
            roots = np.angle(np.roots(polynomial))
            angles.append(np.sort(roots[(roots > 1e-6) & (roots < np.pi - 1e-6)]))
        frequencies.append(np.sort(np.concatenate(angles)))
        gains.append(error)
    return np.array(frequencies), np.array(gains)


def all_pole_power(frequencies, gains):
    """The power spectra of frames of line spectral frequencies: the way back."""
    omega = np.linspace(0, np.pi, FFT // 2 + 1)
    power = np.empty((len(frequencies), len(omega)))
    for k, (frame, gain) in enumerate(zip(frequencies, gains, strict=True)):
        symmetric = _polynomial(frame[0::2], [1, 1])
        antisymmetric = _polynomial(frame[1::2], [1, -1])
        filter_ = (symmetric + antisymmetric)[: ORDER + 1] / 2
        response = np.exp(-1j * np.outer(omega, np.arange(ORDER + 1))) @ filter_
        power[k] = gain / np.abs(response) ** 2
    return power


def _polynomial(angles, start):
    product = np.array(start, float)
    for angle in angles:
        product = np.convolve(product, [1, -2 * np.cos(angle), 1])
    return product


def _levinson(correlation):
    filter_, error = np.array([1.0]), correlation[0]
    for k in range(1, len(correlation)):
        reflection = -np.dot(filter_, correlation[k:0:-1]) / error
        filter_ = np.append(filter_, 0.0)
        filter_ = filter_ + reflection * filter_[::-1]
        error *= 1 - reflection**2
    return filter_, error


def morph(one, other, share):
    """The envelopes on the way from `one` (share 0) to `other` (share 1); a share a frame.

    Peaks move in frequency, as formants do, instead of one fading out while another fades in:
    line spectral frequencies are mixed, and what the all-pole envelopes leave over in logarithms.
    """
    ends = []
    for power in (one, other):
        frequencies, gains = line_spectral_frequencies(power)
        rest = np.log(power + 1e-16) - np.log(all_pole_power(frequencies, gains))
        ends.append((frequencies, np.log(gains)[:, None], rest))
    mixed = ((1 - share) * a + share * b for a, b in zip(*ends, strict=True))
    frequencies, gains, rest = mixed
    return all_pole_power(frequencies, np.exp(gains[:, 0])) * np.exp(rest)
