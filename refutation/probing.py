"""What the chapter on probing says, computed again."""

from functools import cache

from refutation.claims import Claim, Variation
from speech_interp import load_corpus, load_model
from speech_interp.methods.probing import classify, grouped_folds, never_trained
from speech_interp.states.features import mfcc
from speech_interp.states.items import Items, collect
from speech_interp.statistics.layer_scores import LayerScores

NAMES = {
    "HuBERT": "facebook/hubert-base-ls960",
    "wav2vec2": "facebook/wav2vec2-base",
    "CTC": "facebook/wav2vec2-base-960h",
    "Whisper": "openai/whisper-tiny.en",
}


@cache
def items_of(name: str, lead_s: float, twin_seed: int) -> Items:
    """Every second phone of the page's utterances, each utterance in a pass of its own."""
    corpus = [u for u in load_corpus("sentences") if u.split == "test" and u.speaker != "joe"]
    speakers, texts = (sorted({getattr(u, f) for u in corpus}) for f in ("speaker", "text"))
    places = {(u.speaker, u.text): u for u in corpus}
    chosen = [
        places[s, t]
        for a, s in enumerate(speakers[:8])
        for b, t in enumerate(texts)
        if (a + b) % 2 == 0 and (s, t) in places
    ]
    if name == "MFCC":
        model = mfcc
    elif name == "twin":
        model = load_model(NAMES["wav2vec2"], random_init=True, seed=twin_seed)
    else:
        model = load_model(NAMES[name])
    items = collect(model, chosen, lead_s=lead_s, progress=False)
    return items.where(items.places % 2 == 1)


@cache
def probed(name: str, label: str, variation: Variation) -> LayerScores:
    """Scores of `label` ("labels" or "speakers") under a variation."""
    lead_s = variation.lead_s if name == "Whisper" else 0.0  # others count no time
    items = items_of(name, lead_s, variation.twin_seed if name == "twin" else 0)
    items = items.where(variation.keeps(items.speakers, items.texts))
    count = 3 if label == "speakers" or len(set(items.speakers)) > 5 else 2
    groups = (items.texts,) if label == "speakers" else (items.speakers, items.texts)
    folds = grouped_folds(*groups, folds=count, seed=variation.fold_seed)
    labels = getattr(items, label)
    known = [name not in never_trained(labels, folds) for name in labels]
    items = items.where([k for k, kept in enumerate(known) if kept])
    groups = (items.texts,) if label == "speakers" else (items.speakers, items.texts)
    folds = grouped_folds(*groups, folds=count, seed=variation.fold_seed)
    clusters = (items.speakers, items.texts)
    options = {"clusters": clusters, "allow_unseen": True}
    return classify(items.states, getattr(items, label), folds, **options).by_layer()


def above_twin(variation: Variation) -> tuple[bool, float]:
    gain = probed("HuBERT", "labels", variation).minus(probed("twin", "labels", variation))
    best = probed("HuBERT", "labels", variation).best()
    return gain.interval()[0, best] > 0, gain.score()[best]


def above_mfcc(variation: Variation) -> tuple[bool, float]:
    gain = probed("HuBERT", "labels", variation).minus(probed("MFCC", "labels", variation))
    best = probed("HuBERT", "labels", variation).best()
    return gain.interval()[0, best] > 0, gain.score()[best]


def forgets_the_speaker(variation: Variation) -> tuple[bool, float]:
    change = probed("CTC", "speakers", variation).minus(probed("wav2vec2", "speakers", variation))
    return change.interval()[1, -1] < 0, change.score()[-1]


def holds_the_phone(variation: Variation) -> tuple[bool, float]:
    change = probed("CTC", "labels", variation).minus(probed("wav2vec2", "labels", variation))
    return change.interval()[0, -1] > 0, change.score()[-1]


def falls_in_whisper(variation: Variation) -> tuple[bool, float]:
    speaker = probed("Whisper", "speakers", variation)
    fall = speaker.minus(speaker.at(0))
    return fall.interval()[1, -1] < 0, fall.score()[-1]


HALVES = ("fold_seed", "speakers", "sentences")
PAIRED = "interval of the paired difference, over speakers and sentences"
CLAIMS = [
    Claim(
        "A linear probe names more phones from HuBERT's best layer than from an untrained "
        "wav2vec 2.0.",
        PAIRED, "above 0", above_twin, (*HALVES, "twin_seed"),
    ),
    Claim(
        "It names more phones from HuBERT's best layer than from MFCCs.",
        PAIRED, "above 0", above_mfcc, HALVES,
    ),
    Claim(
        "Fine-tuned to write letters, the last layer of wav2vec 2.0 holds less of the speaker.",
        PAIRED, "below 0", forgets_the_speaker, HALVES,
    ),
    Claim(
        "Fine-tuned to write letters, the last layer of wav2vec 2.0 holds more of the phone.",
        PAIRED, "above 0", holds_the_phone, HALVES,
    ),
    Claim(
        "In Whisper's encoder the last layer holds less of the speaker than layer 0.",
        PAIRED, "below 0", falls_in_whisper, (*HALVES, "lead_s"),
    ),
]  # fmt: skip
