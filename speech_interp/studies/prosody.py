"""What the sound alone says about stress and tone: duration, intensity, F0 and spectral tilt.

A layer that names the stress may only have kept how long a syllable lasts. These are the baselines
that a probe must be held against, alone and beside the layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int, Shaped
from numpy import ndarray

from speech_interp.speech.audio import RATE_HZ, check_wave
from speech_interp.speech.corpus import Interval, Utterance
from speech_interp.speech.formants import formants
from speech_interp.states.items import Items
from speech_interp.studies.label_checks import VOWELS

#: What `acoustics` measures, in its order.
CUES = ("duration", "intensity", "F0", "tilt")
STEP_S = 0.01  # from one value of F0 to the next
WINDOW_S = 0.05  # three periods of the lowest pitch
CONTOUR_POINTS = 4
# Beside a peak of the correlation stand others at twice and three times its lag, almost as high:
# a small charge for each octave down takes the first. Below `VOICED` there is no period.
OCTAVE_COST, VOICED, QUIET = 0.03, 0.45, 0.02
TILT_HZ = 1000.0


@dataclass(frozen=True, eq=False)
class Pitch:
    """F0 of a wave over time; value k is at `times_s[k]`, 0 where there is no voice."""

    f0_hz: Float[ndarray, " time"]
    times_s: Float[ndarray, " time"]

    def semitones(self, at_s: Float[ndarray, " point"]) -> Float[ndarray, " point"]:
        """Return F0 at some moments, in semitones above the median of the wave.

        Between voiced frames on a straight line; 0 everywhere in a wave without voice.
        """
        voiced = self.f0_hz > 0
        if not voiced.any():
            return np.zeros(len(at_s))
        height = 12 * np.log2(self.f0_hz[voiced])
        return np.interp(at_s, self.times_s[voiced], height - np.median(height))


def pitch(
    wave: Float[ndarray, " sample"], *, low_hz: float = 60.0, high_hz: float = 400.0
) -> Pitch:
    """Return F0 each 10 ms: the first high peak of each window's autocorrelation.

    The correlation of a window falls with the lag because the window ends; divided by that of the
    window alone, a periodic sound has peaks of height 1. Medians of five values take single
    slips of an octave away. Raises ValueError for limits that are not 0 < low < high.
    """
    check_wave(wave)
    if not 0 < low_hz < high_hz:
        raise ValueError(f"expected 0 < low_hz < high_hz, got {low_hz} and {high_hz}")
    size, step = round(WINDOW_S * RATE_HZ), round(STEP_S * RATE_HZ)
    padded = np.pad(np.asarray(wave, dtype=float), size // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::step]
    window = np.hanning(size)
    windowed = (frames - frames.mean(axis=1, keepdims=True)) * window
    power = (windowed**2).sum(axis=1)
    lags = np.arange(round(RATE_HZ / high_hz) - 1, round(RATE_HZ / low_hz) + 2)
    own = _autocorrelation(window[None])[:, lags] / (window**2).sum()
    height = _autocorrelation(windowed)[:, lags] / (np.maximum(power, 1e-12)[:, None] * own)
    before, middle, after = height[:, :-2], height[:, 1:-1], height[:, 2:]
    peak = (middle >= before) & (middle > after)
    merit = np.where(peak, middle - OCTAVE_COST * np.log2(lags[1:-1] / lags[1]), -1)
    rows, best = np.arange(len(merit)), merit.argmax(axis=1)
    a, b, c = (part[rows, best] for part in (before, middle, after))
    bend = np.where(peak[rows, best], a - 2 * b + c, -1)  # parabola through the three highest
    f0 = RATE_HZ / (lags[1:-1][best] + 0.5 * (a - c) / bend)
    voiced = peak[rows, best] & (b > VOICED) & (power > QUIET * power.max())
    around = np.lib.stride_tricks.sliding_window_view(
        np.pad(np.where(voiced, f0, np.nan), 2, constant_values=np.nan), 5
    )
    smooth = np.zeros(len(f0))
    smooth[voiced] = np.nanmedian(around[voiced], axis=1)
    return Pitch(smooth, np.arange(len(f0)) * step / RATE_HZ)


def repitch(
    wave: Float[ndarray, " sample"], found: Pitch, f0_hz: Float[ndarray, " time"]
) -> Float[ndarray, " sample"]:
    """Return the wave with another F0 at the times of `found`; 0 leaves the sound as it is.

    Windows of two periods, centred on the loudest moment of each period, are laid anew at the
    distances of the new F0 (pitch-synchronous overlap and add): what one period sounds like, and so
    the spectrum, stays. With `pitch(wave).f0_hz` itself it makes nearly the same sound: the control
    for what the change does besides. Raises ValueError for another number of values than `found`
    has.
    """
    if len(f0_hz) != len(found.f0_hz):
        raise ValueError(f"f0_hz has {len(f0_hz)} values, expected {len(found.f0_hz)}")
    wave = np.asarray(wave, dtype=np.float32)
    changed = (found.f0_hz > 0) & (f0_hz > 0)
    laid, weight = np.zeros((2, len(wave)))
    voiced = np.zeros(len(wave))
    edges = np.flatnonzero(np.diff(np.pad(changed.astype(int), 1))).reshape(-1, 2)
    step = round(STEP_S * RATE_HZ)
    for first, stop in edges.tolist():
        start, end = first * step, min(stop * step, len(wave))
        at = np.arange(first, stop) * step
        old, new = (RATE_HZ / f[first:stop] for f in (found.f0_hz, f0_hz))
        marks = _period_marks(wave, start, end, at, old)
        place = float(marks[0])
        while place < end:
            mark = marks[np.abs(marks - place).argmin()]
            half = int(np.interp(mark, at, old))
            near, centre = int(mark) - half, round(place) - half
            # What would reach over an end of the wave is cut off at both places alike.
            low = max(0, -near, -centre)
            high = min(2 * half, len(wave) - near, len(wave) - centre)
            window = np.hanning(2 * half + 1)[low:high]
            laid[centre + low : centre + high] += window * wave[near + low : near + high]
            weight[centre + low : centre + high] += window
            place += np.interp(place, at, new)
        voiced[start:end] = 1
    fade = np.hanning(step)
    voiced = np.convolve(voiced, fade / fade.sum(), mode="same")
    # Windows that overlap more than twice would make the sound louder.
    return (voiced * laid / np.maximum(weight, 1) + (1 - voiced) * wave).astype(np.float32)


def acoustics(items: Items, utterances: Sequence[Utterance]) -> dict[str, Float[ndarray, "1 i c"]]:
    """Return the cues of each item as models of one layer: (1, item, column).

    "duration": the logarithm of its seconds. "intensity": dB above the mean of its utterance.
    "F0": semitones above the median of its utterance, at the middles of four equal parts. "tilt":
    dB of what lies above 1 kHz over what lies below. Raises ValueError for an item whose utterance
    is not among `utterances`.
    """
    of = {u.id: u for u in utterances}
    if lost := sorted(set(items.utterances) - set(of)):
        raise ValueError(
            f"items of {len(lost)} utterances that were not given, first {str(lost[0])!r}"
        )
    waves = {name: of[name].wave for name in set(items.utterances)}
    pitches = {name: pitch(wave) for name, wave in waves.items()}
    rows: dict[str, list] = {cue: [] for cue in CUES}
    for name, start_s, end_s in zip(items.utterances, items.start_s, items.end_s, strict=True):
        wave = waves[name]
        part = wave[round(start_s * RATE_HZ) : round(end_s * RATE_HZ)]
        rows["duration"].append([np.log(end_s - start_s)])
        loud, usual = (float((w**2).mean()) for w in (part, wave))
        rows["intensity"].append([_decibel(loud, usual)])
        middles = (np.arange(CONTOUR_POINTS) + 0.5) / CONTOUR_POINTS
        rows["F0"].append(pitches[name].semitones(start_s + middles * (end_s - start_s)))
        rows["tilt"].append([spectral_tilt(part)])
    return {cue: np.array(values, dtype=np.float32)[None] for cue, values in rows.items()}


def target_syllables(utterances: Sequence[Utterance]) -> list[Utterance]:
    """Return the utterances with the syllables of their target word (`info["target"]`) alone."""
    found = []
    for u in utterances:
        word = u.words[u.info["target"]]
        inside = tuple(s for s in u.syllables if word.start_s <= _middle_s(s) < word.end_s)
        found.append(replace(u, syllables=inside))
    return found


def vowels_of(items: Items, utterances: Sequence[Utterance]) -> Shaped[ndarray, " item"]:
    """Return the label of the first vowel in each item. Raises ValueError where there is none."""
    return np.array([vowel.label for _, vowel in _first_vowels(items, utterances)])


def vowel_formants(items: Items, utterances: Sequence[Utterance]) -> Float[ndarray, "1 i 3"]:
    """Return F1, F2 and F3 of the first vowel in each item, as a model of one layer.

    In semitones above the speaker's mean over the items, because mouths differ in length; 0 where
    Praat finds none. Raises ValueError for an item without a vowel, ImportError without
    praat-parselmouth.
    """
    hz = []
    for utterance, vowel in _first_vowels(items, utterances):
        highest_hz = 5500.0 if utterance.sex == "f" else 5000.0
        hz.append(formants(utterance.wave, [vowel], highest_hz=highest_hz)[0])
    height = 12 * np.log2(np.array(hz))
    for speaker in np.unique(items.speakers):
        own = items.speakers == speaker
        height[own] -= np.nanmean(height[own], axis=0)
    return np.nan_to_num(height).astype(np.float32)[None]


def spectral_tilt(wave: Float[ndarray, " sample"]) -> float:
    """Return the power above 1 kHz over the power between 50 Hz and 1 kHz, in dB.

    A voice with more effort has more of its power high: the glottis closes faster.
    """
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))) ** 2
    hz = np.fft.rfftfreq(len(wave), 1 / RATE_HZ)
    low = (hz >= 50) & (hz < TILT_HZ)
    return _decibel(float(spectrum[hz >= TILT_HZ].sum()), float(spectrum[low].sum()))


def together(*features: Float[ndarray, "_layer item _unit"]) -> Float[ndarray, "layer item both"]:
    """Return features side by side; those of one layer stand beside every layer of the others."""
    layers = max(len(f) for f in features)
    wide = [np.broadcast_to(f, (layers, *f.shape[1:])) for f in features]
    return np.concatenate(wide, axis=2)


def _period_marks(
    wave: Float[ndarray, " sample"],
    start: int,
    end: int,
    at: Int[ndarray, " time"],
    period: Float[ndarray, " time"],
) -> Int[ndarray, " mark"]:
    """Return the loudest sample of each period from `start` to `end`."""
    loud = np.abs(wave)
    length = int(period[0])
    marks = [start + int(loud[start : start + length].argmax())]
    while True:
        length = np.interp(marks[-1], at, period)
        low, high = (round(marks[-1] + share * length) for share in (0.85, 1.15))
        if high >= min(end, len(wave)):
            return np.array(marks)
        # The same sign as before: the highest peak and the deepest trough may change places.
        sign = np.sign(wave[marks[-1]]) or 1.0
        marks.append(low + int((sign * wave[low : high + 1]).argmax()))


def _first_vowels(
    items: Items, utterances: Sequence[Utterance]
) -> list[tuple[Utterance, Interval]]:
    """Return the utterance and the first vowel of each item."""
    of, found = {u.id: u for u in utterances}, []
    for name, start_s, end_s in zip(items.utterances, items.start_s, items.end_s, strict=True):
        inside = [p for p in of[name].phones if start_s <= _middle_s(p) < end_s]
        vowel = next((p for p in inside if p.label in VOWELS), None)
        if vowel is None:
            labels = [p.label for p in inside]
            raise ValueError(f"{name}: no vowel from {start_s:.3f} to {end_s:.3f} s, only {labels}")
        found.append((of[name], vowel))
    return found


def _middle_s(interval: Interval) -> float:
    return (interval.start_s + interval.end_s) / 2


def _decibel(power: float, reference: float) -> float:
    return float(10 * np.log10(max(power, 1e-12) / max(reference, 1e-12)))


def _autocorrelation(frames: Float[ndarray, "frame sample"]) -> Float[ndarray, "frame lag"]:
    spectrum = np.fft.rfft(frames, n=2 * frames.shape[1])
    return np.fft.irfft(np.abs(spectrum) ** 2)
