"""Where heads look: measures of attention maps, by head, over many utterances, keeping no map.

A map `A` has one row for each query and one column for each key; rows sum to one. Attention on
Whisper's padding is reported as a measure of its own; all other measures see the rows and keys of
the speech alone, each row divided by what it leaves there. Rows are computed in blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Shaped
from numpy import ndarray
from torch import Tensor

from speech_interp.speech.corpus import SILENCE
from speech_interp.states.attention import AttentionStep

TYPES = ("globalness", "verticality", "diagonality")
MEASURES = (*TYPES, "window", "likeness", "padding", "first", "silence", "same_phone")
WINDOW_SHARE = 0.9  # `window` holds this share of the attention
FIRST_FRAMES = 5  # `first`: attention on so many keys at the start


@torch.no_grad()
def head_patterns(
    attention: AttentionStep | Float[Tensor, "head query key"],
    *,
    speech_count: int | None = None,
    labels: Sequence[str] | ndarray | None = None,
    rows_at_once: int = 256,
) -> dict[str, Float[ndarray, " head"]]:
    """Return every measure of `MEASURES` for each head of one attention, in one utterance.

    - globalness: mean entropy of the rows, over the log of the number of keys: 0 to 1;
    - verticality: minus the entropy of the mean row, over the same: -1 to 0;
    - diagonality: minus the mean of |q / Q - k / K|, weighted by A, for query q of Q, key k of K;
    - window: the smallest w (frames) so that |q - k| <= w holds 90 % of the attention;
    - likeness: mean correlation of the map with those of the other heads;
    - padding, first, silence: share of the attention on the padding, on the first five keys, and
      on silence;
    - same_phone: of the attention outside the run of frames that joins on to the query with its
      label, the share on frames with that label, minus what even attention would put there.
      Rows of silence do not count.

    `speech_count`: so many keys are the recording, what follows is padding (all by default).
    `labels`: the phone of each frame of the recording, for `silence` and `same_phone`, which are
    NaN without. `window` and `same_phone` are NaN where queries are not the frames.
    Raises ValueError for labels or a speech count that do not fit the keys.
    """
    queries, keys, count = _checked_sizes(attention, speech_count, labels)
    square = queries == keys
    row_count = count if square else queries
    runs = None if labels is None else _Runs.of(labels)
    total: dict[str, Tensor] = {}
    for rows in torch.arange(row_count).split(rows_at_once):
        if isinstance(attention, AttentionStep):
            whole = attention.weights(rows)
        else:
            whole = attention[:, rows]
        for name, value in _block_sums(whole, rows, row_count, count, square, runs).items():
            total[name] = total[name] + value if name in total else value
    return _measures(total, row_count, count)


def _checked_sizes(attention, speech_count, labels) -> tuple[int, int, int]:
    """Return the numbers of queries, of keys, and of keys that are the recording."""
    if isinstance(attention, AttentionStep):
        queries, keys = attention.query_count, attention.key_count
    else:
        queries, keys = attention.shape[1:]
    count = keys if speech_count is None else speech_count
    if not 2 <= count <= keys:
        raise ValueError(f"speech_count is {count}, expected 2 to {keys}, the number of keys")
    if labels is not None and len(labels) != count:
        raise ValueError(f"labels name {len(labels)} frames, expected {count}")
    return queries, keys, count


def _block_sums(
    whole: Float[Tensor, "head row key"],
    rows: Tensor,
    row_count: int,
    count: int,
    square: bool,
    runs: "_Runs | None",
) -> dict[str, Tensor]:
    """Return sums over a block of rows: all that the measures need of it."""
    on_speech = whole[:, :, :count]
    left = on_speech.sum(-1, keepdim=True)
    maps = on_speech / left.clamp_min(1e-30)
    # Evenness taken off before the products: near-even maps keep their digits.
    centred = (maps - 1 / count).flatten(1)
    sums = {
        "padding": (1 - left).clamp_min(0).sum((1, 2)),
        "entropy": -torch.xlogy(maps, maps).sum(-1).sum(1, dtype=torch.double),
        "column": maps.sum(1),
        "products": centred @ centred.T,
    }
    if square:
        sums["by_offset"] = _by_offset(maps, int(rows[0]), count)
    else:
        distance = (rows[:, None] / row_count - torch.arange(count) / count).abs()
        sums["distance"] = (maps * distance.to(maps)).sum(-1).sum(1)
    if runs is not None:
        sums["silence"] = sums["column"][:, runs.silent].sum(1)
        if square:
            sums |= runs.sums(maps, rows)
    return {name: value.double() for name, value in sums.items()}


def _by_offset(
    maps: Float[Tensor, "head row key"], first_row: int, count: int
) -> Float[Tensor, "head offset"]:
    """Return the attention by the signed distance key - query, -(count - 1) to count - 1."""
    heads, rows, keys = maps.shape
    # Rows of keys + rows, read again as rows longer by one, shift by one each: a shear, so that a
    # diagonal becomes a column. What falls off on the left comes out on the right.
    width = keys + rows + 1
    padded = torch.nn.functional.pad(maps, (0, rows)).flatten(1)
    sheared = torch.nn.functional.pad(padded, (0, -padded.shape[1] % width)).unflatten(
        1, (-1, width)
    )
    columns = sheared.sum(1).roll(rows - 1, dims=1)[:, : keys + rows - 1]
    by_offset = torch.zeros(heads, 2 * count - 1, dtype=torch.double)
    start = count - first_row - rows
    by_offset[:, start : start + keys + rows - 1] = columns
    return by_offset


@dataclass(frozen=True)
class _Runs:
    """Runs of frames with one label."""

    codes: Tensor  # the label of each frame
    edges: list[int]  # where each run begins, and the number of frames
    silent: Tensor  # which frames are silence

    @classmethod
    def of(cls, labels: Sequence[str] | ndarray) -> "_Runs":
        codes = np.unique(np.asarray(labels), return_inverse=True)[1]
        starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
        silent = torch.from_numpy(np.asarray(labels) == SILENCE)
        return cls(torch.from_numpy(codes), [*starts.tolist(), len(codes)], silent)

    def sums(self, maps: Float[Tensor, "head row key"], rows: Tensor) -> dict[str, Tensor]:
        """Return the attention outside the own run, that on the same label there, and chance.

        Sets the attention on the own run to zero in `maps`, which costs no copy of them.
        """
        first, last = int(rows[0]), int(rows[-1]) + 1
        length = torch.zeros(len(rows))
        for start, end in pairwise(self.edges):
            if start < last and end > first:
                inside = slice(max(start - first, 0), end - first)
                maps[:, inside, start:end] = 0
                length[inside] = end - start
        own, frames = self.codes[rows], torch.nn.functional.one_hot(self.codes).to(maps)
        by_label = (maps @ frames).double()  # (head, row, label)
        alike = frames.sum(0)[own] - length
        even = (alike / (len(self.codes) - length).clamp_min(1)).double()
        spoken = ~self.silent[rows]
        beyond = by_label.sum(-1) * spoken
        same = by_label.gather(2, own.expand(len(maps), -1)[..., None])[..., 0]
        return {
            "outside": beyond.sum(1),
            "same": (same * spoken).sum(1),
            "expected": (beyond * even).sum(1),
        }


def _measures(sums: dict[str, Tensor], rows: int, keys: int) -> dict[str, Float[ndarray, " head"]]:
    """Return the measures from the sums over all rows of one utterance."""
    mean_row = sums["column"] / rows
    missing = torch.full_like(sums["padding"], torch.nan)
    if "by_offset" in sums:
        within = _by_distance(sums["by_offset"])
        distance, window = within @ torch.arange(keys).double() / keys, window_holding(within)
    else:
        distance, window = sums["distance"], missing
    products = sums["products"]
    size = products.diagonal().clamp_min(1e-12).sqrt()
    likeness = products / size[:, None] / size
    others = len(likeness) - 1
    found = {
        "globalness": sums["entropy"] / rows / np.log(keys),
        "verticality": -torch.special.entr(mean_row).sum(1) / np.log(keys),
        "diagonality": -distance / rows,
        "window": window,
        "likeness": (likeness.sum(1) - likeness.diagonal()) / others if others else missing,
        "padding": sums["padding"] / rows,
        "first": mean_row[:, :FIRST_FRAMES].sum(1),
        "silence": sums["silence"] / rows if "silence" in sums else missing,
        "same_phone": (sums["same"] - sums["expected"]) / sums["outside"].clamp_min(1e-12)
        if "same" in sums
        else missing,
    }
    return {name: found[name].numpy() for name in MEASURES}


def _by_distance(by_offset: Float[Tensor, "head offset"]) -> Float[Tensor, "head distance"]:
    middle = by_offset.shape[1] // 2
    by_distance = by_offset[:, middle:].clone()
    by_distance[:, 1:] += by_offset[:, :middle].flip(1)
    return by_distance


def window_holding(
    by_distance: Float[Tensor, "*batch distance"], share: float = WINDOW_SHARE
) -> Float[Tensor, "*batch"]:
    """Return the smallest distance up to which a share of all that lies at any distance lies."""
    up_to = by_distance.cumsum(-1) / by_distance.sum(-1, keepdim=True)
    return (up_to < share - 1e-6).sum(-1).double()


def frame_labels(phones: Sequence, times_s: Float[ndarray, " frame"]) -> Shaped[ndarray, " frame"]:
    """Return the label of the phone (`label`, `start_s`, `end_s`) at each time; silence outside."""
    labels = np.full(len(times_s), SILENCE, dtype=object)
    for phone in phones:
        labels[(times_s >= phone.start_s) & (times_s < phone.end_s)] = phone.label
    return labels.astype(str)
