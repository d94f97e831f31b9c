"""When each word was said, for speech of which only the text is known.

`align` finds words with a CTC model, by their letters [graves2006ctc]; `phone_alignment` finds
words and phones. Both lay the text over the frames by the best path (Viterbi), the whole text over
the whole sound: recordings are cut at pauses first, to at most `hidden_states.LONGEST_PASS_S`.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from speech_interp.speech.audio import RATE_HZ, TooLongAudioError, check_wave
from speech_interp.speech.corpus import SILENCE, Interval, Utterance
from speech_interp.states.frames import head_grid
from speech_interp.states.hidden_states import LONGEST_PASS_S, model_inputs

#: A CTC letter is a spike somewhere inside its sound: how far a word may reach beyond its letters.
#: Anything from 0.03 to 0.07 does as well on the tutorial corpus.
REACH_S = 0.05


class AlignmentError(ValueError):
    """A text that cannot be laid over the sound; the message says which part and why."""


@dataclass(frozen=True)
class Chain:
    """What a frame can be, in order: labels, and gaps before, after and between them."""

    columns: Int[ndarray, " state"]  # of the log-probabilities
    owners: Int[ndarray, " state"]  # the word that a state belongs to; -1: none
    may_skip: Bool[ndarray, " state"]  # may follow the state before the one before it


def align(model, utterance: Utterance) -> Utterance:
    """The utterance with its `words` timed by a CTC model, from the letters of its `text`.

    `info["alignment"]` is the mean log-probability of a frame on the path: compare it with that
    of a wrong text. Raises `AlignmentError`, and `AudioError` for sound that no model takes.
    """
    words = words_of(utterance)
    letters, owners = _spell(model, utterance.id, words)
    log_probs, times_s = _letter_log_probs(model, utterance.wave)
    chain = ctc_chain(letters, owners, gap=model.module.config.pad_token_id)
    path, score = best_path(log_probs, chain)
    edges_s = frame_edges(times_s, utterance.duration_s)
    letters_only = spans(words, chain.owners[path], edges_s)
    return replace(
        utterance,
        words=_widened(letters_only, utterance.duration_s),
        info=utterance.info | {"alignment": score},
    )


def boundary_errors(
    found: Sequence[Interval], truth: Sequence[Interval]
) -> Float[ndarray, "interval 2"]:
    """How much too late each interval starts and ends, in seconds; pauses do not count.

    Raises `AlignmentError` where the labels differ by more than upper and lower case: then
    boundaries have no counterpart.
    """
    found, truth = ([i for i in tier if i.label != SILENCE] for tier in (found, truth))
    if [i.label.casefold() for i in found] != [i.label.casefold() for i in truth]:
        raise AlignmentError(
            f"labels differ: {' '.join(i.label for i in found)} against "
            f"{' '.join(i.label for i in truth)}"
        )
    pairs = zip(found, truth, strict=True)
    return np.array([(a.start_s - b.start_s, a.end_s - b.end_s) for a, b in pairs]).reshape(-1, 2)


def spread(labels: Sequence[str], start_s: float, end_s: float) -> tuple[Interval, ...]:
    """The labels side by side from `start_s` to `end_s`, all of one length: the null of alignment,
    and where no scorer of phones is at hand the honest guess within a word."""
    edges_s = np.linspace(start_s, end_s, len(labels) + 1).tolist()
    return tuple(map(Interval, labels, edges_s[:-1], edges_s[1:]))


def words_of(utterance: Utterance) -> list[str]:
    """The words of the text in lower case, without punctuation. Raises AlignmentError if none."""
    text = unicodedata.normalize("NFC", utterance.text).replace("\u2019", "'")
    text = re.sub("[\u2013\u2014]", " ", text)  # dashes part words, hyphens join them
    kept = ("".join(c for c in token if c.isalnum() or c == "'") for token in text.split())
    words = [word.strip("'").lower() for word in kept if word.strip("'")]
    if not words:
        raise AlignmentError(f"{utterance.id}: the text {utterance.text!r} has no words")
    return words


def ctc_chain(labels: Sequence[int], owners: Sequence[int], *, gap: int) -> Chain:
    """CTC's states: the blank around every label, needed only between two that are alike."""
    count = 2 * len(labels) + 1
    columns, whose = np.full(count, gap), np.full(count, -1)
    columns[1::2], whose[1::2] = labels, owners
    may_skip = np.zeros(count, dtype=bool)
    may_skip[3::2] = columns[3::2] != columns[1:-2:2]
    return Chain(columns, whose, may_skip)


