"""Cues of stress and tone are measured rightly: planted sounds, the corpus' own truth, Praat."""

import numpy as np
import pytest
from scipy.signal import lfilter

from speech_interp.speech.audio import AudioError
from speech_interp.speech.corpus import Interval, Utterance, load_corpus
from speech_interp.states.features import mfcc
from speech_interp.states.items import collect
from speech_interp.studies.prosody import (
    CUES,
    acoustics,
    pitch,
    repitch,
    spectral_tilt,
    target_syllables,
    together,
    vowel_formants,
    vowels_of,
)

RATE_HZ = 16_000
TIMES_S = np.arange(RATE_HZ) / RATE_HZ


def voice(f0_hz, *, slope=1.0, seconds=1.0):
    """Twelve harmonics of a pitch that may move; harmonic k is 1 / k**slope as high as the first.

    The second is made louder than the first: whoever takes the loudest for the pitch is wrong.
    """
    f0 = np.broadcast_to(f0_hz, int(seconds * RATE_HZ))
    phase = 2 * np.pi * np.cumsum(f0) / RATE_HZ
    height = {k: (3.0 if k == 2 else 1.0) / k**slope for k in range(1, 13)}
    wave = sum(a * np.sin(k * phase + k) for k, a in height.items())
    return (0.1 * wave / np.abs(wave).max()).astype(np.float32)


@pytest.mark.parametrize("f0_hz", [75.0, 120.0, 233.0, 380.0])
def test_a_steady_pitch_is_found(f0_hz):
    found = pitch(voice(f0_hz)).f0_hz[5:-5]
    np.testing.assert_allclose(found, f0_hz, rtol=0.005)


def test_a_moving_pitch_is_followed():
    truth = 150 * 2 ** (np.sin(2 * np.pi * TIMES_S) / 3)
    found = pitch(voice(truth))
    inside = slice(5, -5)
    expected = np.interp(found.times_s[inside], TIMES_S, truth)
    np.testing.assert_allclose(found.f0_hz[inside], expected, rtol=0.01)


def test_noise_and_silence_have_no_pitch():
    noise = np.random.default_rng(0).normal(size=RATE_HZ).astype(np.float32)
    assert (pitch(noise).f0_hz > 0).mean() < 0.02
    assert not pitch(np.zeros(RATE_HZ, np.float32)).f0_hz.any()
    assert not pitch(np.zeros(RATE_HZ, np.float32)).semitones(np.array([0.1, 0.2])).any()


def test_the_pitch_of_the_corpus_is_that_which_it_was_made_with():
    spoken = load_corpus("tones")[::16]
    off = []
    for u in spoken:
        vowel, track, found = u.phones[-2], u.tracks["f0"], pitch(u.wave)
        at_s = np.linspace(vowel.start_s + 0.05, vowel.end_s - 0.05, 8)
        truth = np.interp(at_s, np.arange(len(track.values)) / track.rate_hz, track.values)
        here = np.array([found.f0_hz[np.abs(found.times_s - t).argmin()] for t in at_s])
        both = (truth > 0) & (here > 0)
        off += list(np.abs(12 * np.log2(here[both] / truth[both])))
    assert len(off) > 0.8 * 8 * len(spoken)
    assert np.median(off) < 0.15 and np.mean(np.array(off) < 1) > 0.97


def test_the_pitch_is_that_of_praat():
    parselmouth = pytest.importorskip("parselmouth", reason="praat-parselmouth is not installed")
    off = []
    for u in load_corpus("stress_pairs")[::40]:
        sound = parselmouth.Sound(u.wave.astype(float), RATE_HZ)
        theirs = sound.to_pitch_ac(0.01, 60, pitch_ceiling=400)
        ours = pitch(u.wave)
        for t, f0 in zip(ours.times_s, ours.f0_hz, strict=True):
            other = theirs.get_value_at_time(t)
            if f0 > 0 and other > 0:
                off.append(abs(12 * np.log2(f0 / other)))
    assert len(off) > 500
    assert np.median(off) < 0.15 and np.mean(np.array(off) < 1) > 0.95


