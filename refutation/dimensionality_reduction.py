"""What the chapter on dimensionality reduction says, computed again."""

from functools import cache

import numpy as np

from refutation.claims import Claim, Variation
from speech_interp import load_corpus, load_model
from speech_interp.methods.component_regression import regress_on_components
from speech_interp.methods.dimension import dimension_by_layer, participation_by_layer
from speech_interp.methods.neighbourhoods import purity
from speech_interp.methods.probing import grouped_folds
from speech_interp.methods.projections import (
    component_shares,
    components_by_layer,
    coordinates,
    without_labels,
)
from speech_interp.speech.corpus import Interval
from speech_interp.speech.formants import formants
from speech_interp.states.items import Items, collect, mixed_leads
from speech_interp.statistics.predictions import correlation

NAMES = {"HuBERT": "facebook/hubert-base-ls960", "Whisper": "openai/whisper-tiny.en"}


@cache
def items_of(name: str, lead_s: float, twin_seed: int, order: int):
    """The phones of seven sentences that all voices of the page say, and the time of each."""
    corpus = [u for u in load_corpus("sentences") if u.split == "test" and u.speaker != "joe"]
    said = {(u.speaker, u.text): u for u in corpus}
    speakers = sorted({speaker for speaker, _ in said})
    shared = [t for t in {u.text for u in corpus} if all((s, t) in said for s in speakers)]
    texts = sorted(shared, key=lambda text: (len(text), text))[:7]
    spoken = [said[s, t] for s in speakers for t in texts]
    twin = {"random_init": True, "seed": twin_seed} if name == "twin" else {}
    model = load_model(NAMES.get(name, NAMES["HuBERT"]), **twin)
    leads_s = lead_s + mixed_leads(spoken, seed=order)
    items = collect(model, spoken, lead_s=leads_s, progress=False)
    lead_of = {u.id: lead for u, lead in zip(spoken, leads_s, strict=True)}
    late_s = np.array([lead_of[u] for u in items.utterances])
    positions = None
    if name == "Whisper":
        positions = model.module.get_encoder().embed_positions.weight.detach().numpy()
    return items, late_s, positions


def chosen(name: str, variation: Variation) -> tuple[Items, np.ndarray, np.ndarray | None]:
    seed = variation.twin_seed if name == "twin" else 0
    items, late_s, positions = items_of(name, variation.lead_s, seed, variation.fold_seed)
    kept = variation.keeps(items.speakers, items.texts)
    return items.where(kept), late_s[kept], positions


def wide_and_thin(variation: Variation) -> tuple[bool, float]:
    items = chosen("HuBERT", variation)[0]
    wide = participation_by_layer(items.states, np.arange(len(items)), resamples=4).score()
    near = dimension_by_layer(items.states, np.arange(len(items)), resamples=4).score()
    change = np.log([wide[-1] / wide[0], near[0] / near[-1]])
    return bool(change.min() > 0), float(change.min())


def twin_is_thick(variation: Variation) -> tuple[bool, float]:
    near = []
    for name in ("twin", "HuBERT"):
        items = chosen(name, variation)[0]
        near.append(dimension_by_layer(items.states, np.arange(len(items)), resamples=4).score())
    gap = near[0] - near[1]
    return bool(gap.min() > 0), float(gap.min())


def words_make_neighbours(variation: Variation) -> tuple[bool, float]:
    items = chosen("HuBERT", variation)[0]
    voice, both = (
        purity(items.states, items.labels, apart=apart).mean(1)
        for apart in ([items.speakers], [items.speakers, items.texts])
    )
    return bool((voice - both).min() > 0.05), float((voice - both).min())


def silence_reaches_the_top(variation: Variation) -> tuple[bool, float]:
    items, late_s, _ = chosen("HuBERT", variation)
    keys = sorted({(s, t) for s, t in zip(items.speakers, items.texts, strict=True)})
    places = [(items.speakers == s) & (items.texts == t) for s, t in keys]
    means = np.stack([items.states[:, place].mean(axis=1) for place in places], axis=1)
    silence = np.array([late_s[place][0] for place in places])
    found, count = [], len(keys) - 1
    for x, components in zip(means, components_by_layer(means), strict=True):
        scores = coordinates(components, x, count=count)
        share = component_shares(scores, {"silence": silence})["silence"]
        found.append(share @ components.explained[:count])
    return bool(found[-1] > found[0]), float(found[-1] - found[0])


