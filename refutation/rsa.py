"""What the chapter on RSA says, computed again."""

from dataclasses import replace
from functools import cache

import numpy as np

from refutation.claims import Claim, Variation
from speech_interp import load_corpus, load_model
from speech_interp.methods.rsa import compare_rdms
from speech_interp.methods.rsa_distances import categorical_rdm, rdms
from speech_interp.methods.rsa_regression import partial_rsa
from speech_interp.speech.corpus import Utterance
from speech_interp.states.items import Items, collect, mixed_leads
from speech_interp.studies.phone_features import edit_rdm, feature_rdm, phone_strings
from speech_interp.studies.trees import sentence_trees, tree_rdm, without_words, words_of

NAMES = {
    "HuBERT": "facebook/hubert-base-ls960",
    "wav2vec2": "facebook/wav2vec2-base",
    "CTC": "facebook/wav2vec2-base-960h",
}


@cache
def spoken() -> list[Utterance]:
    """Ten sentences that all speakers of the page say."""
    corpus = [u for u in load_corpus("sentences") if u.split == "test" and u.speaker != "joe"]
    said = {(u.speaker, u.text): u for u in corpus}
    speakers = sorted({speaker for speaker, _ in said})
    shared = [t for t in {u.text for u in corpus} if all((s, t) in said for s in speakers)]
    texts = sorted(shared, key=lambda text: (len(text), text))[:10]
    return [said[s, t] for s in speakers for t in texts]


@cache
def frames_of(name: str, twin_seed: int) -> Items:
    twin = {"random_init": True, "seed": twin_seed} if name == "twin" else {}
    model = load_model(NAMES.get(name, NAMES["wav2vec2"]), **twin)
    leads_s = mixed_leads(spoken())
    return collect(model, spoken(), lead_s=leads_s, pooled=False, progress=False)


def frames(name: str, variation: Variation) -> Items:
    return frames_of(name, variation.twin_seed if name == "twin" else 0)


def centred_rdms(states: np.ndarray) -> np.ndarray:
    return rdms(states - states.mean(axis=1, keepdims=True))


def phones(name: str, variation: Variation) -> tuple[np.ndarray, np.ndarray]:
    """Distances between one phone in three, in every layer, and the labels."""
    found = frames(name, variation)
    some = np.arange(0, len(found), 3)
    some = some[variation.keeps(found.speakers[some], found.texts[some])]
    pooled = [found.states[:, a:b].mean(axis=1) for a, b in found.spans[some]]
    return centred_rdms(np.stack(pooled, axis=1)), found.labels[some]


def sentences(name: str, variation: Variation, *, last: bool = False) -> np.ndarray:
    """Distances between whole sentences, their means or their last frames, in every layer."""
    found, pooled = frames(name, variation), []
    for u in variation.choose(spoken()):
        edges = found.spans[found.utterances == u.id]
        first = edges.max() - 1 if last else edges.min()
        pooled.append(found.states[:, first : edges.max()].mean(axis=1))
    return centred_rdms(np.stack(pooled, axis=1))


def with_edits(name: str, variation: Variation, **options) -> np.ndarray:
    edits = edit_rdm(phone_strings(variation.choose(spoken())))
    return compare_rdms(sentences(name, variation, **options), edits, "pearson")[:, 0]


def features_need_no_training(variation: Variation) -> tuple[bool, float]:
    highest = {}
    for name in ("twin", *NAMES):
        tables, labels = phones(name, variation)
        highest[name] = compare_rdms(tables, feature_rdm(labels), "pearson").max()
    share = min(highest["twin"] / highest[name] for name in NAMES)
    return share > 2 / 3, share


def same_phone_is_learnt(variation: Variation) -> tuple[bool, float]:
    values = {}
    for name in ("twin", *NAMES):
        tables, labels = phones(name, variation)
        values[name] = compare_rdms(tables, categorical_rdm(labels), "pearson")[:, 0]
    gap = min((values[name] - values["twin"]).min() for name in NAMES)
    return gap > 0, gap


