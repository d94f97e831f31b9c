"""Rows of the ambiguous word: what its frames, and the token that writes it, take from each word.

`places` says who is where in encoder, decoder and cross-attention; `shares` and `rollout_shares`
turn the recorded attention of one sentence into one row for each layer; `read_rows` does so for
many sentences, one pass each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from speech_interp.methods.context_mixing import (
    AttentionStep,
    Measure,
    WordMap,
    normalise_rows,
    raw_attention,
    record_attention,
    rollout,
    word_map,
)
from speech_interp.methods.word_maps import word_frames
from speech_interp.speech.corpus import Utterance
from speech_interp.states.hidden_states import brought_back, encoder_of, model_inputs
from speech_interp.studies.homophones import Choice, whisper_choice

Places = dict[str, dict]  # for each stack, the arguments of `word_map` that say who is where


def places(model, utterance: Utterance, choice: Choice | None = None) -> Places:
    """Return where the ambiguous word and all words are: frames, and tokens if there is a `choice`.

    In the encoder the target is all frames of the ambiguous word; in decoder and cross-attention it
    is the position that writes the word: the token before it, whose output is the word itself.
    """
    words, pause, padding = word_frames(model, utterance)
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


@dataclass(frozen=True, eq=False)
class SentenceRows:
    """What one pass of Whisper shows about the ambiguous word of one sentence."""

    utterance: Utterance
    choice: Choice
    states: Float[Tensor, "1 frame unit"]  # what the encoder hands on to the decoder
    scores: dict[tuple[str, str], Float[Tensor, "layer word"]]  # by measure and stack
    outside: dict[tuple[str, str], Float[Tensor, "layer 2"]]  # share of pauses, of padding
    sizes: dict[str, Float[Tensor, " word"]]  # frames or tokens of each word, by stack

    def shares(self, measure: str, stack: str) -> Float[Tensor, "layer word"]:
        """Return the shares of the words for each of their frames or tokens; rows sum to one."""
        return normalise_rows(self.scores[measure, stack] / self.sizes[stack])


def read_rows(
    model,
    utterances: Sequence[Utterance],
    measures: Mapping[str, Measure],
    *,
    progress: bool = True,
) -> list[SentenceRows]:
    """Return the rows of every sentence by every measure, and by "rollout"; one pass a sentence.

    The decoder reads the true words up to the ambiguous one.
    """
    return [
        _read(model, utterance, measures)
        for utterance in tqdm(utterances, desc="sentences", disable=not progress)
    ]


def cue_minus_control(
    rows: Sequence[SentenceRows], controls: Sequence[int], measure: str, stack: str
) -> Float[np.ndarray, "sentence layer"]:
    """Return the share of the cue minus that of the control word, in % of the row."""
    found = []
    for row, control in zip(rows, controls, strict=True):
        shares = row.shares(measure, stack)
        found.append(100 * (shares[:, row.utterance.info["cue"]] - shares[:, control]))
    return torch.stack(found).numpy()


def _read(model, utterance: Utterance, measures: Mapping[str, Measure]) -> SentenceRows:
    choice, states = whisper_choice(model, utterance), []
    where = places(model, utterance, choice)
    handle = encoder_of(model).register_forward_hook(
        lambda module, args, output: states.append(output.last_hidden_state)
    )
    try:
        steps = record_attention(
            model.module,
            input_features=model_inputs(model, utterance.wave),
            decoder_input_ids=torch.tensor([choice.prefix()]),
            use_cache=False,
        )
    finally:
        handle.remove()
    found = {
        (n, stack): m for n, f in measures.items() for stack, m in shares(steps, f, where).items()
    }
    rolled = {("rollout", stack): s for stack, s in rollout_shares(steps, where).items()}
    return SentenceRows(
        utterance=utterance,
        choice=choice,
        states=brought_back(states[0]),
        scores={key: m.scores for key, m in found.items()} | rolled,
        outside={key: torch.stack([m.pause, m.padding], dim=1) for key, m in found.items()},
        sizes={
            stack: torch.tensor([float(len(word)) for word in place["sources"]])
            for stack, place in where.items()
        },
    )


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