def test_limits_and_waves_that_make_no_sense_are_named():
    with pytest.raises(ValueError, match=r"0 < low_hz < high_hz, got 300 and 200"):
        pitch(voice(100.0), low_hz=300, high_hz=200)
    with pytest.raises(AudioError):
        pitch(np.full(RATE_HZ, np.nan, np.float32))


def test_tilt_follows_the_slope_of_the_spectrum():
    tilts = [spectral_tilt(voice(200.0, slope=slope)) for slope in (0.5, 1.0, 2.0)]
    assert tilts == sorted(tilts, reverse=True)
    # 4 harmonics below 1 kHz, the fifth lies on it: powers are 1 / k**2, the second nine times that
    low, high = 1 + 9 / 4 + 1 / 9 + 1 / 16, sum(k**-2.0 for k in range(5, 13))
    assert spectral_tilt(voice(200.5)) == pytest.approx(10 * np.log10(high / low), abs=0.1)


def planted():
    """Two syllables: the first short, soft and low, the second long, loud and an octave higher."""
    sound = np.concatenate([voice(100.0, seconds=0.2), 4 * voice(200.0, seconds=0.4)])
    parts = (Interval("0", 0.0, 0.2), Interval("1", 0.2, 0.6))
    return Utterance(id="planted", text="da daa", speaker="s", syllables=parts, audio=sound)


def test_cues_are_those_that_were_planted():
    spoken = [planted()]
    items = collect(mfcc, spoken, "syllables", progress=False)
    cues = acoustics(items, spoken)
    assert tuple(cues) == CUES
    assert {name: c.shape for name, c in cues.items()} == {
        "duration": (1, 2, 1), "intensity": (1, 2, 1), "F0": (1, 2, 4), "tilt": (1, 2, 1),
    }  # fmt: skip
    np.testing.assert_allclose(cues["duration"][0, :, 0], np.log([0.2, 0.4]), rtol=1e-5)
    gap_db = cues["intensity"][0, 1, 0] - cues["intensity"][0, 0, 0]
    assert gap_db == pytest.approx(20 * np.log10(4), abs=0.2)
    assert (cues["F0"][0, 1] - cues["F0"][0, 0])[1:3] == pytest.approx([12, 12], abs=0.2)


def test_items_of_other_utterances_are_refused():
    items = collect(mfcc, [planted()], "syllables", progress=False)
    with pytest.raises(ValueError, match="1 utterances that were not given, first 'planted'"):
        acoustics(items, [])


def test_what_stands_beside_every_layer_is_the_same_in_all():
    rng = np.random.default_rng(0)
    layers, one, two = rng.normal(size=(3, 5, 2)), *rng.normal(size=(2, 1, 5, 3))
    both = together(one, layers, two)
    assert both.shape == (3, 5, 8)
    for k in range(3):
        assert (both[k] == np.concatenate([one[0], layers[k], two[0]], axis=1)).all()


MOVING = 150 * 2 ** (np.sin(2 * np.pi * TIMES_S) / 3)  # between 119 and 189 Hz


@pytest.mark.parametrize("target_hz", [110.0, 150.0, 200.0])
def test_a_flattened_pitch_is_flat(target_hz):
    wave = voice(MOVING)
    found = pitch(wave)
    flat = pitch(repitch(wave, found, np.full(len(found.f0_hz), target_hz))).f0_hz[10:-10]
    np.testing.assert_allclose(flat, target_hz, rtol=0.01)
    assert np.ptp(found.f0_hz[10:-10]) > 50


def test_a_shifted_pitch_keeps_its_contour():
    wave = voice(MOVING)
    found = pitch(wave)
    higher = pitch(repitch(wave, found, found.f0_hz * 2 ** (3 / 12)))
    steps = 12 * np.log2(higher.f0_hz[10:-10] / found.f0_hz[10:-10])
    np.testing.assert_allclose(steps, 3, atol=0.3)


def test_its_own_pitch_leaves_the_sound_nearly_as_it_was():
    """The periods may move by a part of one; what is heard, spectrum and pitch, must not."""
    wave = voice(MOVING)
    found = pitch(wave)
    same, other = (repitch(wave, found, f * found.f0_hz) for f in (1.0, 1.3))
    inside = slice(10, -10)
    np.testing.assert_allclose(pitch(same).f0_hz[inside], found.f0_hz[inside], rtol=0.01)
    before, near, far = (mfcc(w).values[0, 5:-5, :13].numpy() for w in (wave, same, other))
    assert np.abs(near - before).mean() < 0.5 * np.abs(far - before).mean()
    assert same[1600:-1600].std() == pytest.approx(wave[1600:-1600].std(), rel=0.1)


