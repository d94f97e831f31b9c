"""Maps between the words of an utterance, in one call: frames, tokens and groups are found here.

The long way, step by step, is the chapter on context mixing; the measures are in `context_mixing`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from speech_interp.methods.context_mixing import (
    AttentionStep,
    Indices,
    Measure,
    group_frames,
    record_attention,
    value_zeroing,
    word_map,
)
from speech_interp.speech.corpus import Interval, Utterance
from speech_interp.states.frames import frame_grid, frames_in
from speech_interp.states.hidden_states import model_inputs
from speech_interp.states.prompts import whisper_prompt
from speech_interp.states.scores import tokens_of


@dataclass(frozen=True, eq=False)
class WordMaps:
    """What each word takes from each other word, in all layers of one stack.

    A row receives and sums to one over the words that give; NaN where a decoder cannot look, at
    the word itself and those after it. Beside a row stand its shares that came from no word.
    """

    stack: str  # "encoder", "decoder" (self-attention) or "cross" (decoder to encoder)
    words: tuple[Interval, ...]
    scores: Float[Tensor, "layer target source"]
    pause: Float[Tensor, "layer target"]  # from frames in no word; in a decoder its start tokens
    padding: Float[Tensor, "layer target"]  # from frames behind the recording

    def shown(self, layer: int | None = None) -> dict:
        """Return what `listen` takes: `listen(utterance, **maps["encoder"].shown(layer=2))`.

        `layer`: 1 is the first; without it the last. Raises ValueError for any other.
        """
        count = len(self.scores)
        layer = count if layer is None else layer
        if not 1 <= layer <= count:
            raise ValueError(f"layer is {layer}, expected 1 to {count} in the {self.stack}")
        name = f"share of row, {self.stack} layer {layer}"
        rows = {"rows": self.words, "columns": self.words, "tiers": ["words"]}
        return rows | {"scores": self.scores[layer - 1], "score_name": name, "limits": (0, 1)}


def word_maps(model, utterance: Utterance, measure: Measure = value_zeroing) -> dict[str, WordMaps]:
    """Return the maps of "encoder" and, for Whisper, of "decoder" and "cross", from one pass.

    `measure`: any of `context_mixing`. In the encoder a word is its frames. Whisper's decoder is
    given the true words; there the row of a word is the position that begins to write it, and its
    columns are its tokens, in "cross" its frames. Words are spelled as in the text where it has as
    many, else as labelled. Raises ValueError for an utterance without words, a word that holds no
    frame, and families whose attention is not recorded.
    """
    sound = model_inputs(model, utterance.wave)
    words, pause, padding = word_frames(model, utterance)
    frames = {"sources": words, "pause": pause, "padding": padding}
    where = {"encoder": frames | {"targets": words}}
    if model.family == "whisper":
        start, tokens = whisper_prompt(model, utterance.wave), _spelled(model, utterance)
        ids = [*start, *(token for word in tokens for token in word)]
        read = torch.arange(len(start), len(ids)).split([len(word) for word in tokens])
        writes = [place[:1] - 1 for place in read]
        where["decoder"] = {"targets": writes, "sources": read, "pause": torch.arange(len(start))}
        where["cross"] = frames | {"targets": writes}
        inputs = {"decoder_input_ids": torch.tensor([ids], device=sound.device), "use_cache": False}
        steps = record_attention(model.module, input_features=sound, **inputs)
    else:
        steps = record_attention(model.module, input_values=sound)
    return {stack: _maps(steps, stack, measure, utterance.words, where[stack]) for stack in where}


def word_frames(model, utterance: Utterance) -> tuple[list[Indices], Indices, Indices]:
    """Return the frames of each word, those of the recording in no word, and the padding.

    Raises ValueError, with the utterance and the word, where there is no word or one has no frame.
    """
    if not utterance.words:
        raise ValueError(
            f"{utterance.id}: no words, expected their times; `alignment.align` finds them"
        )
    grid = frame_grid(model)
    speech_count = grid.count(len(utterance.wave))
    times_s = grid.times_s(speech_count)
    spans = [frames_in(times_s, word.start_s, word.end_s) for word in utterance.words]
    for word, span in zip(utterance.words, spans, strict=True):
        if span.stop <= span.start:
            raise ValueError(
                f"{utterance.id}: {word.label!r} at {word.start_s:.3f}-{word.end_s:.3f} s holds "
                f"the centre of no frame; they lie at {times_s[0]:.3f}-{times_s[-1]:.3f} s"
            )
    whole_window = model.family == "whisper"
    frame_count = model.module.config.max_source_positions if whole_window else speech_count
    return group_frames(spans, speech_count=speech_count, frame_count=frame_count)


def _spelled(model, utterance: Utterance) -> list[list[int]]:
    spelled = utterance.text.split()
    if len(spelled) != len(utterance.words):
        spelled = [word.label for word in utterance.words]
    return [tokens_of(model, word.strip(".,?!")) for word in spelled]


def _maps(
    steps: Sequence[AttentionStep],
    stack: str,
    measure: Measure,
    words: tuple[Interval, ...],
    where: dict,
) -> WordMaps:
    maps = [word_map(step, measure, **where) for step in steps if step.stack == stack]
    scores = torch.stack([found.scores for found in maps])
    if stack == "decoder":
        unseen = torch.ones(len(words), len(words), dtype=torch.bool).triu()
        scores = scores.masked_fill(unseen, torch.nan)
    pause, padding = (
        torch.stack([getattr(m, name) for m in maps]) for name in ("pause", "padding")
    )
    return WordMaps(stack, words, scores, pause, padding)
