"""Rows of the ambiguous word: what its frames, and the token that writes it, take from each word.

`places` says who is where in encoder, decoder and cross-attention; `shares` and `rollout_shares`
turn the recorded attention of one sentence into one row for each layer.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from speech_interp.methods.context_mixing import (
    AttentionStep,
    Measure,
    WordMap,
    group_frames,
    normalise_rows,
    raw_attention,
    rollout,
    word_map,
)
from speech_interp.speech.corpus import Utterance
from speech_interp.states.frames import frame_grid, frames_in
from speech_interp.studies.homophones import Choice

Places = dict[str, dict]  # for each stack, the arguments of `word_map` that say who is where


def places(model, utterance: Utterance, choice: Choice | None = None) -> Places:
    """Return where the ambiguous word and all words are: frames, and tokens if there is a `choice`.

    In the encoder the target is all frames of the ambiguous word; in decoder and cross-attention it
    is the position that writes the word: the token before it, whose output is the word itself.
    """
    grid = frame_grid(model)
    speech_count = grid.count(len(utterance.wave))
    times_s = grid.times_s(speech_count)
    words, pause, padding = group_frames(
        [frames_in(times_s, word.start_s, word.end_s) for word in utterance.words],
        speech_count=speech_count,
        frame_count=model.module.config.max_source_positions if grid.padded else speech_count,
    )
    target = words[utterance.info["target"]]
    encoder = {"targets": [target], "sources": words, "pause": pause, "padding": padding}
    if choice is None:
        return {"encoder": encoder}
    last = torch.tensor([len(choice.prefix()) - 1])
    start = torch.arange(len(choice.start))
    return {
        "encoder": encoder,
        "decoder": {"targets": [last], "sources": choice.positions(), "pause": start},
        "cross": encoder | {"targets": [last]},
    }


def shares(steps: Sequence[AttentionStep], measure: Measure, where: Places) -> dict[str, WordMap]:
    """Return for each stack the rows of the ambiguous word: (layer, source), one row a layer."""
    by_stack = {}
    for stack in where:
        maps = [word_map(s, measure, **where[stack]) for s in steps if s.stack == stack]
        parts = [(m.scores, m.pause, m.padding) for m in maps]
        by_stack[stack] = WordMap(*map(torch.cat, zip(*parts, strict=True)))
    return by_stack


def rollout_shares(
    steps: Sequence[AttentionStep], where: Places
) -> dict[str, Float[Tensor, "layer source"]]:
    """Return the same rows after attention rollout, in place of single layers.

    The encoder's is between words, with pauses and padding as two more items; the padding's own row
    is the mean of every twentieth frame. A cross-attention reads what the encoder has mixed: its
    row is taken through the rollout of the whole encoder.
    """
    frames = where["encoder"]
    items = [*frames["sources"], frames["pause"], frames["padding"]]
    items = [item for item in items if len(item)]
    rows = [item if item is not frames["padding"] else item[::20] for item in items]
    number = next(k for k, item in enumerate(items) if item is frames["targets"][0])
    encoder = rollout(_maps(steps, "encoder", rows, items))
    rolled = {"encoder": encoder[:, number, : len(frames["sources"])]}
    if "decoder" in where:
        tokens = where["decoder"]
        each = list(torch.arange(int(tokens["targets"][0]) + 1)[:, None])
        last = rollout(_maps(steps, "decoder", each, each))[:, -1]
        rolled["decoder"] = torch.stack([last[:, t].sum(-1) for t in tokens["sources"]], dim=1)
        cross = torch.cat(_maps(steps, "cross", tokens["targets"], items))
        rolled["cross"] = (cross @ encoder[-1])[:, : len(frames["sources"])]
    return {stack: normalise_rows(rows) for stack, rows in rolled.items()}


def _maps(steps, stack: str, rows: list[Tensor], items: list[Tensor]) -> list[Tensor]:
    chosen = [step for step in steps if step.stack == stack]
    return [word_map(s, raw_attention, targets=rows, sources=items).scores for s in chosen]
