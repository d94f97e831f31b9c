"""What the chapter on articulation says, computed again."""

from functools import cache

import numpy as np

from refutation.claims import Claim, Variation
from speech_interp import load_corpus, load_model
from speech_interp.methods.probing import grouped_folds, regress
from speech_interp.states.features import mfcc
from speech_interp.statistics.layer_scores import LayerScores
from speech_interp.statistics.predictions import mean_correlation
from speech_interp.studies.articulators import beside, one_hot, track_frames

HUBERT = "facebook/hubert-base-ls960"
LAYER = 4  # above the middle, chosen beforehand


@cache
def frames_of(name: str, twin_seed: int, sentences: str | None):
    moving = Variation(sentences=sentences).choose(load_corpus("articulation")[::3])
    channels = [c for c in moving[0].tracks if c != "f0"]
    model = (
        mfcc if name == "MFCC" else load_model(HUBERT, random_init=name == "twin", seed=twin_seed)
    )
    return track_frames(model, moving, channels)


@cache
def scored(name: str, variation: Variation, moved: bool = False) -> LayerScores:
    """r over channels by layer; "label", "both" (label and layer) or the name of a space."""
    space = name if name in ("MFCC", "twin") else "HuBERT"
    seed = variation.twin_seed if name == "twin" else 0
    f = frames_of(space, seed, variation.sentences)
    label, states = one_hot(f.labels), f.states[[LAYER % len(f.states)]]
    if moved:
        states = np.roll(states, states.shape[1] // 3, axis=1)
    x = {"label": label, "both": beside(label, states)}.get(name, states)
    folds = grouped_folds(f.speakers, f.texts, folds=2, seed=variation.fold_seed)
    probe = regress(x, f.targets, folds, clusters=f.texts)
    return probe.by_layer(mean_correlation)


def above(other: str):
    def holds(variation: Variation) -> tuple[bool, float]:
        gain = scored("HuBERT", variation).minus(scored(other, variation))
        return gain.interval()[0, 0] > 0, gain.score()[0]

    return holds


def beyond_another_moment(variation: Variation) -> tuple[bool, float]:
    gain = scored("both", variation).minus(scored("both", variation, moved=True))
    return gain.interval()[0, 0] > 0, gain.score()[0]


def nothing_from_elsewhere(variation: Variation) -> tuple[bool, float]:
    gain = scored("both", variation, moved=True).minus(scored("label", variation))
    return gain.interval()[1, 0] < 0, gain.score()[0]


VARIED = ("fold_seed", "sentences")  # there are two tracts, and no model here counts time
PAIRED = "interval of the paired difference of r, over sentences"
CLAIMS = [
    Claim(
        "HuBERT's layer 4 tells articulators better than MFCCs do.",
        PAIRED, "above 0", above("MFCC"), VARIED,
    ),
    Claim("It tells them better than its untrained twin does.", PAIRED, "above 0", above("twin"),
        (*VARIED, "twin_seed")),
    Claim(
        "Beside the true phone label, the layer adds more than states of another moment do.",
        PAIRED, "above 0", beyond_another_moment, VARIED,
    ),
    Claim(
        "States of another moment add nothing to the label.", PAIRED, "below 0",
        nothing_from_elsewhere, VARIED,
    ),
]  # fmt: skip
