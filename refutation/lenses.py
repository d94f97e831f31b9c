"""What the chapter on lenses says, computed again."""

from functools import cache, partial
from itertools import combinations

import numpy as np
import torch

from refutation.claims import Claim, Variation
from speech_interp import hidden_states, load_corpus, load_model
from speech_interp.methods.decoder_lens import word_chances
from speech_interp.methods.lenses import ctc_lens, final_norm
from speech_interp.methods.tuned_lens import TunedLens, fit_tuned_lens, sharpen
from speech_interp.speech.corpus import Utterance, after_silence
from speech_interp.studies.continua import ContinuumOdds, continuum_odds

RECOGNISER = "facebook/wav2vec2-base-960h"
VOICES = {"ked": "festival", "slt": "festival", "awb": "flite", "espeak-f": "espeak-ng"}


@cache
def spoken() -> list[Utterance]:
    """The eight sentences of the page by its four voices."""
    corpus = [u for u in load_corpus("sentences") if u.split == "test"]
    chosen = [u for u in corpus if VOICES.get(u.speaker) == u.synthesiser]
    texts = sorted({u.text for u in chosen}, key=lambda text: (len(text), text))[:8]
    return [u for u in chosen if u.text in texts]


@cache
def recogniser(twin_seed: int | None):
    """The recogniser, or its twin of that seed."""
    twin = {} if twin_seed is None else {"random_init": True, "seed": twin_seed}
    return load_model(RECOGNISER, **twin)


def states_of(utterance: Utterance, twin_seed: int | None) -> torch.Tensor:
    """The trained states; with a seed, those of the twin below the trained last layer."""
    states = hidden_states(recogniser(None), utterance.wave).values
    if twin_seed is None:
        return states
    return torch.cat([hidden_states(recogniser(twin_seed), utterance.wave).values, states[-1:]])


@cache
def tuned(twin_seed: int | None, start: int, steps: bool = True) -> TunedLens:
    """A tuned lens from one in nine of the training sentences by other voices."""
    train = [u for u in load_corpus("sentences") if u.split == "train"]
    others = [u for u in train if u.speaker in ("rms", "kal", "espeak-m")]
    apart = set(sorted({u.text for u in others})[::5])
    parts = [
        [states_of(u, twin_seed) for u in others[start::9] if (u.text in apart) == held_out]
        for held_out in (False, True)
    ]
    lens, model = fit_tuned_lens(parts[0]), recogniser(None)
    head = torch.nn.Sequential(final_norm(model), model.module.lm_head)
    return sharpen(lens, head, *parts) if steps else lens


@cache
def errors(twin_seed: int | None, way: str, start: int) -> dict[str, np.ndarray]:
    """The character errors by layer of every utterance, by its id."""
    lens = None if way == "plain" else tuned(twin_seed, start, way != "squares")
    lens = lens.shuffled(seed=start) if way == "shuffled" else lens

    def read(u: Utterance) -> np.ndarray:
        def through(_):
            values = states_of(u, twin_seed)
            return (lens(values) if lens else values)[: recogniser(None).layer_count + 1]

        return ctc_lens(recogniser(None), u.wave, through=through).character_errors(u.text)

    return {u.id: read(u) for u in spoken()}


def gain(
    a: str, b: str, variation: Variation, twin_seeds: tuple[int | None, int | None] = (None, None)
) -> np.ndarray:
    """How much lower the error is in way b than in way a, by layer."""
    start = variation.fold_seed
    found = [errors(seed, way, start) for seed, way in zip(twin_seeds, (a, b), strict=True)]
    chosen = variation.choose(spoken())
    return np.mean([found[0][u.id] - found[1][u.id] for u in chosen], axis=0)


