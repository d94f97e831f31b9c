"""What the chapter on prosody says, computed again."""

from functools import cache

import numpy as np

from refutation.claims import Claim, Variation
from speech_interp import load_corpus, load_model
from speech_interp.methods.probing import classify, grouped_folds
from speech_interp.speech.corpus import Utterance
from speech_interp.states.features import mfcc
from speech_interp.states.items import Items, collect, mixed_leads
from speech_interp.statistics.predictions import matthews
from speech_interp.studies.articulators import one_hot
from speech_interp.studies.prosody import (
    VOWELS,
    acoustics,
    target_syllables,
    together,
    vowels_of,
)

NAMES = {
    "HuBERT": "facebook/hubert-base-ls960",
    "wav2vec2": "facebook/wav2vec2-base",
    "CTC": "facebook/wav2vec2-base-960h",
    "Whisper": "openai/whisper-tiny.en",
}
TONE_LAYER = 2  # of Whisper, as on the page
LEFT_OUT = ("new", "tea", "bee", "da")


def spoken_words() -> list[Utterance]:
    corpus = [u for u in load_corpus("stress_pairs") if u.speaker != "joe"]
    spoken = {(u.speaker, u.info["pair"], u.info["reading"]): u for u in corpus}
    speakers, pairs = (sorted({key[k] for key in spoken}) for k in (0, 1))
    turn = {key: (speakers.index(key[0]) + pairs.index(key[1])) % 3 for key in spoken}
    return target_syllables([u for key, u in spoken.items() if turn[key]])


def spoken_tones() -> list[Utterance]:
    corpus = [u for u in load_corpus("tones") if u.speaker != "joe" and u.text not in LEFT_OUT]
    spoken = {(u.speaker, u.text, u.info["tone"]): u for u in corpus}
    speakers, texts = (sorted({key[k] for key in spoken}) for k in (0, 1))
    turn = {key: speakers.index(key[0]) + texts.index(key[1]) for key in spoken}
    return [spoken[key] for key in turn if turn[key] % 4 == 0]


@cache
def items_of(name: str, twin_seed: int = 0, lead_s: float = 0.0) -> Items:
    """The syllables of the words; of the two Whispers the vowels of the tones."""
    source = name.removeprefix("twin of ")
    options = {"random_init": True, "seed": twin_seed} if source != name else {}
    model = mfcc if name == "MFCC" else load_model(NAMES[source], **options)
    if source == "Whisper":
        tones = spoken_tones()
        moments_s = lead_s + mixed_leads(tones)
        chosen = {"keep": lambda phone: phone.label in VOWELS, "lead_s": moments_s}
        return collect(model, tones, progress=False, **chosen)
    words = spoken_words()
    return collect(model, words, "syllables", lead_s=mixed_leads(words), progress=False)


def both_syllables(states: np.ndarray) -> np.ndarray:
    return together(states[:, ::2], states[:, 1::2])


def stress_score(states: np.ndarray, variation: Variation) -> np.ndarray:
    """MCC by layer of a probe of both syllables, for the chosen speakers and words."""
    every = items_of("MFCC")
    chosen = np.flatnonzero(variation.keeps(every.speakers[::2], every.texts[::2]))
    stress = every.labels[::2][chosen]
    folds = folds_of(every.speakers[::2][chosen], every.texts[::2][chosen], variation)
    return classify(both_syllables(states)[:, chosen], stress, folds).score(matthews)


def folds_of(speakers: np.ndarray, texts: np.ndarray, variation: Variation) -> list:
    """Three by three, as on the page; two by two where there are three speakers or fewer."""
    folds = 3 if len(set(speakers)) > 3 else 2
    return grouped_folds(speakers, texts, folds=folds, seed=variation.fold_seed)


def vowels_and_cues(variation: Variation) -> tuple[float, float, np.ndarray]:
    """The score of the vowels, of the cues, and both as features."""
    words, every = spoken_words(), items_of("MFCC")
    vowels = one_hot(vowels_of(every, words))
    cues = together(*acoustics(every, words).values())
    alone = (float(stress_score(x, variation)[0]) for x in (vowels, cues))
    return (*alone, together(vowels, cues))


def tone_over_twin(variation: Variation) -> tuple[bool, float]:
    scores = []
    for name in ("Whisper", "twin of Whisper"):
        items = items_of(name, variation.twin_seed if "twin" in name else 0, variation.lead_s)
        tone = np.array([name.rsplit("-", 1)[1] for name in items.utterances])
        chosen = np.flatnonzero(variation.keeps(items.speakers, items.texts))
        if variation.speakers or variation.sentences:
            # Each voice says a few of the syllables: half of them in a grid leave folds empty.
            folds = grouped_folds(items.speakers[chosen], folds=3, seed=variation.fold_seed)
        else:
            folds = folds_of(items.speakers[chosen], items.texts[chosen], variation)
        probe = classify(items.states[[TONE_LAYER]][:, chosen], tone[chosen], folds)
        scores.append(probe.score(matthews)[0])
    return scores[0] - scores[1] > 0.1, scores[0] - scores[1]


def vowels_before_cues(variation: Variation) -> tuple[bool, float]:
    vowels, cues, _ = vowels_and_cues(variation)
    return vowels > cues, vowels - cues


def nothing_beyond(variation: Variation) -> tuple[bool, float]:
    baseline = vowels_and_cues(variation)[2]
    base = stress_score(baseline, variation)[0]
    gains = [
        stress_score(together(baseline, items_of(name).states), variation).max() - base
        for name in ("HuBERT", "wav2vec2", "CTC")
    ]
    return max(gains) < 0.1, max(gains)


def trained_over_twin(variation: Variation) -> tuple[bool, float]:
    twin = stress_score(items_of("twin of wav2vec2", variation.twin_seed).states, variation)
    gaps = [
        (stress_score(items_of(name).states, variation) - twin).min()
        for name in ("HuBERT", "wav2vec2")
    ]
    return min(gaps) > 0, min(gaps)


def stress_falls_at_the_top(variation: Variation) -> tuple[bool, float]:
    score = stress_score(items_of("CTC").states, variation)
    fall = score[-4:-1].mean() - score[-1]
    return fall > 0, fall


HALVES = ("fold_seed", "speakers", "sentences")
CLAIMS = [
    Claim(
        "Whisper's layer 2 tells four tones apart better than its untrained twin, by 0.1 or more.",
        "difference in MCC", "above 0.1", tone_over_twin, (*HALVES, "twin_seed", "lead_s"),
    ),
    Claim(
        "The names of two vowels tell which syllable is stressed better than duration, intensity, "
        "F0 and tilt together.", "difference in MCC", "above 0", vowels_before_cues, HALVES,
    ),
    Claim(
        "No layer of three models adds much to vowels and cues.",
        "the largest gain in MCC over models and layers", "below 0.1", nothing_beyond, HALVES,
    ),
    Claim(
        "Every layer of HuBERT and wav2vec 2.0 reads stress better than an untrained twin.",
        "the smallest difference in MCC over layers", "above 0", trained_over_twin,
        (*HALVES, "twin_seed"),
    ),
    Claim(
        "Fine-tuning for letters loses stress at the top: the last layer holds less than the mean "
        "of the three before it.", "difference in MCC", "above 0", stress_falls_at_the_top, HALVES,
    ),
]  # fmt: skip
