"""Claims of `notebooks/context_mixing.ipynb`: on every sentence of the corpus, in both voices.

The page takes each text once, in one voice; here all sentences that Whisper spells right take part,
and intervals draw pairs anew, and voices where there are two.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from scipy.stats import spearmanr

from refutation.claims import Claim, NotApplicable, Variation
from speech_interp import load_corpus, load_model
from speech_interp.methods.context_mixing import raw_attention, value_zeroing
from speech_interp.speech.corpus import Utterance, after_silence
from speech_interp.states.hidden_states import encoder_of, model_inputs
from speech_interp.statistics.layer_scores import LayerScores
from speech_interp.studies import control_words, homophones, word_rows

MEASURES = {"raw attention": raw_attention, "Value Zeroing": value_zeroing}
OF_TWIN = 24  # sentences that go through an untrained twin


@dataclass(frozen=True, eq=False)
class Measured:
    """What one sentence gives, at one place of Whisper's clock; log-odds are of the spellings."""

    row: word_rows.SentenceRows
    removed: np.ndarray  # fall of the log-odds without each word before the target, in the text
    exchanged: dict[str, float]  # mean fall with other words in place of the cue
    silenced: float  # fall with the cue silenced in the sound


@cache
def sentences() -> list[Utterance]:
    spelled = [u for u in load_corpus("homophones") if u.info["whisper_right"]]
    spelled = [u for u in spelled if u.info["target"] - u.info["cue"] >= 2]
    return control_words.with_control(spelled, control_words.content_word)


@cache
def whisper(twin_seed: int | None = None):
    if twin_seed is None:
        return load_model("openai/whisper-tiny.en")
    return load_model("openai/whisper-tiny.en", random_init=True, seed=twin_seed)


@cache
def measured(lead_s: float) -> dict[str, Measured]:
    """Return what every sentence gives, by its id."""
    return {u.id: _measure(u, lead_s) for u in sentences()}


def _measure(utterance: Utterance, lead_s: float) -> Measured:
    model, rng = whisper(), np.random.default_rng(0)
    late = after_silence(utterance, lead_s)
    (row,) = word_rows.read_rows(model, [late], MEASURES, progress=False)
    cue, choice = utterance.info["cue"], row.choice
    blanked = [choice.prefix(without=[k]) for k in range(utterance.info["target"])]
    others = control_words.other_cues(load_corpus("homophones"), utterance)
    chosen = {kind: rng.permutation(words)[:3] for kind, words in others.items()}
    swapped = {
        kind: [choice.prefix(instead={cue: homophones.tokens_of(model, w)}) for w in words]
        for kind, words in chosen.items()
    }
    prefixes = [choice.prefix(), *blanked, *(p for found in swapped.values() for p in found)]
    odds = homophones.log_odds(model, row.states, choice, prefixes) @ [1, -1]
    falls = list(odds[0] - odds[1:])
    removed, falls = np.array(falls[: len(blanked)]), falls[len(blanked) :]
    exchanged = {}
    for kind, found in swapped.items():
        exchanged[kind] = float(np.mean(falls[: len(found)])) if found else np.nan
        falls = falls[len(found) :]
    with torch.no_grad():
        wave = homophones.silence(late, cue)
        states = encoder_of(model)(model_inputs(model, wave)).last_hidden_state
    silent = homophones.log_odds(model, states, choice, [choice.prefix()])[0] @ [1, -1]
    return Measured(row, removed, exchanged, odds[0] - silent)


def asked(variation: Variation) -> tuple[list[Utterance], list[Measured]]:
    chosen = variation.choose(sentences())
    found = measured(variation.lead_s)
    return chosen, [found[u.id] for u in chosen]


def mean_of(values, utterances: list[Utterance], variation: Variation) -> LayerScores:
    """Return the mean of one number a sentence; pairs are drawn anew, and two voices."""
    groups = [[u.info["pair"] for u in utterances]]
    if len({u.speaker for u in utterances}) > 1:
        groups.append([u.speaker for u in utterances])
    values = np.asarray(values, float)[:, None]
    return LayerScores.of_items(values, *groups, seed=variation.fold_seed)


def above_zero(values, utterances, variation) -> tuple[bool, float]:
    low = float(mean_of(values, utterances, variation).interval()[0, 0])
    return low > 0, low


def gaps(utterances, found, stack: str, rows=None) -> np.ndarray:
    controls = control_words.matched_controls(utterances, control_words.content_word)
    rows = [m.row for m in found] if rows is None else rows
    return word_rows.cue_minus_control(rows, controls, "Value Zeroing", stack)


