"""What the chapter on the corpus says, computed again."""

from dataclasses import replace
from functools import cache

import numpy as np

from refutation.claims import Claim, Variation
from speech_interp import load_corpus, load_model
from speech_interp.speech.corpus import after_silence
from speech_interp.states.alignment import align, boundary_errors, spread

CTC = "facebook/wav2vec2-base-960h"


def spoken(variation: Variation) -> list:
    kept = [u for u in load_corpus("sentences") if u.info["sentence"] % 12 == 3]
    kept = variation.choose([u for u in kept if u.speaker != "joe"])
    return [after_silence(u, variation.lead_s) if variation.lead_s else u for u in kept]


@cache
def model(twin: int | None):
    return load_model(CTC, random_init=twin is not None, seed=twin or 0)


def letters_find_words(variation: Variation) -> tuple[bool, float]:
    found, evenly = [], []
    for u in spoken(variation):
        words = align(model(None), replace(u, words=(), phones=())).words
        labels = [w.label for w in words]
        first, last = variation.lead_s, u.duration_s
        found.append(np.median(np.abs(boundary_errors(words, u.words))))
        evenly.append(np.median(np.abs(boundary_errors(spread(labels, first, last), u.words))))
    ratio = float(np.median(found) / np.median(evenly))
    return ratio < 0.25, ratio


def prefers_the_right_order(twin: bool):
    def share(variation: Variation) -> float:
        m, won = model(variation.twin_seed if twin else None), []
        for u in spoken(variation):
            bare = replace(u, words=(), phones=())
            turned = replace(bare, text=" ".join(u.text.split()[::-1]))
            won.append(align(m, bare).info["alignment"] > align(m, turned).info["alignment"])
        return float(np.mean(won))

    def holds(variation: Variation) -> tuple[bool, float]:
        value = share(variation)
        return (value < 0.75, value) if twin else (value > 0.9, value)

    return holds


MOVED = ("speakers", "sentences", "lead_s")
CLAIMS = [
    Claim(
        "Letters of a CTC model find words at less than a quarter of the error of words spread "
        "evenly.", "median error over utterances, one by the other", "below .25",
        letters_find_words, MOVED,
    ),
    Claim(
        "The aligner takes the right order of words for the more probable one.",
        "share of utterances", "above .9", prefers_the_right_order(twin=False), MOVED,
    ),
    Claim(
        "Its untrained twin does not.", "share of utterances", "below .75",
        prefers_the_right_order(twin=True), (*MOVED, "twin_seed"),
    ),
]  # fmt: skip
