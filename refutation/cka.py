"""What the chapter on CKA says, computed again."""

from functools import cache

import numpy as np

from refutation.claims import Claim, NotApplicable, Variation
from speech_interp import load_corpus, load_model
from speech_interp.methods.cka import cka_matrix
from speech_interp.methods.cka_uncertainty import null_level
from speech_interp.states.items import Items, collect, mixed_leads

NAMES = {
    "HuBERT": "facebook/hubert-base-ls960",
    "wav2vec2": "facebook/wav2vec2-base",
    "CTC": "facebook/wav2vec2-base-960h",
    "Whisper": "openai/whisper-tiny.en",
}


@cache
def items_of(name: str, lead_s: float, twin_seed: int, order: int) -> Items:
    """The phones of eight sentences that all speakers of the page say."""
    corpus = [u for u in load_corpus("sentences") if u.split == "test" and u.speaker != "joe"]
    said = {(u.speaker, u.text): u for u in corpus}
    speakers = sorted({speaker for speaker, _ in said})
    shared = [t for t in {u.text for u in corpus} if all((s, t) in said for s in speakers)]
    texts = sorted(shared, key=lambda text: (len(text), text))[:8]
    twin = {"random_init": True, "seed": twin_seed}
    options = twin if name.startswith("twin") else {}
    model = load_model(NAMES.get(name, NAMES["wav2vec2"]), **options)
    spoken = [said[s, t] for s in speakers for t in texts]
    leads_s = lead_s + mixed_leads(spoken, seed=order)
    return collect(model, spoken, lead_s=leads_s, progress=False)


def chosen(name: str, variation: Variation) -> Items:
    lead_s = variation.lead_s if name == "Whisper" else 0.0
    seed = {"twin": variation.twin_seed, "twin B": variation.twin_seed + 10}.get(name, 0)
    order = variation.fold_seed if name == "Whisper" else 0
    items = items_of(name, lead_s, seed, order)
    return items.where(variation.keeps(items.speakers, items.texts))


def same_layer(a: str, b: str, variation: Variation) -> np.ndarray:
    x, y = chosen(a, variation).states, chosen(b, variation).states
    return np.array([cka_matrix([p], [q])[0, 0] for p, q in zip(x, y, strict=True)])


def untrained_agree(variation: Variation) -> tuple[bool, float]:
    gap = same_layer("twin", "twin B", variation) - same_layer("wav2vec2", "twin", variation)
    return gap.min() > 0, gap.min()


def beyond_the_phone(variation: Variation) -> tuple[bool, float]:
    a, b = chosen("wav2vec2", variation), chosen("HuBERT", variation)
    value = same_layer("wav2vec2", "HuBERT", variation)
    gap = value - null_level(list(a.states), list(b.states), within=a.labels)
    return gap.min() > 0, gap.min()


def tuning_at_the_top(variation: Variation) -> tuple[bool, float]:
    value = same_layer("wav2vec2", "CTC", variation)
    return value.argmin() == len(value) - 1, value[-1] - value[0]


def voice_fades_in_whisper(variation: Variation) -> tuple[bool, float]:
    items = chosen("Whisper", variation)
    if len(set(items.speakers)) < 4:
        raise NotApplicable("three speakers are too few for this null")
    keys = sorted({(s, t) for s, t in zip(items.speakers, items.texts, strict=True)})
    places = [(items.speakers == s) & (items.texts == t) for s, t in keys]
    means = np.stack([items.states[:, place].mean(axis=1) for place in places], axis=1)
    talker = np.array([[s == name for name in sorted(set(items.speakers))] for s, _ in keys])
    layers = [1, len(means) - 1]
    value = cka_matrix(list(means[layers]), [talker.astype(float)])[:, 0]
    return value[1] < value[0], value[1] - value[0]


HALVES = ("speakers", "sentences")
CLAIMS = [
    Claim(
        "Two untrained networks agree more than a trained one and its untrained twin, in every "
        "layer.", "the smallest difference of CKA over layers", "above 0", untrained_agree,
        (*HALVES, "twin_seed"),
    ),
    Claim(
        "wav2vec 2.0 and HuBERT agree on more than the phone label, in every layer.",
        "the smallest distance over layers to items shuffled within phones", "above 0",
        beyond_the_phone, HALVES,
    ),
    Claim(
        "Fine-tuning changes the last layer of wav2vec 2.0 most.",
        "the layer of lowest CKA before and after", "the last", tuning_at_the_top, HALVES,
    ),
    Claim(
        "Means of whole sentences are less alike by speaker in Whisper's last layer than in "
        "layer 1.",
        "CKA with who speaks, last layer less layer 1", "below 0",
        voice_fades_in_whisper, (*HALVES, "fold_seed", "lead_s"),
    ),
]  # fmt: skip