def decoder_last_layer(variation):
    utterances, found = asked(variation)
    return above_zero(gaps(utterances, found, "decoder")[:, -1], utterances, variation)


def twin_is_even(variation):
    utterances = variation.choose(sentences())
    few = utterances[:: max(1, len(utterances) // OF_TWIN)]
    late = [after_silence(u, variation.lead_s) for u in few]
    rows = word_rows.read_rows(whisper(variation.twin_seed), late, MEASURES, progress=False)
    values = gaps(few, [], "decoder", rows)[:, -1]
    furthest = float(np.abs(mean_of(values, few, variation).interval()).max())
    return furthest < 5, furthest


def encoder_small(variation):
    utterances, found = asked(variation)
    values = gaps(utterances, found, "encoder").mean(1)
    high = float(mean_of(values, utterances, variation).interval()[1, 0])
    return high < 1, high


def exchange(more: str, less: str):
    def holds(variation):
        utterances, found = asked(variation)
        values = [m.exchanged[more] - m.exchanged[less] for m in found]
        whole = np.isfinite(values)
        kept = [u for u, w in zip(utterances, whole, strict=True) if w]
        return above_zero(np.array(values)[whole], kept, variation)

    return holds


def sound_less_than_text(variation):
    utterances, found = asked(variation)
    values = [m.exchanged["opposite"] - m.silenced for m in found]
    return above_zero(values, utterances, variation)


def padding(variation):
    utterances, found = asked(variation)
    parts = [[m.row.outside[name, "cross"][:, 1].mean() for m in found] for name in MEASURES]
    return above_zero(np.subtract(*parts), utterances, variation)


def share_follows_drop(variation):
    utterances, found = asked(variation)
    ranks = [
        spearmanr(m.row.scores["Value Zeroing", "decoder"].mean(0), m.removed).statistic
        for m in found
    ]
    return above_zero(np.nan_to_num(ranks), utterances, variation)


def ctc_spells(variation):
    if variation.lead_s:
        raise NotApplicable("the CTC model has no clock")
    model = load_model("facebook/wav2vec2-base-960h", head="ctc")
    utterances, right = variation.choose(sentences()), 0
    for u in utterances:
        with torch.no_grad():
            letters = model.module(model_inputs(model, u.wave)).logits.argmax(-1)[0]
        right += u.info["spelling"] in model.processor.decode(letters).lower().split()
    return right / len(utterances) < 0.75, right / len(utterances)


LOW = "lower end of the 95 % interval over pairs (and voices)"
CLAIMS = [
    Claim(
        "In the last layer of Whisper's decoder the cue gives more of the target's row than "
        "another content word at the same distance.",
        f"cue minus control by Value Zeroing, % of the row: {LOW}", "above 0", decoder_last_layer,
    ),
    Claim(
        "The decoder of an untrained twin shows hardly any such difference.",
        f"the same in a twin, some {OF_TWIN} sentences: the end of the 95 % interval that is "
        "further from 0", "below 5", twin_is_even,
    ),
    Claim(
        "In Whisper's encoder the cue gives hardly more than the control.",
        "cue minus control by Value Zeroing, mean over layers, % of the row: upper end of the "
        "95 % interval", "below 1", encoder_small,
    ),
    Claim(
        "A cue for the other spelling in the decoder's text lowers the log-odds of the right one "
        "more than an unrelated word in the same place.",
        f"difference of the falls: {LOW}", "above 0", exchange("opposite", "unrelated"),
    ),
    Claim(
        "An unrelated word in the place of the cue lowers the log-odds more than another cue for "
        "the same spelling.",
        f"difference of the falls: {LOW}", "above 0", exchange("unrelated", "same"),
    ),
    Claim(
        "Silencing the cue in the sound lowers the log-odds less than exchanging it in the text.",
        f"fall with the opposite cue minus fall with the cue silenced: {LOW}", "above 0",
        sound_less_than_text,
    ),
    Claim(
        "Raw attention puts more of the target's cross-attention on Whisper's padding than Value "
        "Zeroing does.",
        f"difference of the shares: {LOW}", "above 0", padding,
    ),
    Claim(
        "Shares by Value Zeroing in the decoder rank a sentence's words as blanking them does.",
        f"rank correlation within sentences: {LOW}", "above 0", share_follows_drop,
    ),
    Claim(
        "The CTC model does not spell by context, so no map of it can show where it would.",
        "share of the targets that it writes right", "below .75", ctc_spells,
    ),
]  # fmt: skip