def middle_reads_better(variation: Variation) -> tuple[bool, float]:
    by_layer = gain("plain", "tuned", variation)
    value = by_layer[len(by_layer) // 2]
    return value > 0.2, value


def maps_do_not_compute_it(variation: Variation) -> tuple[bool, float]:
    by_layer = gain("tuned", "tuned", variation, (variation.twin_seed, None))
    value = by_layer[len(by_layer) // 2]
    return value > 0.2, value


def steps_help_at_the_bottom(variation: Variation) -> tuple[bool, float]:
    value = gain("squares", "tuned", variation)[0]
    return value > 0.05, value


def own_map_reads_better(variation: Variation) -> tuple[bool, float]:
    value = gain("shuffled", "tuned", variation)[:-1].mean()
    return value > 0.1, value


@cache
def odds(twin_seed: int | None) -> ContinuumOdds:
    """The log-odds of L against R in all sounds of the continuum."""
    sounds = [u for u in load_corpus("continua") if u.info["continuum"] == "l-r"]
    lens = partial(ctc_lens, recogniser(twin_seed))
    return continuum_odds(lens, sounds, [("L", "R")])["L", "R"]


@cache
def other_odds() -> list[ContinuumOdds]:
    """The same for all pairs of other consonants, after [s] and after [t]."""
    sounds = [u for u in load_corpus("continua") if u.info["continuum"] == "l-r"]
    sounds = [u for u in sounds if u.info["context"] in ("S", "T")]
    pairs = list(combinations("BCDFGHJKMNPQWXYZ", 2))
    return list(continuum_odds(partial(ctc_lens, recogniser(None)), sounds, pairs).values())


def shift_of(found: ContinuumOdds, variation: Variation) -> np.ndarray:
    """How much the log-odds differ between [s] and [t], by layer."""
    kept = variation.keeps(found.speakers, found.contexts)
    parts = (found.odds, found.speakers, found.contexts, found.steps)
    found = ContinuumOdds(*(part[kept] for part in parts))
    return (found.curve("S") - found.curve("T")).mean(axis=0)


def beyond_the_twin(variation: Variation) -> np.ndarray:
    """How much the log-odds differ more between [s] and [t] than in the twin, by layer."""
    trained, twin = (shift_of(odds(seed), variation) for seed in (None, variation.twin_seed))
    return trained - twin


def beyond_other_letters(variation: Variation) -> tuple[bool, float]:
    found = abs(shift_of(odds(None), variation)[-1])
    others = [abs(shift_of(other, variation)[-1]) for other in other_odds()]
    value = float(np.mean(np.array(others) >= found))
    return value < 0.1, value


def sounds_of_english(variation: Variation) -> tuple[bool, float]:
    value = beyond_the_twin(variation)[-1]
    return value > 0, value


def not_in_the_convolutions(variation: Variation) -> tuple[bool, float]:
    by_layer = beyond_the_twin(variation)
    return by_layer[0] < by_layer[-1] / 4, by_layer[0] / by_layer[-1]


@cache
def whisper(name: str):
    return load_model(name, **({} if name.endswith(".en") else {"language": "en"}))


@cache
def chances(name: str, lead_s: float) -> dict[str, np.ndarray]:
    """The mean log-probability of a true word by encoder layer, by the id of the utterance."""
    texts = sorted({u.text for u in spoken()}, key=lambda text: (len(text), text))[:3]
    heard = [u for u in spoken() if u.speaker in ("slt", "ked") and u.text in texts]
    late = {u.id: after_silence(u, lead_s).wave for u in heard}
    model = whisper(name)
    return {u.id: word_chances(model, late[u.id], u.text).per_word() for u in heard}


def steps_of(name: str, variation: Variation) -> np.ndarray:
    """How much each encoder layer adds to the log-probability of a true word."""
    found = chances(name, variation.lead_s)
    chosen = variation.choose([u for u in spoken() if u.id in found])
    return np.diff(np.mean([found[u.id] for u in chosen], axis=0))


def tiny_reads_its_last_layer(variation: Variation) -> tuple[bool, float]:
    steps = steps_of("openai/whisper-tiny.en", variation)
    return steps[-1] > steps[:-1].sum(), steps[-1] / steps.sum()


def base_reads_earlier(variation: Variation) -> tuple[bool, float]:
    steps = steps_of("openai/whisper-base", variation)
    return steps.argmax() < len(steps) - 1, steps[-1] / steps.sum()


HALVES = ("speakers", "sentences")
CLAIMS = [
    Claim(
        "The middle layer of the recogniser reads better through its map than plainly.",
        "character error, plain lens less tuned lens", "above 0.2", middle_reads_better,
        (*HALVES, "fold_seed"),
    ),
    Claim(
        "The same maps from untrained states compute much less of it.",
        "character error in the middle layer, maps from the twin's states less the trained ones'",
        "above 0.2", maps_do_not_compute_it, (*HALVES, "fold_seed", "twin_seed"),
    ),
    Claim(
        "Steps on what the head says read layer 0 better than least squares alone.",
        "character error of layer 0, least squares less sharpened", "above 0.05",
        steps_help_at_the_bottom, (*HALVES, "fold_seed"),
    ),
    Claim(
        "Maps of other layers read worse than the layer's own.",
        "character error, shuffled less own, mean over the layers below the last", "above 0.1",
        own_map_reads_better, (*HALVES, "fold_seed"),
    ),
    Claim(
        "After [s] the same sound is closer to L than after [t] in the last layer, by more than in "
        "the untrained twin.", "log-odds after [s] less after [t], less those of the twin",
        "above 0", sounds_of_english, ("speakers", "twin_seed"),
    ),
    Claim(
        "Few pairs of other consonants are moved as much as L and R.",
        "share of the other pairs whose log-odds differ as much in the last layer", "below 10 %",
        beyond_other_letters, ("speakers",),
    ),
    Claim(
        "Behind the convolutions there is little of this shift.",
        "the shift beyond the twin's in layer 0, as a share of the last layer's", "below a quarter",
        not_in_the_convolutions, ("speakers", "twin_seed"),
    ),
    Claim(
        "In whisper-tiny.en most of what makes true words probable to the decoder comes with the "
        "last encoder layer.", "the last layer's share of the rise of the log-probability",
        "above one half", tiny_reads_its_last_layer, (*HALVES, "lead_s"),
    ),
    Claim(
        "In whisper-base the largest step comes before the last encoder layer.",
        "the last layer's share of the rise of the log-probability", "not the largest",
        base_reads_earlier, (*HALVES, "lead_s"),
    ),
]  # fmt: skip
