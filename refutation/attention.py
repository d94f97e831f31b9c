"""What the chapter on attention says, computed again."""

from functools import cache

import numpy as np

from refutation.claims import Claim, NotApplicable, Variation
from speech_interp import load_corpus, load_model
from speech_interp.methods.alignment_heads import teacher_forced, timing_errors_ms
from speech_interp.methods.attention_edits import all_heads, heads_ablated
from speech_interp.methods.head_ablation import random_heads
from speech_interp.methods.head_patterns import (
    HeadPatterns,
    collect_patterns,
    encoder_attention,
    relabelled,
    speech_frames,
)
from speech_interp.speech.corpus import Utterance, after_silence
from speech_interp.states.text_scores import ctc_quality, whisper_log_prob

FIVE = 5  # heads of a group


@cache
def model(name: str):
    return load_model(name)


@cache
def sentences(lead_s: float, part: str) -> list[Utterance]:
    """The first or the second set of the page, or the sentences of the small models."""
    corpus = [u for u in load_corpus("sentences") if u.split == "test" and u.speaker != "joe"]
    said = {(u.speaker, u.text): u for u in corpus}
    speakers = sorted({speaker for speaker, _ in said})
    shared = [t for t in {u.text for u in corpus} if all((s, t) in said for s in speakers)]
    texts = sorted(shared, key=lambda text: (len(text), text))[: len(speakers)]
    if part == "all":
        return [said[s, text] for s in speakers for text in texts[:4]]
    step = 0 if part == "first" else -3
    chosen = [said[s, texts[k + step]] for k, s in enumerate(speakers)]
    return [after_silence(u, lead_s) if lead_s else u for u in chosen]


@cache
def passed(lead_s: float, part: str) -> tuple:
    """For each utterance: patterns, times of the cross heads, same phone with labels moved."""
    whisper, rows = model("openai/whisper-tiny.en"), []
    for u in sentences(lead_s, part):
        steps, words = teacher_forced(whisper, u)
        known = speech_frames(whisper, u)
        encoder = [step for step in steps if step.stack == "encoder"]
        found = HeadPatterns.of_steps(encoder, **known)
        known["labels"] = relabelled(known["labels"])
        null = HeadPatterns.of_steps(encoder, **known).values["same_phone"][0]
        rows.append((found, timing_errors_ms(whisper, u, steps, words), null))
    return tuple(rows)


def chosen(variation: Variation, part: str) -> tuple[list, list]:
    """The utterances and their passes that a variation leaves."""
    spoken = sentences(variation.lead_s, part)
    keeps = variation.keeps([u.speaker for u in spoken], [u.text for u in spoken])
    if keeps.sum() < 2:
        raise NotApplicable("fewer than two utterances are left")
    passes = passed(variation.lead_s, part)
    places = np.flatnonzero(keeps)
    return [spoken[k] for k in places], [passes[k] for k in places]


@cache
def log_prob(lead_s: float, place: int, group: tuple, in_recording: bool) -> float:
    whisper, u = model("openai/whisper-tiny.en"), sentences(lead_s, "second")[place]
    count = speech_frames(whisper, u)["speech_count"] if in_recording else None
    with heads_ablated(whisper.module, group, count=count):
        return whisper_log_prob(whisper, u)


def beyond_others(variation: Variation, stack: str, score: np.ndarray) -> tuple[bool, float]:
    """Whether the five heads of the highest score cost more than others of their layers."""
    pool = all_heads(model("openai/whisper-tiny.en").module, stack)
    group = [pool[k] for k in np.argsort(-score.ravel())[:FIVE]]
    tested, _ = chosen(variation, "second")
    names = [u.id for u in sentences(variation.lead_s, "second")]
    draws = random_heads(pool, group, draws=len(tested), seed=variation.fold_seed)
    gaps = []
    for u, others in zip(tested, draws, strict=True):
        place = names.index(u.id)
        own, other = (
            log_prob(variation.lead_s, place, tuple(g), stack == "encoder") for g in (group, others)
        )
        gaps.append(other - own)
    return np.mean(gaps) > 0, float(np.mean(gaps))


