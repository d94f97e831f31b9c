"""The subset `continua`: eleven steps from [l] to [r] and from [ih] to [eh], morphed with WORLD.

Along a continuum nothing changes but the envelope of the spectrum: durations and F0 are the same
at every step. The [l]-[r] core is the same sound in all four contexts, which differ in what is
spliced before it: what a model makes of a step can differ between contexts by the context only.
"""

import hashlib
import pickle

import numpy as np
from tqdm import tqdm

from training.corpus import pack, world
from training.corpus.items import Item
from training.corpus.speech import RATE_HZ, Segment, Speech
from training.corpus.voices import speak_all

STEPS = 11
VOICES = ("slt-flite", "joe-piper", "rms-flite")
#: rms says both vowels with nearly the same F1, so it has no continuum between them.
VOWEL_VOICES = ("slt-flite", "joe-piper")
#: Context before [l]/[r] + IH: which of the two may follow it at the start of an English word.
ONSETS = {"": "LR", "S": "L", "T": "R", "V": ""}
#: Consonants around [ih]/[eh]: which of the two makes a word of English.
FRAMES = {
    ("B", "D"): ("IH", "EH"),  # bid, bed
    ("F", "SH"): ("IH",),  # fish
    ("D", "TH"): ("EH",),  # death
    ("K", "F"): (),
}
VERSION = 1


def rows(cache):
    """The rows of both continua in every voice; `info` holds the formants that Praat measures."""
    cache.mkdir(parents=True, exist_ok=True)
    for voice in tqdm(VOICES, "continua", unit="voice"):
        for continuum in (consonants, vowels)[: 1 + (voice in VOWEL_VOICES)]:
            for item, speech in continuum(voice, cache):
                words, tiers = speech.words, (speech.phones, speech.syllables)
                yield pack.row(item, pack.level(speech.wave, speech.phones), words, *tiers, {})


def consonants(voice, cache):
    """(item, speech): [l] to [r] before IH after nothing, S, T and V."""
    spoken = _spoken(voice, ["L IH", "R IH", *(f"{c} IH" for c in ONSETS if c)], cache)
    left, right = spoken["L IH"], spoken["R IH"]
    cores = list(_morphs(left, right, first=1))
    formants = [_formants(wave, phones[1]) for wave, phones in cores]
    for onset, legal in ONSETS.items():
        for step, (wave, phones) in enumerate(cores):
            if onset:
                wave, phones = _spliced(spoken[f"{onset} IH"], wave, phones)
            info = _info("l-r", onset, "L", "R", tuple(legal), step, formants[step], "f3_hz")
            yield _row(voice, info, wave, phones)


def vowels(voice, cache):
    """(item, speech): IH to EH in four frames of consonants."""
    shapes = [f"{a} {v} {b}" for a, b in FRAMES for v in ("IH", "EH")]
    spoken = _spoken(voice, shapes, cache)
    for (a, b), legal in FRAMES.items():
        left, right = spoken[f"{a} IH {b}"], spoken[f"{a} EH {b}"]
        for step, (wave, phones) in enumerate(_morphs(left, right, first=2)):
            formants = _formants(wave, phones[2])
            info = _info("ih-eh", f"{a} _ {b}", "IH", "EH", legal, step, formants, "f1_hz")
            yield _row(voice, info, wave, phones)


def _info(continuum, context, left, right, legal, step, formants, parameter):
    return {
        "continuum": continuum,
        "context": context,
        "step": step,
        "from": left,
        "to": right,
        "legal": list(legal),
        "parameter": parameter,
        **{f"f{k}_hz": round(float(f)) for k, f in enumerate(formants, 1)},
    }


def _row(voice, info, wave, phones):
    """The item and the speech of one step; the nearer end gives the phone its label."""
    target = next(i for i, p in enumerate(phones) if p.label == info["from"])
    if info["step"] > STEPS // 2:
        phones = [
            *phones[:target],
            phones[target]._replace(label=info["to"]),
            *phones[target + 1 :],
        ]
    sounding = [p for p in phones if p.label != "SIL"]
    text = "".join(p.label for p in sounding).lower()
    place = info["context"].replace(" _ ", "-").lower() or "alone"
    item = Item(
        id=f"continua-{voice}-{info['continuum']}-{place}-{info['step']:02d}",
        subset="continua",
        text=text,
        voice=voice,
        info=info | {"target_phone": target},
    )
    word = Segment(text, sounding[0].start_s, sounding[-1].end_s)
    return item, Speech(wave, [word], phones, [word._replace(label="1")])


