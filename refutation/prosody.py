"""What the chapter on prosody says, computed again."""

from functools import cache

import numpy as np

from refutation.claims import Claim, Variation
from speech_interp import load_corpus, load_model
from speech_interp.methods.probing import classify, grouped_folds
from speech_interp.speech.corpus import Utterance
from speech_interp.states.features import mfcc
from speech_interp.states.items import Items, collect
from speech_interp.statistics.predictions import matthews
from speech_interp.studies.articulators import one_hot
from speech_interp.studies.prosody import (
    acoustics,
    target_syllables,
    together,
    vowel_formants,
    vowels_of,
)

NAMES = {
    "HuBERT": "facebook/hubert-base-ls960",
    "wav2vec2": "facebook/wav2vec2-base",
    "CTC": "facebook/wav2vec2-base-960h",
}


def spoken_words() -> list[Utterance]:
    corpus = [u for u in load_corpus("stress_pairs") if u.speaker != "joe"]
    spoken = {(u.speaker, u.info["pair"], u.info["reading"]): u for u in corpus}
    speakers, pairs = (sorted({key[k] for key in spoken}) for k in (0, 1))
    turn = {key: (speakers.index(key[0]) + pairs.index(key[1])) % 3 for key in spoken}
    return target_syllables([u for key, u in spoken.items() if turn[key]])


@cache
def items_of(name: str, twin_seed: int = 0) -> Items:
    """The syllables of the words."""
    source = name.removeprefix("twin of ")
    options = {"random_init": True, "seed": twin_seed} if source != name else {}
    model = mfcc if name == "MFCC" else load_model(NAMES[source], **options)
    return collect(model, spoken_words(), "syllables", progress=False)


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


@cache
def features() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Names of the vowels, four cues without formants, five with them."""
    words, every = spoken_words(), items_of("MFCC")
    four = together(*acoustics(every, words).values())
    vowels = one_hot(vowels_of(every, words))
    return vowels, four, together(four, vowel_formants(every, words))


def vowels_before_cues(variation: Variation) -> tuple[bool, float]:
    vowels, four, _ = features()
    gap = float(stress_score(vowels, variation)[0] - stress_score(four, variation)[0])
    return gap > 0, gap


def formants_beside_cues(variation: Variation) -> tuple[bool, float]:
    _, four, five = features()
    gap = float(stress_score(five, variation)[0] - stress_score(four, variation)[0])
    return gap > 0, gap


def nothing_beyond(variation: Variation) -> tuple[bool, float]:
    vowels, _, five = features()
    baseline = together(vowels, five)
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
        "The names of two vowels tell which syllable is stressed better than duration, intensity, "
        "F0 and tilt together.", "difference in MCC", "above 0", vowels_before_cues, HALVES,
    ),
    Claim(
        "Formants beside duration, intensity, F0 and tilt tell more of stress than these four.",
        "difference in MCC", "above 0", formants_beside_cues, HALVES,
    ),
    Claim(
        "No layer of three models adds much to vowels and five cues.",
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