def test_without_voice_nothing_changes():
    noise = np.random.default_rng(0).normal(scale=0.1, size=RATE_HZ).astype(np.float32)
    found = pitch(noise)
    np.testing.assert_array_equal(repitch(noise, found, np.zeros(len(found.f0_hz))), noise)
    with pytest.raises(ValueError, match=r"f0_hz has 3 values, expected 101"):
        repitch(noise, found, np.zeros(3))


def test_a_flattened_tone_of_the_corpus_sounds_level():
    """F0 falls or rises by several semitones as spoken, and by next to none when flattened."""
    ranges = []
    for u in [u for u in load_corpus("tones") if u.info["tone"] in ("rising", "falling")][::12]:
        found = pitch(u.wave)
        flat = np.where(found.f0_hz > 0, np.median(found.f0_hz[found.f0_hz > 0]), 0)
        vowel = u.phones[-2]
        at_s = np.linspace(vowel.start_s + 0.05, vowel.end_s - 0.05, 6)
        waves = (u.wave, repitch(u.wave, found, flat))
        ranges.append([np.ptp(pitch(wave).semitones(at_s)) for wave in waves])
    before, after = np.array(ranges).T
    assert (after < before).all()
    assert np.median(before) > 4 and np.median(after) < 0.7


def test_the_two_syllables_of_the_target_and_their_vowels():
    spoken = [u for u in load_corpus("stress_pairs") if u.info["voice"] == "kal-flite"][:6]
    short = target_syllables(spoken)
    items = collect(mfcc, short, "syllables", progress=False)
    assert len(items) == 12
    stressed = [int(u.syllables[1].label == "1") for u in short]
    assert stressed == [u.info["stressed_syllable"] for u in spoken]
    words = {u.id: [p.label for p in u.phones] for u in spoken}
    vowels = vowels_of(items, short)
    assert list(vowels[:2]) == ["ER", "IH"]  # permit
    for name in words:
        own = vowels[items.utterances == name]
        place = words[name].index(own[0])
        assert own[1] in words[name][place + 1 :]


def test_an_item_without_a_vowel_is_named():
    spoken = load_corpus("stress_pairs")[:1]
    items = collect(mfcc, spoken, "phones", progress=False, keep=lambda p: p.label == "M")
    with pytest.raises(ValueError, match=r"noun: no vowel from .* only \['M'\]"):
        vowels_of(items, spoken)


def resonant(resonances_hz, seconds=0.4):
    """Pulses at 110 Hz through one resonator a formant."""
    wave = np.zeros(round(seconds * RATE_HZ))
    wave[:: RATE_HZ // 110] = 1
    wave, radius = lfilter([1], [1, -0.95], wave), np.exp(-np.pi * 80 / RATE_HZ)
    for hz in resonances_hz:
        wave = lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * hz / RATE_HZ), radius**2], wave)
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


def test_formants_are_those_planted_whatever_the_length_of_the_mouth():
    pytest.importorskip("parselmouth", reason="needs praat-parselmouth")
    planted_hz = np.array([[600, 1400, 2500, 3500, 4500], [400, 2000, 2700, 3500, 4500]])
    spoken = []
    for speaker, length in {"long": 1.0, "short": 1.08}.items():
        wave = np.concatenate([resonant(length * hz) for hz in planted_hz])
        vowels = (Interval("AH", 0.0, 0.4), Interval("IY", 0.4, 0.8))
        spoken.append(
            Utterance(
                id=speaker, text="", speaker=speaker, phones=vowels, syllables=vowels, audio=wave
            )
        )
    items = collect(mfcc, spoken, "syllables", progress=False)
    (found,) = vowel_formants(items, spoken)
    steps = 12 * np.log2(planted_hz[1, :3] / planted_hz[0, :3])
    np.testing.assert_allclose(found[1] - found[0], steps, atol=0.6)
    np.testing.assert_allclose(found[:2], found[2:], atol=0.6)  # the speakers differ no more