def _spoken(voice, shapes, cache):
    """Each shape ("D EH S K") as the voice says it alone, trimmed."""
    key = hashlib.sha256(repr((VERSION, voice, shapes)).encode()).hexdigest()[:24]
    path = cache / f"{key}.pickle"
    if not path.exists():
        invented = {
            f"{shape.replace(' ', '').lower()}qc": " ".join(
                p.lower() + ("1" if p in ("IH", "EH", "AE") else "") for p in shape.split()
            )
            for shape in shapes
        }
        said = [f"{word}." for word in invented]
        speeches = speak_all(said, voice, rate=0.85, pronunciations=invented)
        trimmed = [Speech(*pack.trim(speech)[:4]) for speech in speeches]
        for shape, speech in zip(shapes, trimmed, strict=True):
            sounds = " ".join(p.label for p in speech.phones if p.label != "SIL")
            if sounds != shape:
                raise ValueError(f"{voice} says {sounds} for {shape}")
        path.write_bytes(pickle.dumps(dict(zip(shapes, trimmed, strict=True))))
    return pickle.loads(path.read_bytes())


def _morphs(left, right, first):
    """The waves and phones of all steps, from phone number `first` on; before it all is as left.

    The times are half-way between the two, F0 and aperiodicity those of the left.
    """
    ends = [
        [p.start_s for p in speech.phones] + [speech.phones[-1].end_s] for speech in (left, right)
    ]
    edges = np.mean(ends, axis=0)
    count = int(edges[-1] / world.FRAME_S)
    times_s = np.arange(count) * world.FRAME_S
    warped = []
    for speech, own in zip((left, right), ends, strict=True):
        parts = world.analyse(speech.wave)
        warped.append(world.stretch(parts, np.interp(times_s, edges, own) / world.FRAME_S))
    (f0, one, aperiodicity), (_, other, _) = warped
    # The morph fades in over 30 ms before the phone: the closure of a stop is not morphed.
    share = np.interp(times_s, [edges[first] - 0.03, edges[first]], [0, 1])
    phones = [
        Segment(p.label, a, b) for p, a, b in zip(left.phones, edges[:-1], edges[1:], strict=True)
    ]
    for step in range(STEPS):
        ratio = share[:, None] * step / (STEPS - 1)
        envelope = world.morph(one, other, ratio)
        wave = world.synthesise(f0, envelope, aperiodicity)
        length_s = len(wave) / RATE_HZ
        yield wave, [*phones[:-1], phones[-1]._replace(end_s=length_s)]


def _spliced(carrier, core, phones):
    """The first consonant of `carrier` before the core, with a cross-fade of 10 ms."""
    cut_s = carrier.phones[1].end_s
    begin_s = phones[1].start_s
    fade = round(0.01 * RATE_HZ)
    head = carrier.wave[: round(cut_s * RATE_HZ) + fade // 2].copy()
    tail = core[round(begin_s * RATE_HZ) - fade // 2 :].copy()
    head *= _loudness(core, phones[2]) / _loudness(carrier.wave, carrier.phones[2])
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    tail[:fade] = head[-fade:] * ramp[::-1] + tail[:fade] * ramp
    wave = np.concatenate([head[:-fade], tail])
    shift_s = cut_s - begin_s
    moved = [Segment(p.label, p.start_s + shift_s, p.end_s + shift_s) for p in phones[1:]]
    moved[-1] = moved[-1]._replace(end_s=len(wave) / RATE_HZ)
    return wave, [*carrier.phones[:2], *moved]


def _loudness(wave, phone):
    piece = wave[round(phone.start_s * RATE_HZ) : round(phone.end_s * RATE_HZ)]
    return np.sqrt(np.mean(piece**2))


def _formants(wave, phone):
    """F1, F2, F3 as Praat measures them, the medians over the middle third of the phone."""
    import parselmouth

    sound = parselmouth.Sound(wave.astype(np.float64), RATE_HZ)
    tracked = sound.to_formant_burg(maximum_formant=5200.0, time_step=0.005)
    third_s = (phone.end_s - phone.start_s) / 3
    times_s = np.linspace(phone.start_s + third_s, phone.end_s - third_s, 9)
    return [np.nanmedian([tracked.get_value_at_time(k, t) for t in times_s]) for k in (1, 2, 3)]
