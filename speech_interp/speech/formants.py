"""Formants: the resonances of the mouth that make a vowel, measured in the sound by Praat.

Needs the library praat-parselmouth, which comes with the extra `book`.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from speech_interp.speech.audio import RATE_HZ, check_wave
from speech_interp.speech.corpus import Interval

PLACES = 9  # moments of the middle third at which a formant is read
STEP_S = 0.005


def formants(
    wave: Float[ndarray, " sample"],
    intervals: Sequence[Interval],
    *,
    highest_hz: float = 5200.0,
) -> Float[ndarray, "interval 3"]:
    """Return F1, F2 and F3 in hertz of each interval: medians over its middle third.

    Praat looks for five formants below `highest_hz`; 5000 suits long vocal tracts, 5500 short ones.
    NaN where none was found. Raises ValueError for an interval outside the wave, ImportError with
    what to install where praat-parselmouth is missing.
    """
    check_wave(wave)
    if not 1000 <= highest_hz <= RATE_HZ / 2:
        raise ValueError(f"highest_hz is {highest_hz}, expected 1000 to {RATE_HZ // 2}")
    duration_s = len(wave) / RATE_HZ
    outside = [i for i in intervals if not 0 <= i.start_s < i.end_s <= duration_s + 0.01]
    if outside:
        raise ValueError(f"{outside[0]} does not lie in a sound of {duration_s:.3f} s")
    try:
        import parselmouth
    except ImportError as error:
        raise ImportError(
            "formants are measured by Praat: pip install praat-parselmouth (or the extra `book`)"
        ) from error
    sound = parselmouth.Sound(np.asarray(wave, dtype=np.float64), RATE_HZ)
    found = sound.to_formant_burg(time_step=STEP_S, maximum_formant=highest_hz)
    values = np.full((len(intervals), PLACES, 3), np.nan)
    for row, interval in zip(values, intervals, strict=True):
        third_s = interval.duration_s / 3
        times_s = np.linspace(interval.start_s + third_s, interval.end_s - third_s, PLACES)
        row[:] = [[found.get_value_at_time(k, t) for k in (1, 2, 3)] for t in times_s]
    seen = np.isfinite(values).any(axis=1)
    middle = np.ma.median(np.ma.masked_invalid(values), axis=1)
    return np.where(seen, np.ma.filled(middle, np.nan), np.nan)
