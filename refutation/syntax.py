"""What the chapter on syntax says, computed again."""

from functools import cache

import numpy as np

from refutation.claims import Claim, NotApplicable, Variation
from speech_interp import load_corpus, load_model
from speech_interp.methods.probing import regress
from speech_interp.methods.rsa import compare_rdms
from speech_interp.methods.rsa_distances import condensed, difference_rdm, rdms
from speech_interp.methods.rsa_regression import partial_rsa
from speech_interp.states.items import collect, mixed_leads
from speech_interp.statistics.predictions import correlation
from speech_interp.studies import trees as syntax

VOICES = ["rms", "slt"]
NAMES = {"CTC": "facebook/wav2vec2-base-960h", "Whisper": "openai/whisper-tiny.en"}
TREES = syntax.sentence_trees()
TEXTS = np.array(list(TREES))
BARE = [syntax.without_words(tree) for tree in TREES.values()]
WORDS = [[word.lower() for word in tree.words] for tree in TREES.values()]


@cache
def utterances():
    return syntax.said_by(load_corpus("sentences"), VOICES)


@cache
def states_of(name: str, lead_s: float, twin_seed: int) -> np.ndarray:
    """The mean state of each utterance (layer, voice, sentence, unit)."""
    spoken, leads_s = utterances(), lead_s + mixed_leads(utterances())
    options = {"random_init": True, "seed": twin_seed} if name == "twin" else {}
    model = load_model(NAMES.get(name, NAMES["CTC"]), **options)
    x = collect(model, spoken, "utterance", lead_s=leads_s, progress=False).states
    return x.reshape(len(x), -1, len(TEXTS), x.shape[-1])


def kept(variation: Variation) -> tuple[np.ndarray, np.ndarray]:
    """Which of the voices and which of the sentences a variation keeps."""
    every = np.repeat(VOICES, len(TEXTS)), np.tile(TEXTS, len(VOICES))
    kept = variation.keeps(*every).reshape(len(VOICES), -1)
    return np.flatnonzero(kept.any(axis=1)), np.flatnonzero(kept.any(axis=0))


def chosen(name: str, variation: Variation) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States, which of the voices and which of the sentences they are of."""
    voices, at = kept(variation)
    if name == "parts of speech":
        counts = syntax.bag([BARE[k].words for k in at])[0]
        return np.repeat(counts[None, None], len(voices), axis=1), voices, at
    lead_s = variation.lead_s if name == "Whisper" else 0.0
    x = states_of(name, lead_s, variation.twin_seed if name == "twin" else 0)
    return x[:, voices][:, :, at], voices, at


def length_of(voices: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of words (voice, sentence) and seconds."""
    seconds = np.array([u.duration_s for u in utterances()]).reshape(len(VOICES), -1)
    count = np.array([len(row) for row in WORDS])[at]
    return np.tile(count, (len(voices), 1)), seconds[np.ix_(voices, at)]


def depth_beyond_length(name: str, variation: Variation) -> np.ndarray:
    """Pearson's r of each layer with what length does not explain of the depth."""
    x, voices, at = chosen(name, variation)
    if len(voices) < 2:
        raise NotApplicable("one voice: no other to train on")
    depth = np.tile([float(BARE[k].depth) for k in at], len(voices))
    count, seconds = length_of(voices, at)
    known = np.c_[np.ones(depth.size), count.ravel(), seconds.ravel()]
    beyond = depth - known @ np.linalg.lstsq(known, depth)[0]
    voice, sentence = np.repeat(voices, len(at)), np.tile(at, len(voices))
    folds = [
        (
            np.flatnonzero((sentence != k) & (voice != v)),
            np.flatnonzero((sentence == k) & (voice == v)),
        )
        for k in at
        for v in voices
    ]
    flat = x.reshape(len(x), -1, x.shape[-1])
    return regress(flat, beyond[:, None], folds).score(correlation)[:, 0]


def kernel_beyond(name: str, variation: Variation, *, words: bool) -> np.ndarray:
    """Partial Spearman of distances and the tree kernel, beyond length, and words if asked for."""
    x, voices, at = chosen(name, variation)
    tables = rdms(list((x - x.mean(axis=2, keepdims=True)).mean(axis=1)))
    count, seconds = length_of(voices, at)
    controls = [difference_rdm(count[0]), difference_rdm(seconds.mean(axis=0))]
    if words:
        controls.append(condensed(1 - syntax.shared_words([WORDS[k] for k in at])))
    trees = condensed(1 - syntax.kernel_matrix([BARE[k] for k in at]))
    return partial_rsa(tables, trees, np.stack(controls))


def parts_of_speech_hold_depth(variation: Variation) -> tuple[bool, float]:
    most = depth_beyond_length("CTC", variation).max()
    gap = depth_beyond_length("parts of speech", variation)[0] - most
    return gap > 0, gap


def parts_of_speech_hold_the_kernel(variation: Variation) -> tuple[bool, float]:
    most = max(kernel_beyond(name, variation, words=False).max() for name in NAMES)
    gap = kernel_beyond("parts of speech", variation, words=False)[0] - most
    return gap > 0, gap


def top_of_whisper(variation: Variation) -> tuple[bool, float]:
    found = kernel_beyond("Whisper", variation, words=False)
    return found[-1] > found[0], found[-1] - found[0]


def words_take_a_part(variation: Variation) -> tuple[bool, float]:
    found = kernel_beyond("CTC", variation, words=False)
    best = found.argmax()
    lost = found[best] - kernel_beyond("CTC", variation, words=True)[best]
    return lost > 0, lost


def recogniser_above_its_twin(variation: Variation) -> tuple[bool, float]:
    best = kernel_beyond("CTC", variation, words=False).max()
    gap = best - kernel_beyond("twin", variation, words=False).max()
    return gap > 0, gap


def words_are_in_the_kernel(variation: Variation) -> tuple[bool, float]:
    _, at = kept(variation)
    trees = condensed(1 - syntax.kernel_matrix([BARE[k] for k in at]))
    words = condensed(1 - syntax.shared_words([WORDS[k] for k in at]))
    value = compare_rdms(words, trees)[0, 0]
    return value > 0.2, value


HALVES = ("speakers", "sentences")
CLAIMS = [
    Claim(
        "A bag of parts of speech predicts depth beyond length better than any layer of the "
        "recogniser.",
        "r of the bag less that of the best layer", "above 0", parts_of_speech_hold_depth,
        HALVES,
    ),
    Claim(
        "Distances between bags of parts of speech agree with the tree kernel, beyond length, more "
        "than those of any layer of the recogniser or of Whisper.",
        "Spearman of the bag less that of the best layer", "above 0",
        parts_of_speech_hold_the_kernel, (*HALVES, "lead_s"),
    ),
    Claim(
        "Whisper's last layer agrees with the tree kernel more than its layer 0.",
        "partial Spearman, last layer less layer 0", "above 0", top_of_whisper,
        (*HALVES, "lead_s"),
    ),
    Claim(
        "The best layer of the recogniser agrees with the tree kernel more than the best layer of "
        "its untrained twin.",
        "partial Spearman of the one less the other", "above 0",
        recogniser_above_its_twin, (*HALVES, "twin_seed"),
    ),
    Claim(
        "Taking out shared words takes away a part of the recogniser's best agreement with the "
        "tree kernel.",
        "partial Spearman without less with words taken out", "above 0", words_take_a_part, HALVES,
    ),
    Claim(
        "Sentences that share words have like trees.",
        "Spearman of shared words and the tree kernel", "above 0.2", words_are_in_the_kernel,
        ("sentences",),
    ),
]  # fmt: skip
