"""Which of two spellings does a model give to an ambiguous word, and what if a word is taken away?

Sentences come from the corpus subset "homophones": `info` marks the ambiguous word (`target`), the
word that tells how to spell it (`cue`), the `spelling` that is right and the `pair` of both.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from speech_interp.audio import RATE_HZ
from speech_interp.context_mixing import (
    AttentionStep,
    Measure,
    WordMap,
    group_frames,
    normalise_rows,
    raw_attention,
    rollout,
    word_map,
)
from speech_interp.corpus import Utterance
from speech_interp.frames import frame_grid, frames_in
from speech_interp.targets import ctc_score

Places = dict[str, dict]  # for each stack, the arguments of `word_map` that say who is where


@dataclass(frozen=True)
class Choice:
    """The tokens of a sentence up to its ambiguous word, and of the two spellings."""

    start: list[int]  # what the decoder is given before any word
    words: list[list[int]]  # the tokens of every word before the ambiguous one
    right: list[int]
    wrong: list[int]
    blank: int  # what stands in place of a token that is taken away

    def prefix(self, *, without: Sequence[int] = ()) -> list[int]:
        """Return the tokens before the ambiguous word, those of the words `without` blanked."""
        kept = [
            [self.blank] * len(tokens) if number in without else tokens
            for number, tokens in enumerate(self.words)
        ]
        return [*self.start, *(token for tokens in kept for token in tokens)]

    def positions(self) -> list[Tensor]:
        """Return where the tokens of each word stand in the prefix; the start belongs to none."""
        edges = len(self.start) + np.cumsum([0, *map(len, self.words)])
        return [torch.arange(a, b) for a, b in itertools.pairwise(edges)]


def spellings(utterance: Utterance) -> tuple[str, str]:
    """Return the right spelling of the ambiguous word and the other one."""
    right = utterance.info["spelling"]
    (wrong,) = set(utterance.info["pair"].split("/")) - {right}
    return right, wrong


def whisper_choice(model, utterance: Utterance) -> Choice:
    """Return the choice as Whisper's decoder meets it, the true words before it."""
    tokenizer = model.processor.tokenizer

    def tokens(word: str) -> list[int]:
        return tokenizer(" " + word, add_special_tokens=False).input_ids

    right, wrong = map(tokens, spellings(utterance))
    before = utterance.text.split()[: utterance.info["target"]]
    return Choice(
        start=list(tokenizer.prefix_tokens),
        words=[tokens(word.strip(".,?!")) for word in before],
        right=right,
        wrong=wrong,
        blank=tokenizer.unk_token_id,
    )


@torch.no_grad()
def log_odds(
    model, states: Float[Tensor, "1 frame unit"], choice: Choice, prefixes: Sequence[list[int]]
) -> Float[ndarray, "prefix spelling"]:
    """Return log P(right) and log P(wrong) after each prefix, given the encoder's `states`.

    A spelling of several tokens has the sum of their log-probabilities. All prefixes must be
    equally long. The projections of the encoder's states are computed once, for all of them.
    """
    from transformers.modeling_outputs import BaseModelOutput

    two = (choice.right, choice.wrong)
    longest = max(map(len, two))
    rows = [[*p, *s, *[choice.blank] * (longest - len(s))] for p in prefixes for s in two]
    ids = torch.tensor(rows)
    encoded = BaseModelOutput(states)
    first = model.module(encoder_outputs=encoded, decoder_input_ids=ids[:1, :1], use_cache=True)
    first.past_key_values.batch_repeat_interleave(len(rows))
    logits = model.module(
        encoder_outputs=encoded, decoder_input_ids=ids[:, 1:], past_key_values=first.past_key_values
    ).logits
    # Token k of a spelling is predicted where the token before it was read.
    before = len(prefixes[0]) - 2
    chances = logits[:, before : before + longest].log_softmax(-1)
    chances = chances.gather(-1, ids[:, before + 2 :, None])[..., 0]
    lengths = torch.tensor([len(s) for _ in prefixes for s in two])
    chances = chances.masked_fill(torch.arange(longest) >= lengths[:, None], 0.0)
    return chances.sum(-1).view(-1, 2).double().numpy()


def ctc_log_odds(model, utterance: Utterance, waves: Float[Tensor, "wave sample"]) -> ndarray:
    """Return log P(text) under a CTC model, with the right and with the wrong spelling.

    (wave, spelling): the sum over all alignments of the whole sentence with the sound.
    """
    words = [word.strip(".,?!").upper() for word in utterance.text.split()]
    scores = []
    for spelling in spellings(utterance):
        words[utterance.info["target"]] = spelling.upper()
        labels = model.processor.tokenizer(" ".join(words)).input_ids
        with torch.no_grad():
            scores.append(ctc_score(model, labels)(waves).double().numpy())
    return np.stack(scores, axis=1)


def silence(utterance: Utterance, word: int) -> Float[ndarray, " sample"]:
    """Return the utterance's wave with silence in place of one word."""
    wave, span = utterance.wave.copy(), utterance.words[word]
    wave[round(span.start_s * RATE_HZ) : round(span.end_s * RATE_HZ)] = 0
    return wave


def matched_controls(utterances: Sequence[Utterance]) -> list[int]:
    """Return for each utterance a word before its target that is not its cue, as a control.

    The control of one utterance stands as far from its target as the cue of another one does, each
    used once: over all utterances cues and controls have the same distances. Among all such choices
    the one whose controls are most nearly as long as the cues, in seconds.
    """
    count = len(utterances)
    distance = [u.info["target"] - u.info["cue"] for u in utterances]
    cost = np.full((count, count), 1e6)
    for i, utterance in enumerate(utterances):
        for j in range(count):
            word = utterance.info["target"] - distance[j]
            if word >= 0 and word != utterance.info["cue"]:
                spans = utterance.words[word], utterance.words[utterance.info["cue"]]
                cost[i, j] = abs(spans[0].duration_s - spans[1].duration_s)
    rows, columns = linear_sum_assignment(cost)
    if cost[rows, columns].max() >= 1e6:
        raise ValueError("utterances: no words at the distances of the other utterances' cues")
    return [u.info["target"] - distance[j] for u, j in zip(utterances, columns, strict=True)]


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