def diagonal_heads_matter(variation: Variation) -> tuple[bool, float]:
    _, passes = chosen(variation, "first")
    score = np.mean([p.values["diagonality"][0] for p, _, _ in passes], axis=0)
    return beyond_others(variation, "encoder", score)


def alignment_heads_matter(variation: Variation) -> tuple[bool, float]:
    _, passes = chosen(variation, "first")
    return beyond_others(variation, "cross", -np.mean([t for _, t, _ in passes], axis=0))


def same_phone_head(variation: Variation) -> tuple[bool, float]:
    _, passes = chosen(variation, "first")
    score = np.mean([p.values["same_phone"][0] for p, _, _ in passes], axis=0)
    best = np.unravel_index(score.argmax(), score.shape)
    _, tested = chosen(variation, "second")
    gap = np.mean([p.values["same_phone"][0][best] - null[best] for p, _, null in tested])
    return gap > 0.1, float(gap)


def positions_draw_the_diagonal(variation: Variation) -> tuple[bool, float]:
    spoken, passes = chosen(variation, "first")
    score = np.mean([p.values["diagonality"][0] for p, _, _ in passes], axis=0)
    top = np.argsort(-score.ravel())[:FIVE]
    place, sound = (
        collect_patterns(
            model("openai/whisper-tiny.en"),
            spoken[:3],
            record=encoder_attention,
            moved=variation.fold_seed,
            by=by,
        ).mean()["diagonality"]
        for by in ("position", "content")
    )
    gap = (place - sound).ravel()[top]
    return gap.min() > 0, float(gap.min())


@cache
def windows(name: str) -> np.ndarray:
    return collect_patterns(model(name), sentences(0.0, "all")).values["window"].mean(2)


def tuning_narrows_the_top(variation: Variation) -> tuple[bool, float]:
    spoken = sentences(0.0, "all")
    keeps = variation.keeps([u.speaker for u in spoken], [u.text for u in spoken])
    names = ("facebook/wav2vec2-base-960h", "facebook/wav2vec2-base")
    after, before = (windows(name)[keeps, -1].mean() for name in names)
    return after < before, float(after - before)


@cache
def letters(way: str) -> np.ndarray:
    """Log-probability by letter and character error of the CTC model, for every second sentence."""
    ctc, spoken = model("facebook/wav2vec2-base-960h"), sentences(0.0, "all")[::2]
    heads = all_heads(ctc.module) if way == "averaged" else []
    rows = []
    for u in spoken:
        with heads_ablated(ctc.module, heads):
            rows.append(ctc_quality(ctc, u))
    return np.array(rows)


def averaging_costs_letters(variation: Variation) -> tuple[bool, float]:
    spoken = sentences(0.0, "all")[::2]
    keeps = variation.keeps([u.speaker for u in spoken], [u.text for u in spoken])
    more = 100 * (letters("averaged") - letters("whole"))[keeps, 1].mean()
    return more > 0, float(more)


HALVES = ("speakers", "sentences")
WHISPER = ("speakers", "fold_seed", "lead_s")
CLAIMS = [
    Claim(
        "Ablating the five most diagonal heads of Whisper's encoder costs more than as many "
        "others of the same layers.",
        "fall of the log-probability by token beyond that of the others", "above 0",
        diagonal_heads_matter, WHISPER,
    ),
    Claim(
        "Ablating the five best alignment heads costs more than as many others of the same "
        "layers.",
        "fall of the log-probability by token beyond that of the others", "above 0",
        alignment_heads_matter, WHISPER,
    ),
    Claim(
        "A head of Whisper's encoder looks for its own phone, beyond the run of the query.",
        "share on the own phone less that on phones that changed places", "above 0.1",
        same_phone_head, ("speakers", "lead_s"),
    ),
    Claim(
        "The five most diagonal heads follow positions, not sound.",
        "the smallest difference of diagonality, by position less by sound", "above 0",
        positions_draw_the_diagonal, WHISPER,
    ),
    Claim(
        "Fine-tuning for letters narrows the window of the top layer.",
        "frames of the window, after less before", "below 0", tuning_narrows_the_top, HALVES,
    ),
    Claim(
        "The CTC model writes more letters wrong when every head gives its mean.",
        "% of letters, averaged less whole", "above 0", averaging_costs_letters, HALVES,
    ),
]  # fmt: skip