def clock_hides_phones(variation: Variation) -> tuple[bool, float]:
    items, late_s, positions = chosen("Whisper", variation)
    hands = coordinates(components_by_layer([positions])[0], positions, count=8)
    middle_s = late_s + (items.start_s + items.end_s) / 2
    layer = items.states[2]
    timeless = without_labels(layer, hands[(50 * middle_s).astype(int)])
    apart = [items.speakers, items.texts]
    before, after = purity([layer, timeless], items.labels, apart=apart).mean(1)
    return bool(after > before), float(after - before)


@cache
def formants_of(utterance: str, spans: tuple[Interval, ...]) -> np.ndarray:
    said = next(u for u in load_corpus("sentences") if u.id == utterance)
    return formants(said.wave, spans, highest_hz=5500 if said.sex == "f" else 5000)[:, :2]


def this_vowel_here(variation: Variation) -> tuple[bool, float]:
    items = chosen("HuBERT", variation)[0]
    items = items.where(np.isin(items.labels, "IY IH EH AE AA AH AO UH UW ER".split()))
    hz = np.empty((len(items), 2))
    for name in np.unique(items.utterances):
        own = np.flatnonzero(items.utterances == name)
        spans = zip(items.labels[own], items.start_s[own], items.end_s[own], strict=True)
        hz[own] = formants_of(str(name), tuple(Interval(*span) for span in spans))
    measured = np.isfinite(hz).all(axis=1)
    items, height = items.where(measured), np.log(hz[measured])
    for voice in np.unique(items.speakers):
        own = items.speakers == voice
        height[own] = (height[own] - height[own].mean(0)) / height[own].std(0)
    middle = items.states[[len(items.states) // 2]]
    folds = grouped_folds(items.speakers, folds=len(np.unique(items.speakers)))
    groups, rng = (items.speakers, items.texts), np.random.default_rng(variation.fold_seed)

    def within(targets: np.ndarray) -> np.ndarray:
        found = regress_on_components(middle, targets, folds, clusters=groups, kinds=items.labels)
        return found.score(correlation)[0]

    shuffled = []
    for _ in range(10):
        mixed = np.empty_like(height)
        order = np.lexsort((rng.random(len(height)), items.labels, items.speakers))
        mixed[np.lexsort((items.labels, items.speakers))] = height[order]
        shuffled.append(within(mixed))
    gain = within(height) - np.mean(shuffled, axis=0)
    return bool(gain.min() > 0), float(gain.min())


HALVES = ("speakers", "sentences")
CLAIMS = [
    Claim(
        "Over the layers of HuBERT the participation ratio rises and the dimension of "
        "neighbourhoods, asked of 20 neighbours, falls.",
        "the smaller of the two changes from first to last layer, in logarithms", "above 0",
        wide_and_thin, (*HALVES, "fold_seed", "lead_s"),
    ),
    Claim(
        "Neighbourhoods of an untrained twin have more dimensions than those of HuBERT, in every "
        "layer.",
        "the smallest difference over layers", "above 0", twin_is_thick,
        (*HALVES, "twin_seed", "fold_seed", "lead_s"),
    ),
    Claim(
        "Neighbours of another voice are purer than those of another voice and another sentence, "
        "in every layer of HuBERT.",
        "the smallest difference of purity over layers", "above 0.05", words_make_neighbours,
        (*HALVES, "fold_seed", "lead_s"),
    ),
    Claim(
        "The silence before a sentence explains more of the variance between whole sentences in "
        "the last layer of HuBERT than in layer 0.",
        "share of all variance that follows the silence, last layer less layer 0", "above 0",
        silence_reaches_the_top, (*HALVES, "fold_seed", "lead_s"),
    ),
    Claim(
        "Without Whisper's clock more neighbours are of the same phone in layer 2.",
        "purity after less before", "above 0", clock_hides_phones,
        (*HALVES, "fold_seed", "lead_s"),
    ),
    Claim(
        "Within vowels, two components of the middle layer of HuBERT follow F1 and F2 more closely "
        "than formants shuffled among the same vowels of the same voice.",
        "the smaller of the two differences of r", "above 0", this_vowel_here,
        (*HALVES, "fold_seed", "lead_s"),
    ),
]  # fmt: skip