def best_path(
    log_probs: Float[ndarray, "frame label"], chain: Chain
) -> tuple[Int[ndarray, " frame"], float]:
    """The state of each frame on the most probable path, and its mean log-probability a frame.

    A path begins in one of the first two states and ends in one of the last two. Raises
    `AlignmentError` where there is no path or a log-probability is NaN.
    """
    _check_frames(log_probs, chain)
    count = len(chain.columns)
    total = np.full(count, -np.inf)
    total[:2] = log_probs[0, chain.columns[:2]]
    steps = np.zeros((len(log_probs), count), dtype=np.int8)
    moves = np.full((3, count), -np.inf)
    for frame in range(1, len(log_probs)):
        moves[0] = total
        moves[1, 1:] = total[:-1]
        moves[2, 2:] = np.where(chain.may_skip[2:], total[:-2], -np.inf)
        steps[frame] = moves.argmax(axis=0)
        total = moves.max(axis=0) + log_probs[frame, chain.columns]
    path = [max(range(max(0, count - 2), count), key=lambda state: total[state])]
    if total[path[0]] == -np.inf:
        raise AlignmentError(f"every path of the text over {len(log_probs)} frames is impossible")
    for step in steps[:0:-1]:
        path.append(path[-1] - int(step[path[-1]]))
    return np.array(path[::-1]), float(total[path[0]] / len(log_probs))


def _check_frames(log_probs: Float[ndarray, "frame label"], chain: Chain) -> None:
    broken = np.flatnonzero(np.isnan(log_probs).any(axis=1))
    if len(broken):
        raise AlignmentError(f"log_probs: NaN in frame {broken[0]}; is the model broken?")
    states = np.arange(len(chain.columns))
    # A state costs a frame unless the next may skip it; the first and the last are free.
    free = np.append(chain.may_skip[1:], True) | (states == 0)
    needed = max(1, int((~free).sum()))
    if needed > len(log_probs):
        raise AlignmentError(
            f"the text needs at least {needed} frames, the sound has {len(log_probs)}; "
            "is it the text of this sound?"
        )


def frame_edges(times_s: Float[ndarray, " frame"], duration_s: float) -> Float[ndarray, " edge"]:
    """Where frames meet: half-way between their centres; the first and last reach to the ends."""
    return np.concatenate([[0.0], (times_s[1:] + times_s[:-1]) / 2, [duration_s]])


def spans(
    labels: Sequence[str], place_of_frame: Int[ndarray, " frame"], edges_s: Float[ndarray, " edge"]
) -> tuple[Interval, ...]:
    """One interval for each label that has frames; place -1 is no label's."""
    found = []
    for place in np.unique(place_of_frame[place_of_frame >= 0]):
        frames = np.flatnonzero(place_of_frame == place)
        start_s, end_s = edges_s[frames[0]], edges_s[frames[-1] + 1]
        found.append(Interval(labels[place], float(start_s), float(end_s)))
    return tuple(found)


def _spell(model, name: str, words: Sequence[str]) -> tuple[list[int], list[int]]:
    """The column of each letter, with the delimiter between words, and the word it belongs to."""
    tokenizer = getattr(model.processor, "tokenizer", None)
    if tokenizer is None or not hasattr(model.module, "lm_head"):
        raise AlignmentError(f"{model.name} has no letters: load a model with a CTC head")
    vocabulary = tokenizer.get_vocab()
    delimiter = vocabulary.get(getattr(tokenizer, "word_delimiter_token", None))
    columns, owners = [], []
    for number, word in enumerate(words):
        if number and delimiter is not None:
            columns.append(delimiter)
            owners.append(-1)
        for letter in word:
            cases = [case for case in (letter, letter.upper()) if case in vocabulary]
            if not cases:
                raise AlignmentError(
                    f"{name}: {letter!r} in {word!r} is not in the alphabet of {model.name}; "
                    "spell it in that alphabet (numbers as words) or take another model"
                )
            columns.append(vocabulary[cases[0]])
            owners.append(number)
    return columns, owners


@torch.no_grad()
def _letter_log_probs(
    model, wave: Float[ndarray, " sample"]
) -> tuple[Float[ndarray, "frame letter"], Float[ndarray, " frame"]]:
    check_wave(wave)
    if len(wave) > LONGEST_PASS_S * RATE_HZ:
        raise TooLongAudioError(
            f"wave: {len(wave) / RATE_HZ:.1f} s, alignment takes at most {LONGEST_PASS_S:.0f} s; "
            "cut the recording at pauses"
        )
    logits = model.module(model_inputs(model, wave)).logits[0]
    log_probs = logits.cpu().double().log_softmax(-1).numpy()
    return log_probs, head_grid(model).times_s(len(log_probs))


def _widened(words: Sequence[Interval], duration_s: float) -> tuple[Interval, ...]:
    """Words that share the gaps between them, up to `REACH_S` each: what is left is a pause."""
    shared = [min(REACH_S, (b.start_s - a.end_s) / 2) for a, b in pairwise(words)]
    first, last = min(REACH_S, words[0].start_s), min(REACH_S, duration_s - words[-1].end_s)
    return tuple(
        Interval(word.label, word.start_s - before, word.end_s + after)
        for word, before, after in zip(words, [first, *shared], [*shared, last], strict=True)
    )
