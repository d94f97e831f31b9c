"""What the chapter on tone says, computed again, on other syllables and a longer window."""

from dataclasses import replace
from functools import cache

import numpy as np

from refutation.claims import Claim, NotApplicable, Variation
from speech_interp import load_corpus, load_model
from speech_interp.methods.probing import classify, grouped_folds
from speech_interp.speech.corpus import Utterance
from speech_interp.states.features import mfcc
from speech_interp.states.items import Items, collect, mixed_leads
from speech_interp.states.short_window import short_window
from speech_interp.statistics.predictions import matthews
from speech_interp.studies.prosody import VOWELS, pitch, repitch, together
from speech_interp.studies.recorded_tones import recorded_tones

SYLLABLES = 46  # the page has 36
WINDOW_S = 4.0  # the page has 2 s; the latest sound ends at 3.6 s
NAMES = {
    "MFCC": None,
    "English": ("openai/whisper-tiny.en", {}),
    "multilingual": ("openai/whisper-base", {"language": "zh"}),
}
LAYER = 2  # of the English Whisper, where no other is looked for
LEFT_OUT = ("new", "tea", "bee", "da")


@cache
def people() -> list[Utterance]:
    return recorded_tones(syllables=SYLLABLES)


def model_of(name: str, twin_seed: int):
    source = name.removeprefix("twin of ")
    if NAMES[source] is None:
        return mfcc
    checkpoint, options = NAMES[source]
    twin = {"random_init": True, "seed": twin_seed} if source != name else {}
    return load_model(checkpoint, **options, **twin)


def quarters(items: Items) -> np.ndarray:
    return together(*(items.states[:, q::4] for q in range(4)))


@cache
def states_of(name: str, twin_seed: int = 0, lead_s: float = 0.0) -> np.ndarray:
    """Four quarters of each recorded syllable, side by side."""
    moments_s = lead_s + mixed_leads(people(), longest_s=1.0)
    model = model_of(name, twin_seed)
    model = model if name == "MFCC" else short_window(model, window_s=WINDOW_S)
    return quarters(collect(model, people(), "syllables", lead_s=moments_s, progress=False))


