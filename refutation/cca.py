"""What the chapter on CCA says, computed again."""

from functools import cache

import numpy as np

from refutation.claims import Claim, NotApplicable, Variation
from speech_interp import load_corpus, load_model
from speech_interp.methods.cca import by_both
from speech_interp.methods.cca_held_out import cca_by_layer
from speech_interp.methods.cka import cka_matrix
from speech_interp.methods.probing import grouped_folds
from speech_interp.states.items import Items, collect, mixed_leads

NAMES = {
    "wav2vec2": "facebook/wav2vec2-base",
    "CTC": "facebook/wav2vec2-base-960h",
    "Whisper": "openai/whisper-tiny.en",
}
RIDGE = 0.1


@cache
def items_of(name: str, twin_seed: int) -> Items:
    """The phones of the test sentences, each in two or three voices, as on the page."""
    corpus = [u for u in load_corpus("sentences") if u.split == "test" and u.speaker != "joe"]
    said = {(u.speaker, u.text): u for u in corpus}
    speakers, texts = (sorted(set(names)) for names in zip(*said, strict=True))
    spoken = [u for (s, t), u in said.items() if (speakers.index(s) + texts.index(t)) % 3 == 0]
    options = {"random_init": True, "seed": twin_seed} if name == "twin" else {}
    model = load_model(NAMES.get(name, NAMES["wav2vec2"]), **options)
    return collect(model, spoken, lead_s=mixed_leads(spoken), progress=False)


def chosen(name: str, variation: Variation) -> Items:
    items = items_of(name, variation.twin_seed if name == "twin" else 0)
    items = items.where(variation.keeps(items.speakers, items.texts))
    kinds = [p for p in set(items.labels) if len(set(items.texts[items.labels == p])) > 3]
    return items.where(np.isin(items.labels, kinds))


def folds_of(items: Items, variation: Variation):
    if len(set(items.speakers)) < 3:
        raise NotApplicable("too few speakers for folds over them")
    # Half of the sentences are too few to leave out voices as well.
    groups = (items.speakers, items.texts)
    if variation.speakers or variation.sentences:
        groups = (items.texts,)
    return grouped_folds(*groups, folds=3, seed=variation.fold_seed)


def curve(items: Items, y: np.ndarray, variation: Variation, layers, **options) -> np.ndarray:
    found = cca_by_layer(
        items.states[layers].astype(float),
        y,
        folds_of(items, variation),
        groups=items.texts,
        resamples=10,
        **options,
    )
    return found.score()


def phones(name: str, variation: Variation) -> np.ndarray:
    items = chosen(name, variation)
    one_hot = (items.labels[:, None] == np.unique(items.labels)).astype(float)
    return curve(items, one_hot, variation, slice(None), ridge=RIDGE, weighing=by_both)


def last_step(variation: Variation, **options) -> float:
    items = chosen("wav2vec2", variation)
    value = curve(items, items.states[0].astype(float), variation, [-2, -1], **options)
    return value[1] - value[0]


def all_directions_move_on(variation: Variation) -> tuple[bool, float]:
    step = last_step(variation, ridge=RIDGE, weighing=by_both)
    return step < 0, step


def loud_directions_differ(variation: Variation) -> tuple[bool, float]:
    gap = last_step(variation, variance=0.5)
    gap -= last_step(variation, ridge=RIDGE, weighing=by_both)
    return gap > 0, gap


def cka_moves_back(variation: Variation) -> tuple[bool, float]:
    x = chosen("wav2vec2", variation).states
    value = cka_matrix(list(x[[-2, -1]]), list(x[:1]))[:, 0]
    return value[1] > value[0], value[1] - value[0]


def phones_rise(variation: Variation) -> tuple[bool, float]:
    value = phones("wav2vec2", variation)
    gap = min(value[-1] - value[0], value[0] - phones("twin", variation).max())
    return gap > 0, gap


def tuning_drops_at_the_top(variation: Variation) -> tuple[bool, float]:
    before, after = phones("wav2vec2", variation), phones("CTC", variation)
    gap = min(after.max() - before.max(), after.max() - after[-1])
    return gap > 0, gap


def phones_rise_in_whisper(variation: Variation) -> tuple[bool, float]:
    value = phones("Whisper", variation)
    return value[1:].min() > value[0], value[1:].min() - value[0]


HALVES = ("speakers", "sentences")
CLAIMS = [
    Claim(
        "From the next-to-last layer of wav2vec 2.0 to the last, PWCCA with layer 0 falls.",
        "PWCCA with layer 0, last less next-to-last layer", "below 0",
        all_directions_move_on, (*HALVES, "fold_seed"),
    ),
    Claim(
        "The same step, taken in the directions that hold half of the variance alone (SVCCA), lies "
        "above it: what moves away are the quiet directions.",
        "the step of SVCCA (50 %) less the step of PWCCA", "above 0",
        loud_directions_differ, (*HALVES, "fold_seed"),
    ),
    Claim(
        "By CKA the last layer of wav2vec 2.0 moves back towards layer 0.",
        "CKA with layer 0, last less next-to-last layer", "above 0", cka_moves_back, HALVES,
    ),
    Claim(
        "More is shared with phone identity in the last layer of wav2vec 2.0 than in layer 0, and "
        "there more than in any layer of the untrained twin.",
        "the smaller of both differences", "above 0",
        phones_rise, (*HALVES, "fold_seed", "twin_seed"),
    ),
    Claim(
        "Fine-tuning raises the best layer for phone identity and lets it fall again at the top.",
        "the smaller of both differences", "above 0",
        tuning_drops_at_the_top, (*HALVES, "fold_seed"),
    ),
    Claim(
        "Whisper shares more with phone identity in every later layer than in layer 0.",
        "the smallest difference from layer 0", "above 0",
        phones_rise_in_whisper, (*HALVES, "fold_seed"),
    ),
]  # fmt: skip
