"""Context mixing: how much each frame or word feeds into the new representation of another.

A *map* is `(row, group)`: one row for each query that receives, one column for each group of keys
that gives (a frame, a word, the padding). Every measure has the same arguments: the recorded
attention step, the `rows` wanted, and the `groups` of keys; `word_map` turns any of them into a
map between words. Measures work where the model is and give their results on the CPU.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from speech_interp.states.attention import (
    AttentionStep,
    record_attention,
    transformed_values_of,
    weights_of,
)
from speech_interp.states.layer_parts import widened

__all__ = [
    "AttentionStep",
    "WordMap",
    "attention_norm",
    "attention_norm_with_residual",
    "cue_contribution",
    "group_frames",
    "normalise_rows",
    "raw_attention",
    "record_attention",
    "rollout",
    "value_norms",
    "value_zeroing",
    "word_map",
]

Indices = Int[Tensor, " _"]  # positions of frames or tokens
Measure = Callable[..., Float[Tensor, "row group"]]

FEED_FORWARD_BYTES = 2**25  # Value Zeroing runs as many groups at once as keep its rows this small


def raw_attention(
    step: AttentionStep, *, rows: Indices | None = None, groups: Sequence[Indices] | None = None
) -> Float[Tensor, "row group"]:
    """Return the attention weights, mean over heads, summed over the keys of each group."""
    return _sum_groups(weights_of(step, rows).mean(0), groups)


@torch.no_grad()
def attention_norm(
    step: AttentionStep, *, rows: Indices | None = None, groups: Sequence[Indices] | None = None
) -> Float[Tensor, "row group"]:
    """Return the length of what each key adds, || sum_h a^h_ij f^h(x_j) ||, summed over a group.

    Source: [kobayashiAttentionNotOnly2020a]. The bias of the output projection has no key.
    """
    return _sum_groups(_lengths(weights_of(step, rows), transformed_values_of(step)), groups)


@torch.no_grad()
def attention_norm_with_residual(
    step: AttentionStep, *, rows: Indices | None = None, groups: Sequence[Indices] | None = None
) -> Float[Tensor, "row group"]:
    """Return the same with the residual added to a frame's own share, after the norm of the sum.

    Post-LN layers normalise the sum: the norm is linear once its standard deviation is given
    [kobayashi2021incorporating]. Pre-LN layers do not. In a cross-attention the residual belongs to
    the decoder, to no key: it is left out.
    """
    rows = _rows_there(step, rows)
    weights, values = weights_of(step, rows), transformed_values_of(step)
    residual = step.residual[rows]
    scale: Tensor | float = 1.0
    if step.norm_of_sum is not None:
        total = step.residual[rows] + step.output[rows]
        scale = (total.var(-1, unbiased=False, keepdim=True) + step.norm_of_sum.eps).rsqrt()
        values, residual = (_centred_and_scaled(v, step.norm_of_sum) for v in (values, residual))
    lengths = _lengths(weights, values)
    if step.stack != "cross":
        number = torch.arange(len(rows), device=rows.device)
        own = torch.einsum("hr,hru->ru", weights[:, number, rows], values[:, rows])
        lengths[number, rows] = (own + residual).norm(dim=-1)
    return _sum_groups(lengths * scale, groups)


@torch.no_grad()
def value_norms(step: AttentionStep) -> Float[Tensor, "head key"]:
    """Return the length of each transformed value vector, || f^h(x_j) ||."""
    return transformed_values_of(step).norm(dim=-1).cpu()


@torch.no_grad()
def value_zeroing(
    step: AttentionStep, *, rows: Indices | None = None, groups: Sequence[Indices] | None = None
) -> Float[Tensor, "row group"]:
    """Return how far the layer's output turns when the values of a group are set to zero.

    The cosine distance between the outputs with and without them [mohebbi2023quantifying]. The
    weights stay as they are, so the attention is not run again: its output without the group is its
    output minus what the group gave. Only the rest of the layer runs, for many groups at once.
    """
    rows = _rows_there(step, rows)
    groups = _each_key(step) if groups is None else groups
    weights = weights_of(step, rows)
    total = step.residual[rows] + step.output[rows]
    output = _unit_length(step.rest(total))
    scores = torch.zeros(len(rows), len(groups))
    at_once = max(1, FEED_FORWARD_BYTES // (4 * total.nbytes))
    for first in range(0, len(groups), at_once):
        given = _given_by(step, weights, groups[first : first + at_once])
        changed = _unit_length(step.rest(total - given))
        # Half the squared distance of unit vectors is 1 - cosine, without its loss of digits.
        scores[:, first : first + at_once] = (changed - output).square().sum(-1).T.cpu() / 2
    return scores


def normalise_rows(scores: Float[Tensor, "row group"]) -> Float[Tensor, "row group"]:
    """Return the scores divided by the sum of their row; a row without any score stays zero."""
    totals = scores.sum(-1, keepdim=True)
    return torch.where(totals == 0, 0.0, scores / totals.clamp_min(torch.finfo(scores.dtype).tiny))


def rollout(
    maps: Sequence[Float[Tensor, "item item"]], *, residual: bool = True
) -> Float[Tensor, "layer item item"]:
    """Return what reaches each layer from the input: R_l = A_l R_(l-1) [abnar2020quantifying].

    `residual` mixes each map half and half with the identity, for measures that leave the residual
    connection out; pass False for those that include it.
    """
    identity = torch.eye(len(maps[0]), dtype=maps[0].dtype)
    reached, layers = identity, []
    for scores in maps:
        reached = normalise_rows(scores + identity if residual else scores) @ reached
        layers.append(reached)
    return torch.stack(layers)


@dataclass(frozen=True)
class WordMap:
    """Scores between words, and the share of each row that did not come from a word."""

    scores: Float[Tensor, "target source"]  # rows sum to one, over the words alone
    pause: Float[Tensor, " target"]  # share of the whole row: frames of the recording in no word
    padding: Float[Tensor, " target"]  # share of the whole row: frames behind the recording


def group_frames(
    words: Sequence[slice], *, speech_count: int, frame_count: int
) -> tuple[list[Indices], Indices, Indices]:
    """Return the frames of each word, the frames of the recording in no word, and the padding.

    Raises ValueError if two words share a frame, or a word is empty or behind the recording.
    """
    owner = torch.full((frame_count,), -1)
    owner[speech_count:] = -2
    for number, frames in enumerate(words):
        if frames.stop <= frames.start or frames.stop > speech_count:
            raise ValueError(
                f"word {number} has the frames {frames.start}:{frames.stop}, "
                f"expected at least one within 0:{speech_count}"
            )
        if (owner[frames] >= 0).any():
            raise ValueError(f"word {number} shares a frame with word {owner[frames].max()}")
        owner[frames] = number
    by_word = [torch.nonzero(owner == number)[:, 0] for number in range(len(words))]
    return by_word, torch.nonzero(owner == -1)[:, 0], torch.nonzero(owner == -2)[:, 0]


def word_map(
    step: AttentionStep,
    measure: Measure,
    *,
    targets: Sequence[Indices],
    sources: Sequence[Indices],
    pause: Indices | None = None,
    padding: Indices | None = None,
) -> WordMap:
    """Return a measure between words: mean over the rows of a target, a source's keys together.

    `pause` and `padding` are keys outside the words: their share of a row is returned beside it.
    """
    nothing = torch.arange(0)
    groups = [
        *sources,
        nothing if pause is None else pause,
        nothing if padding is None else padding,
    ]
    by_row = measure(step, rows=torch.cat(list(targets)), groups=groups)
    by_word = torch.stack([part.mean(0) for part in by_row.split([len(t) for t in targets])])
    shares = normalise_rows(by_word)
    return WordMap(normalise_rows(by_word[:, : len(sources)]), shares[:, -2], shares[:, -1])


def cue_contribution(
    scores: Float[Tensor, "target source"], *, targets: Sequence[int], cues: Sequence[int]
) -> float:
    """Return the share of the targets' rows that comes from the cues.

    The mean over target pieces of the row times the cue mask
    [mohebbiHomophoneDisambiguationReveals2023a].
    """
    return float(scores[list(targets)][:, list(cues)].sum(1).mean())


def _rows_there(step: AttentionStep, rows: Indices | None) -> Indices:
    rows = torch.arange(step.query_count) if rows is None else rows
    return rows.to(step.queries.device)


def _each_key(step: AttentionStep) -> list[Indices]:
    return list(torch.arange(step.key_count)[:, None])


def _sum_groups(
    scores: Float[Tensor, "row key"], groups: Sequence[Indices] | None
) -> Float[Tensor, "row group"]:
    """Sum the keys of each group, and bring the result to the CPU."""
    if groups is None:
        return scores.cpu()
    return torch.stack([scores[:, keys.to(scores.device)].sum(-1) for keys in groups], dim=1).cpu()


def _lengths(
    weights: Float[Tensor, "head row key"], values: Float[Tensor, "head key unit"]
) -> Float[Tensor, "row key"]:
    """Return || sum_h w^h_ij v^h_j || from products of heads, without a (row, key, unit) array."""
    products = torch.einsum("hku,gku->hgk", values, values)
    squares = torch.einsum("hrk,hgk,grk->rk", weights, products, weights)
    return squares.clamp_min(0).sqrt()


def _centred_and_scaled(vectors: Tensor, norm: torch.nn.LayerNorm) -> Tensor:
    return (vectors - vectors.mean(-1, keepdim=True)) * norm.weight


def _given_by(
    step: AttentionStep, weights: Float[Tensor, "head row key"], groups: Sequence[Indices]
) -> Float[Tensor, "group row unit"]:
    """Return what each group of keys adds to the output of the attention."""
    there = [keys.to(weights.device) for keys in groups]
    context = torch.stack([weights[:, :, keys] @ step.values[:, keys] for keys in there])
    return context.transpose(1, 2).flatten(2) @ widened(step.out_proj.weight).T


def _unit_length(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True)
