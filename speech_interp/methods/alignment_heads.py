"""Alignment heads: do the tokens that Whisper writes look at the sound of their words?

The row of cross-attention that *writes* a token is that of the position before it. For each head,
every frame goes to one token, in order, so that attention is highest in sum; where the owner
changes from one word to the next, a word begins.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from speech_interp.speech.corpus import SILENCE, Utterance
from speech_interp.states.attention import AttentionStep, record_attention
from speech_interp.states.frames import frame_grid
from speech_interp.states.hidden_states import model_inputs
from speech_interp.states.scores import Written, whisper_words
from speech_interp.states.text_scores import target_ids


def teacher_forced(model, utterance: Utterance) -> tuple[list[AttentionStep], list[Written]]:
    """Return every attention of Whisper while it is given the true text, and the text's words."""
    ids = target_ids(model, utterance)
    steps = record_attention(
        model.module,
        input_features=model_inputs(model, utterance.wave),
        decoder_input_ids=torch.tensor([ids]),
        use_cache=False,
    )
    return steps, whisper_words(model, ids)


def timing_errors_ms(
    model, utterance: Utterance, steps: Sequence[AttentionStep], words: Sequence[Written]
) -> Float[ndarray, "layer head"]:
    """Return for every cross-attention head how far word starts are from the truth, median, in ms.

    `steps` and `words` are those of `teacher_forced`. Raises ValueError if the tokenizer's words
    are not those of the utterance.
    """
    grid = frame_grid(model)
    times_s = grid.times_s(grid.count(len(utterance.wave)))
    truth_s = [word.start_s for word in utterance.words if word.label != SILENCE]
    places = [word.places for word in words]
    found = [word_starts(s, places, times_s) for s in steps if s.stack == "cross"]
    return np.stack([start_errors_ms(starts_s, truth_s) for starts_s in found])


def frames_of_tokens(weights: Float[Tensor, "head token frame"]) -> Int[ndarray, "head frame"]:
    """Return the token that owns each frame, for each head: in order, every token one or more.

    The sum that is highest is that of weights standardised within each frame over the tokens, so
    that frames at which all tokens look decide nothing. Raises ValueError with more tokens than
    frames.
    """
    heads, tokens, frames = weights.shape
    if tokens > frames:
        raise ValueError(f"weights have {tokens} tokens and {frames} frames, expected no more")
    spread = weights.std(1, unbiased=False, keepdim=True).clamp_min(1e-9)
    gain = ((weights - weights.mean(1, keepdim=True)) / spread).double().numpy()
    total = np.full((heads, tokens), -np.inf)
    total[:, 0] = gain[:, 0, 0]
    moved = np.zeros((frames, heads, tokens), dtype=bool)
    for frame in range(1, frames):
        before = np.concatenate([np.full((heads, 1), -np.inf), total[:, :-1]], axis=1)
        moved[frame] = before > total
        total = np.maximum(before, total) + gain[:, :, frame]
    owner = np.full(heads, tokens - 1)
    owners = np.zeros((heads, frames), dtype=int)
    for frame in range(frames - 1, -1, -1):
        owners[:, frame] = owner
        owner = owner - moved[frame, np.arange(heads), owner]
    return owners


def word_starts(
    step: AttentionStep,
    words: Sequence[Sequence[int]],
    times_s: Float[ndarray, " frame"],
) -> Float[ndarray, "head word"]:
    """Return when each word begins, in seconds, by every head of one cross-attention.

    `words`: the places of each word's tokens in the decoder sequence (`scores.whisper_words`);
    the position after the last one, which writes the end of the text, takes what sound is left.
    `times_s`: the frames of the recording, without padding. The first word begins with the first
    frame, whatever the head does: leave it out of any score.
    Raises ValueError for another attention than the cross one.
    """
    if step.stack != "cross":
        raise ValueError(f"step is of the stack {step.stack!r}, expected 'cross'")
    first, last = words[0][0] - 1, words[-1][-1]  # the row before a token writes it
    rows = torch.arange(first, min(last + 1, step.query_count))
    owners = frames_of_tokens(step.weights(rows)[:, :, : len(times_s)])
    first_rows = [places[0] - 1 - first for places in words]
    return np.stack([times_s[(owners >= row).argmax(axis=1)] for row in first_rows], axis=1)


def start_errors_ms(
    found_s: Float[ndarray, "head word"], truth_s: Sequence[float]
) -> Float[ndarray, " head"]:
    """Return the median distance of word starts from the truth in ms, without the first word."""
    truth = np.asarray(truth_s, dtype=float)
    if found_s.shape[1] != len(truth) or len(truth) < 2:
        raise ValueError(
            f"{found_s.shape[1]} words were found and {len(truth)} are true, "
            "expected equal numbers, 2 or more"
        )
    return 1000 * np.median(np.abs(found_s - truth)[:, 1:], axis=1)
