"""What the chapter on ABX says, computed again."""

from functools import cache

import numpy as np

from refutation.claims import Claim, Variation
from speech_interp import load_corpus, load_model
from speech_interp.methods.abx_uncertainty import abx_by_layer
from speech_interp.states.features import mfcc
from speech_interp.states.items import Items, collect, mixed_leads
from speech_interp.statistics.layer_scores import LayerScores

VOICES = (
    "kal-flite", "awb-flite", "rms-flite", "slt-flite", "ked-festival", "en-us-espeak", "f2-espeak",
)  # fmt: skip
NAMES = {
    "HuBERT": "facebook/hubert-base-ls960",
    "wav2vec2": "facebook/wav2vec2-base",
    "CTC": "facebook/wav2vec2-base-960h",
    "Whisper": "openai/whisper-tiny.en",
}
ENTERS = ("fold_seed", "sentences")  # half of seven speakers leaves too few halves to draw


@cache
def items_of(name: str, lead_s: float, twin_seed: int) -> Items:
    """The phones of ten sentences by the seven voices of the page."""
    said = [u for u in load_corpus("sentences") if u.split == "test" and u.info["voice"] in VOICES]
    texts = sorted({u.text for u in said}, key=lambda text: (len(text), text))[:20]
    spoken = [u for u in said if u.text in texts]
    if name == "MFCC":
        return collect(mfcc, spoken, progress=False)
    twin = {"random_init": True, "seed": twin_seed} if name == "twin" else {}
    model = load_model(NAMES.get(name, NAMES["wav2vec2"]), **twin)
    leads_s = lead_s + mixed_leads(spoken) if name == "Whisper" else 0.0
    return collect(model, spoken, lead_s=leads_s, progress=False)


def chosen(name: str, variation: Variation) -> Items:
    items = items_of(
        name,
        variation.lead_s if name == "Whisper" else 0.0,
        variation.twin_seed if name == "twin" else 0,
    )
    texts = sorted(set(items.texts), key=lambda text: (len(text), text))
    if variation.sentences is None:  # the page's ten; the halves are the even and odd of twenty
        return items.where(np.isin(items.texts, texts[:10]))
    return items.where(variation.keeps(items.speakers, items.texts))


def phones(name: str, variation: Variation) -> LayerScores:
    return scored(name, variation, on="phone", across=("speaker", "half"))


def talkers(name: str, variation: Variation) -> LayerScores:
    return scored(name, variation, on="speaker", by=("phone",), across=("half",))


def scored(name: str, variation: Variation, **task) -> LayerScores:
    items = chosen(name, variation)
    number = np.unique(items.texts, return_inverse=True)[1]
    half = np.random.default_rng(variation.fold_seed).permutation(number.max() + 1) % 2
    table = {"phone": items.labels, "speaker": items.speakers, "half": half[number]}
    groups = (items.speakers, items.texts)
    return abx_by_layer(items.states, table, groups=groups, seed=variation.fold_seed, **task)


def untrained_is_worse(variation: Variation) -> tuple[bool, float]:
    gap = phones("HuBERT", variation).minus(phones("twin", variation))
    return bool((gap.interval()[1] < 0).all()), gap.score().max()


def hubert_is_below_chance(variation: Variation) -> tuple[bool, float]:
    found = phones("HuBERT", variation)
    return bool((found.interval()[1] < 0.5).all()), found.score().max()


def tuning_hides_the_speaker(variation: Variation) -> tuple[bool, float]:
    gap = talkers("CTC", variation).minus(talkers("wav2vec2", variation))
    return gap.interval()[0, -1] > 0, gap.score()[-1]


def last_ctc_layer_jumps(variation: Variation) -> tuple[bool, float]:
    found = phones("CTC", variation)
    gap = found.minus(found.at(int(found.score().argmin())))
    return gap.interval()[0, -1] > 0, gap.score()[-1]


CLAIMS = [
    Claim(
        "A phone in HuBERT is told from another across voices and sentences, in every layer.",
        "upper limit of the ABX error, over speakers and sentences",
        "below one half in all layers",
        hubert_is_below_chance,
        ENTERS,
    ),
    Claim(
        "HuBERT tells phones apart better than an untrained network, in every layer.",
        "interval of the paired difference of ABX errors",
        "all below 0 in all layers",
        untrained_is_worse,
        (*ENTERS, "twin_seed"),
    ),
    Claim(
        "Fine-tuned to write letters, the last layer of wav2vec 2.0 tells speakers apart worse.",
        "interval of the paired difference of ABX errors",
        "all above 0",
        tuning_hides_the_speaker,
        ENTERS,
    ),
    Claim(
        "In the fine-tuned model the ABX error of phones rises from its best layer to the last.",
        "interval of the paired difference of ABX errors",
        "all above 0",
        last_ctc_layer_jumps,
        ENTERS,
    ),
]
