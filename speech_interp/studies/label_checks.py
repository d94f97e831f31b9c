"""Is the sound where the labels say? An [s] hisses, a vowel does not: an independent witness."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from speech_interp.speech.audio import RATE_HZ
from speech_interp.speech.corpus import PHONES, Utterance

VOWELS = frozenset(label for label in PHONES if label[0] in "AEIOU")
HOP, WINDOW = 64, 128  # samples: 4 and 8 ms
REACH = 30  # steps of 4 ms to either side of a boundary
TIMES_MS = 1000 * HOP / RATE_HZ * np.arange(-REACH, REACH + 1)
HIGH_HZ, LOW_HZ = 3500, 1500


def hiss_at_boundaries(
    utterance: Utterance, labels: Sequence[str] | None = None
) -> Float[ndarray, "boundary time"]:
    """Return energy above 3.5 kHz against below 1.5 kHz (dB) around each vowel-to-[s] boundary.

    At `TIMES_MS` from where a vowel ends and "S" begins. `labels` in place of those of the phones
    (the same number), such as shuffled ones, give the null. Boundaries nearer than 120 ms to an end
    of the sound are left out.
    """
    said = [p.label for p in utterance.phones] if labels is None else list(labels)
    if len(said) != len(utterance.phones):
        raise ValueError(f"labels holds {len(said)}, {utterance.id} has {len(utterance.phones)}")
    frames = np.lib.stride_tricks.sliding_window_view(utterance.wave, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW))) ** 2 + 1e-9
    high, low = (round(hz * WINDOW / RATE_HZ) for hz in (HIGH_HZ, LOW_HZ))
    ratio = 10 * np.log10(power[:, high:].sum(axis=1) / power[:, :low].sum(axis=1))
    rows = []
    for (before, after), phone in zip(pairwise(said), utterance.phones, strict=False):
        k = round((phone.end_s * RATE_HZ - WINDOW / 2) / HOP)
        if before in VOWELS and after == "S" and REACH <= k < len(ratio) - REACH:
            rows.append(ratio[k - REACH : k + REACH + 1])
    return np.array(rows).reshape(-1, 2 * REACH + 1)


def step_db(curves: Float[ndarray, "boundary time"]) -> float:
    """Return the mean from 20 to 60 ms after the boundary less that from 60 to 20 ms before it."""
    mean = curves.mean(axis=0)
    after, before = ((s * TIMES_MS >= 20) & (s * TIMES_MS <= 60) for s in (1, -1))
    return float(mean[after].mean() - mean[before].mean())


def shift_ms(curves: Float[ndarray, "boundary time"]) -> float:
    """Return when the mean curve has made half of its rise to its peak: 0 for true labels."""
    mean = curves.mean(axis=0)
    rise = mean[: mean.argmax() + 1]
    below = np.flatnonzero(rise <= (rise[-1] + rise.min()) / 2)
    return float(TIMES_MS[below[-1]] + (TIMES_MS[1] - TIMES_MS[0]) / 2)