def columns() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Speaker, syllable and tone of each sound."""
    rows = [(u.speaker, u.text, u.info["tone"]) for u in people()]
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def by_layer(name: str, group: str, variation: Variation) -> list[np.ndarray]:
    """The share of tones named rightly by layer, of each fold; `group`: "person" or "syllable"."""
    twin_seed = variation.twin_seed if "twin" in name else 0
    states = states_of(name, twin_seed, 0.0 if name == "MFCC" else variation.lead_s)
    speakers, texts, tones = columns()
    if len(set(speakers)) < 2:
        raise NotApplicable("needs the second person, whose recordings could not be fetched")
    if variation.speakers:
        raise NotApplicable("half of two people is one: nobody else to be tested")
    chosen = np.flatnonzero(variation.keeps(speakers, texts))
    groups = (speakers if group == "person" else texts)[chosen]
    folds = grouped_folds(groups, folds=2, seed=variation.fold_seed)
    return [classify(states[:, chosen], tones[chosen], [fold]).score() for fold in folds]


def new_syllables(name: str, variation: Variation) -> float:
    """The best layer: looked for, which does no harm where all are near one."""
    return float(np.mean(by_layer(name, "syllable", variation), axis=0).max())


def other_person(name: str, variation: Variation) -> float:
    """The mean of both directions, each at the layer that was best in the other direction."""
    a, b = by_layer(name, "person", variation)
    return float(a[b.argmax()] + b[a.argmax()]) / 2


def all_fall(variation: Variation) -> tuple[bool, float]:
    fall = min(new_syllables(name, variation) - other_person(name, variation) for name in NAMES)
    return fall > 0.2, fall


@cache
def named_alike(lead_s: float) -> np.ndarray:
    """Of the sounds of four syllables, layer 2: is the tone named as in a full window?"""
    _, texts, tones = columns()
    few = np.flatnonzero(np.isin(texts, np.unique(texts)[5::12]))
    rest = np.flatnonzero(~np.isin(np.arange(len(texts)), few))
    moments_s = lead_s + mixed_leads(people(), longest_s=1.0)[few]
    sounds = [people()[k] for k in few]
    full = collect(
        model_of("English", 0), sounds, "syllables", layers=[LAYER], lead_s=moments_s,
        progress=False,
    )  # fmt: skip
    both = np.concatenate([states_of("English", 0, lead_s)[[LAYER]], quarters(full)], axis=1)
    tests = [(rest, few), (rest, len(texts) + np.arange(len(few)))]
    named = classify(both, [*tones, *tones[few]], tests).predicted[0]
    return named[few] == named[len(texts) :]


def windows_agree(variation: Variation) -> tuple[bool, float]:
    alike = float(named_alike(variation.lead_s).mean())
    return alike > 0.85, alike


def multilingual_leads(variation: Variation) -> tuple[bool, float]:
    gap = other_person("multilingual", variation) - other_person("English", variation)
    return gap > 0, gap


def multilingual_over_twin(variation: Variation) -> tuple[bool, float]:
    gap = other_person("multilingual", variation) - other_person("twin of English", variation)
    return gap > 0.05, gap


def moving() -> list[int]:
    """The rising and falling tones of the shipped speaker."""
    tones = ("rising", "falling")
    return [k for k, u in enumerate(people()) if u.speaker == "5" and u.info["tone"] in tones]


@cache
def repitched(way: str, lead_s: float) -> np.ndarray:
    """Their states with periods laid where they were, or all at one distance."""
    sounds = []
    for u in (people()[k] for k in moving()):
        heard = pitch(u.wave, high_hz=600.0)
        middle = np.median(heard.f0_hz[heard.f0_hz > 0])
        new = heard.f0_hz if way == "own" else np.where(heard.f0_hz > 0, middle, 0)
        sounds.append(replace(u, audio=repitch(u.wave, heard, new)))
    moments_s = lead_s + mixed_leads(people(), longest_s=1.0)[moving()]
    model = short_window(model_of("English", 0), window_s=WINDOW_S)
    return quarters(
        collect(model, sounds, "syllables", layers=[LAYER], lead_s=moments_s, progress=False)
    )


def flat_loses(variation: Variation) -> tuple[bool, float]:
    speakers, texts, tones = columns()
    allowed = variation.keeps(speakers, texts)
    folds = grouped_folds(texts, folds=2, seed=variation.fold_seed)
    right = {}
    for way in ("own", "flat"):
        states = states_of("English", 0, variation.lead_s)[[LAYER]]
        both = np.concatenate([states, repitched(way, variation.lead_s)], axis=1)
        labels = np.concatenate([tones, tones[moving()]])
        tests = [
            (
                train[allowed[train]],
                len(tones) + np.flatnonzero(np.isin(moving(), test) & allowed[moving()]),
            )
            for train, test in folds
        ]
        right[way] = float(classify(both, labels, tests).score()[0])
    return right["own"] - right["flat"] > 0.1, right["own"] - right["flat"]


@cache
def made_items(name: str, twin_seed: int, lead_s: float) -> Items:
    """The vowels of syllables that differ in nothing but a contour of pitch made with WORLD."""
    corpus = [u for u in load_corpus("tones") if u.speaker != "joe" and u.text not in LEFT_OUT]
    spoken = {(u.speaker, u.text, u.info["tone"]): u for u in corpus}
    speakers, texts = (sorted({key[k] for key in spoken}) for k in (0, 1))
    turn = {key: speakers.index(key[0]) + texts.index(key[1]) for key in spoken}
    tones = [spoken[key] for key in turn if turn[key] % 4 == 0]
    moments_s = lead_s + mixed_leads(tones)
    chosen = {"keep": lambda phone: phone.label in VOWELS, "lead_s": moments_s}
    return collect(model_of(name, twin_seed), tones, progress=False, **chosen)


def made_tones_over_twin(variation: Variation) -> tuple[bool, float]:
    scores = []
    for name in ("English", "twin of English"):
        items = made_items(name, variation.twin_seed if "twin" in name else 0, variation.lead_s)
        tone = np.array([name.rsplit("-", 1)[1] for name in items.utterances])
        chosen = np.flatnonzero(variation.keeps(items.speakers, items.texts))
        speakers, texts = items.speakers[chosen], items.texts[chosen]
        # Each voice says a few of the syllables: half of them in a grid leave folds empty.
        half = variation.speakers or variation.sentences
        groups = (speakers,) if half else (speakers, texts)
        folds = grouped_folds(*groups, folds=3, seed=variation.fold_seed)
        probe = classify(items.states[[LAYER]][:, chosen], tone[chosen], folds)
        scores.append(float(probe.score(matthews)[0]))
    return scores[0] - scores[1] > 0.1, scores[0] - scores[1]


ENTERS = ("fold_seed", "sentences", "lead_s")
CLAIMS = [
    Claim(
        "An English and a multilingual Whisper, and MFCCs, name far fewer tones rightly when they "
        "are tested on another person than on new syllables of people in training.",
        "the smallest fall in accuracy", "above 0.2", all_fall, ENTERS,
    ),
    Claim(
        "From layer 2 of the English Whisper the tones of four syllables are named as in full "
        "windows of 30 s, by a probe that was trained on short ones.",
        "share named alike", "above 0.85", windows_agree, ("lead_s",),
    ),
    Claim(
        "On another person the multilingual Whisper names more tones rightly than the English one.",
        "difference in accuracy", "above 0", multilingual_leads, ENTERS,
    ),
    Claim(
        "On another person the multilingual Whisper names more tones rightly than an untrained "
        "twin of the English one.",
        "difference in accuracy", "above 0.05", multilingual_over_twin, (*ENTERS, "twin_seed"),
    ),
    Claim(
        "With their pitch made flat, fewer rising and falling tones of a person in training "
        "are named rightly from layer 2 of the English Whisper.",
        "loss in accuracy", "above 0.1", flat_loses, ENTERS,
    ),
    Claim(
        "On tones made with WORLD, which differ in pitch alone, layer 2 of the English Whisper is "
        "better than its untrained twin, on unseen voices and syllables.",
        "difference in MCC", "above 0.1", made_tones_over_twin,
        (*ENTERS, "speakers", "twin_seed"),
    ),
]  # fmt: skip
