"""The subset `tones`: the same syllables on four pitch contours, re-pitched with WORLD."""

import hashlib
import pickle

import numpy as np
from tqdm import tqdm

from training.corpus import pack, world
from training.corpus.items import Item
from training.corpus.speech import RATE_HZ, Segment, Speech
from training.corpus.voices import speak_all

#: Semitones above the voice's own mean F0, at equal distances over the voiced part.
TONES = {
    "level": (3, 3, 3),
    "rising": (-3, -1, 4),
    "dipping": (-1, -5, 1),
    "falling": (5, 2, -5),
}
VOICES = (
    "kal-festival", "awb-flite", "rms-flite", "slt-flite", "slt-festival", "en-us-espeak",
    "f2-espeak", "joe-piper",
)  # fmt: skip
SYLLABLES = {
    "ma": "m aa1", "mee": "m iy1", "moo": "m uw1", "na": "n aa1", "knee": "n iy1", "new": "n uw1",
    "la": "l aa1", "lee": "l iy1", "ba": "b aa1", "bee": "b iy1", "da": "d aa1", "dee": "d iy1",
    "sa": "s aa1", "see": "s iy1", "ta": "t aa1", "tea": "t iy1",
}  # fmt: skip
VOWEL_S = 0.35  # as long in every voice
TRACK_HZ = 100
VERSION = 1


def rows(cache):
    """The rows of the subset. Every fourth syllable is for testing, in all voices and tones."""
    cache.mkdir(parents=True, exist_ok=True)
    bar = tqdm(total=len(VOICES) * len(SYLLABLES), desc="tones", unit="syllable")
    for voice in VOICES:
        sources = _spoken(voice, cache)
        analysed = [world.analyse(source.wave) for source in sources]
        f0 = np.concatenate([parts[0] for parts in analysed])
        mean_hz = np.exp(np.mean(np.log(f0[f0 > 0])))
        for number, (text, source) in enumerate(zip(SYLLABLES, sources, strict=True)):
            for tone, contour in TONES.items():
                item = Item(
                    id=f"tones-{voice}-{text}-{tone}",
                    subset="tones",
                    text=text,
                    voice=voice,
                    split="test" if number % 4 == 3 else "train",
                    info={"tone": tone, "syllable": text, "mean_f0_hz": round(float(mean_hz), 1)},
                )
                speech, tracks = repitched(source, analysed[number], contour, mean_hz)
                wave, words, phones, syllables, tracks = pack.trim(speech, tracks)
                words = [word._replace(label=text) for word in words]
                yield pack.row(item, pack.level(wave, phones), words, phones, syllables, tracks)
            bar.update()
    bar.close()


def _spoken(voice, cache):
    """The syllables as the voice says them, from the cache where they are there."""
    key = hashlib.sha256(repr((VERSION, voice, SYLLABLES)).encode()).hexdigest()[:24]
    path = cache / f"{key}.pickle"
    if not path.exists():
        invented = {f"{text}qt": phones for text, phones in SYLLABLES.items()}
        path.write_bytes(
            pickle.dumps(speak_all([f"{word}." for word in invented], voice, rate=0.8,
                                   pronunciations=invented))
        )  # fmt: skip
    return pickle.loads(path.read_bytes())


def repitched(source, parts, contour, mean_hz):
    """The syllable with a vowel of `VOWEL_S` and F0 on the contour, and the track of its F0."""
    onset, vowel = [p for p in source.phones if p.label != "SIL"]
    count = round(VOWEL_S / world.FRAME_S)
    start, end = vowel.start_s / world.FRAME_S, vowel.end_s / world.FRAME_S
    positions = np.concatenate(
        [np.arange(0, start), np.linspace(start, end, count), np.arange(end, len(parts[0]) - 1)]
    )
    f0, envelope, aperiodicity = world.stretch(parts, positions)
    begin = int(np.ceil(start))
    f0[: int(onset.start_s / world.FRAME_S)] = 0  # what was found in silence
    # A creaky end has no F0 to be found: it is voiced like what comes before it.
    vowel_frames = np.arange(begin, begin + count)
    periodic = vowel_frames[f0[vowel_frames] > 0]
    nearest = periodic[np.abs(np.subtract.outer(vowel_frames, periodic)).argmin(1)]
    aperiodicity[vowel_frames] = aperiodicity[nearest]
    f0[vowel_frames] = mean_hz
    f0[begin + count :] = 0
    voiced = np.flatnonzero(f0)
    place = (voiced - voiced[0]) / (voiced[-1] - voiced[0])
    semitones = np.interp(place, np.linspace(0, 1, len(contour)), contour)
    f0[voiced] = mean_hz * 2 ** (semitones / 12)
    wave = world.synthesise(f0, envelope, aperiodicity)
    vowel_s = (begin * world.FRAME_S, (begin + count) * world.FRAME_S)
    length_s = len(wave) / RATE_HZ
    phones = [
        Segment("SIL", 0.0, onset.start_s),
        Segment(onset.label, onset.start_s, vowel_s[0]),
        Segment(vowel.label, *vowel_s),
        Segment("SIL", vowel_s[1], length_s),
    ]
    word = Segment("", onset.start_s, vowel_s[1])
    track = np.round(f0[:: round(1 / TRACK_HZ / world.FRAME_S)], 1)
    speech = Speech(wave, [word], phones, [word._replace(label="1")])
    return speech, {"f0": (track, TRACK_HZ, "Hz")}
