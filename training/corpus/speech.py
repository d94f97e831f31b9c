"""What every voice returns: a wave with the times of its words, syllables and phones."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

RATE_HZ = 16000

#: The phones of the corpus: ARPABET without stress digits. "AX" is the schwa of "about",
#: kept apart from the full vowel "AH" of "bus"; "SIL" is silence.
VOWELS = "AA AE AH AO AW AX AY EH ER EY IH IY OW OY UH UW".split()
CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH".split()
PHONES = VOWELS + CONSONANTS
SILENCE = "SIL"


class Segment(NamedTuple):
    """A label that holds from `start_s` to `end_s` seconds."""

    label: str
    start_s: float
    end_s: float


@dataclass
class Speech:
    """One synthesised utterance: mono float32 at 16 kHz, and the truth about it.

    Phones cover the wave without gaps (pauses are "SIL"). The label of a syllable is its
    stress: "1" stressed, "2" secondary, "0" unstressed.
    """

    wave: np.ndarray
    words: list[Segment]
    phones: list[Segment]
    syllables: list[Segment]


class VoiceError(RuntimeError):
    """A voice cannot speak here: a tool is not installed, or it returned something odd."""


def resample(wave, rate_hz):
    """The wave at 16 kHz, float32, resampled with a polyphase filter where needed."""
    wave = np.asarray(wave, np.float32)
    if rate_hz == RATE_HZ:
        return wave
    from math import gcd

    from scipy.signal import resample_poly

    common = gcd(RATE_HZ, int(rate_hz))
    return resample_poly(wave, RATE_HZ // common, int(rate_hz) // common).astype(np.float32)


def fill_silences(phones, end_s):
    """`phones` with "SIL" in every gap, up to `end_s`; neighbouring silences are joined."""
    filled, at = [], 0.0
    for phone in [*phones, None]:
        start_s = end_s if phone is None else phone.start_s
        if start_s - at > 1e-4:
            filled.append(Segment(SILENCE, at, start_s))
        if phone is not None:
            filled.append(phone)
            at = phone.end_s
    joined = []
    for phone in filled:
        if joined and phone.label == SILENCE and joined[-1].label == SILENCE:
            joined[-1] = Segment(SILENCE, joined[-1].start_s, phone.end_s)
        else:
            joined.append(phone)
    return joined