def sentences_of_the_recogniser(variation: Variation) -> tuple[bool, float]:
    gap = with_edits("CTC", variation)[-2] - with_edits("twin", variation)[-2]
    return gap > 0, gap


def voice_of_a_sentence(variation: Variation) -> tuple[bool, float]:
    far = categorical_rdm([u.speaker for u in variation.choose(spoken())])
    values = [
        compare_rdms(sentences(name, variation)[-1], far, "pearson")[0, 0]
        for name in ("twin", "CTC")
    ]
    return values[0] > values[1], values[0] - values[1]


def mean_or_last(variation: Variation) -> tuple[bool, float]:
    gap = with_edits("CTC", variation)[-2] - with_edits("CTC", variation, last=True)[-2]
    return gap > 0, gap


@cache
def texts_of_two_voices() -> tuple[list[Utterance], np.ndarray]:
    """All sentences that all speakers say, in two voices, and their states in the recogniser."""
    corpus = [u for u in load_corpus("sentences") if u.split == "test" and u.speaker != "joe"]
    said = {(u.speaker, u.text): u for u in corpus}
    speakers = sorted({speaker for speaker, _ in said})
    texts = sorted(t for t in {u.text for u in corpus} if all((s, t) in said for s in speakers))
    two = [said[s, t] for s in speakers[:2] for t in texts]
    model = load_model(NAMES["CTC"])
    return two, collect(model, two, "utterance", lead_s=mixed_leads(two), progress=False).states


def sound_rather_than_syntax(variation: Variation) -> tuple[bool, float]:
    two, states = texts_of_two_voices()
    half = len(two) // 2
    texts = [u.text for u in two[:half]]
    chosen = np.flatnonzero(replace(variation, speakers=None).keeps(["any"] * half, texts))
    voices = {None: (0, 1), "first half": (0,), "second half": (1,)}[variation.speakers]
    x = states - states.mean(axis=1, keepdims=True)
    tables = np.mean([rdms([x[-2, chosen + half * voice]]) for voice in voices], axis=0)
    known = sentence_trees()
    grammar = tree_rdm([without_words(known[words_of(two[k].text)]) for k in chosen])
    sound = edit_rdm(phone_strings([two[k] for k in chosen]))
    heard = partial_rsa(tables, sound, grammar[None], comparison="pearson")[0]
    syntax = partial_rsa(tables, grammar, sound[None], comparison="pearson")[0]
    return syntax < heard, syntax - heard


HALVES = ("speakers", "sentences")
CLAIMS = [
    Claim(
        "With phonological features, by cosine distances, an untrained network reaches most of "
        "what trained networks reach.", "the smallest share over models, highest layers",
        "above 2/3", features_need_no_training, (*HALVES, "twin_seed"),
    ),
    Claim(
        "With same or different phone trained networks agree more than the untrained one, in every "
        "layer.", "the smallest difference of RSA over models and layers", "above 0",
        same_phone_is_learnt, (*HALVES, "twin_seed"),
    ),
    Claim(
        "Distances between whole sentences agree with edit distances more in the recogniser, one "
        "layer below its top, than in an untrained network.", "the difference of RSA", "above 0",
        sentences_of_the_recogniser, (*HALVES, "twin_seed"),
    ),
    Claim(
        "Means of whole sentences agree more with who speaks in the last layer of an untrained "
        "network than in that of the recogniser.", "the difference of RSA", "above 0",
        voice_of_a_sentence, (*HALVES, "twin_seed"),
    ),
    Claim(
        "In the recogniser, one layer below its top, the mean of a sentence agrees more with edit "
        "distances than its last frame.", "the difference of RSA", "above 0", mean_or_last, HALVES,
    ),
    Claim(
        "Distances between texts in the recogniser, one layer below its top, go less with syntax "
        "trees beyond edit distance than with edit distance beyond trees.",
        "the difference of partial RSA", "below 0",
        sound_rather_than_syntax, HALVES,
    ),
]  # fmt: skip
