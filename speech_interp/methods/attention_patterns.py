"""Where heads look: measures of attention maps, by head, over many utterances, keeping no map.

A map `A` has one row for each query and one column for each key; rows sum to one. Attention on
Whisper's padding is reported as a measure of its own; all other measures see the rows and keys of
the speech alone, each row divided by what it leaves there. Rows are computed in blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

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
    on_speech = whole[:, :, :count].double()
    left = on_speech.sum(-1, keepdim=True)
    maps = on_speech / left.clamp_min(1e-30)
    distance = (rows[:, None] / row_count - torch.arange(count) / count).abs()
    flat = maps.flatten(1)
    sums = {
        "padding": (1 - left).clamp_min(0).sum((1, 2)),
        "entropy": torch.special.entr(maps).sum((1, 2)),
        "column": maps.sum(1),
        "distance": (maps * distance).sum((1, 2)),
        "products": flat @ flat.T,
    }
    if square:
        sums["by_offset"] = _by_offset(maps, int(rows[0]), count)
    if runs is not None:
        sums["silence"] = maps[:, :, runs.silent].sum((1, 2))
        if square:
            sums |= runs.sums(maps, rows)
    return sums


def _by_offset(
    maps: Float[Tensor, "head row key"], first_row: int, count: int
) -> Float[Tensor, "head offset"]:
    """Return the attention by the signed distance key - query, -(count - 1) to count - 1."""
    heads, rows, keys = maps.shape
    # Rows padded to keys + rows and read again one shorter shift by one each: a shear, so that a
    # diagonal becomes a column.
    padded = torch.nn.functional.pad(maps.flip(1), (0, rows))
    sheared = padded.flatten(1)[:, : rows * (keys + rows - 1)].view(heads, rows, keys + rows - 1)
    first_offset = -(first_row + rows - 1)
    by_offset = torch.zeros(heads, 2 * count - 1, dtype=maps.dtype)
    start = first_offset + count - 1
    by_offset[:, start : start + keys + rows - 1] = sheared.sum(1)
    return by_offset


@dataclass(frozen=True)
class _Runs:
    """Runs of frames with one label."""

    of_frame: Tensor  # the run of each frame
    label_of_run: Tensor
    silent: Tensor  # which frames are silence

    @classmethod
    def of(cls, labels: Sequence[str] | ndarray) -> "_Runs":
        codes = np.unique(np.asarray(labels), return_inverse=True)[1]
        starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
        of_frame = np.repeat(np.arange(len(starts)), np.diff([*starts, len(codes)]))
        silent = torch.from_numpy(np.asarray(labels) == SILENCE)
        return cls(torch.from_numpy(of_frame), torch.from_numpy(codes[starts]), silent)

    def sums(self, maps: Float[Tensor, "head row key"], rows: Tensor) -> dict[str, Tensor]:
        """Return the attention outside the own run, that on the same label there, and chance."""
        own = self.of_frame[rows]
        spoken = ~self.silent[rows]
        frames = torch.nn.functional.one_hot(self.of_frame).double()  # (key, run)
        by_run = maps @ frames
        outside = torch.arange(frames.shape[1]) != own[:, None]  # (row, run)
        same = (self.label_of_run == self.label_of_run[own][:, None]) & outside
        even = (same * frames.sum(0)).sum(1) / (outside * frames.sum(0)).sum(1).clamp_min(1)
        beyond = (by_run * outside).sum(-1) * spoken
        return {
            "outside": beyond.sum(1),
            "same": (by_run * same).sum(-1).mul(spoken).sum(1),
            "expected": (beyond * even).sum(1),
        }


def _measures(sums: dict[str, Tensor], rows: int, keys: int) -> dict[str, Float[ndarray, " head"]]:
    """Return the measures from the sums over all rows of one utterance."""
    mean_row = sums["column"] / rows
    products = sums["products"] - rows / keys  # centred: every row has the mean 1 / keys
    size = products.diagonal().clamp_min(1e-12).sqrt()
    likeness = products / size[:, None] / size
    others = len(likeness) - 1
    missing = torch.full_like(size, torch.nan)
    found = {
        "globalness": sums["entropy"] / rows / np.log(keys),
        "verticality": -torch.special.entr(mean_row).sum(1) / np.log(keys),
        "diagonality": -sums["distance"] / rows,
        "window": _window(sums["by_offset"]) if "by_offset" in sums else missing,
        "likeness": (likeness.sum(1) - likeness.diagonal()) / others if others else missing,
        "padding": sums["padding"] / rows,
        "first": mean_row[:, :FIRST_FRAMES].sum(1),
        "silence": sums["silence"] / rows if "silence" in sums else missing,
        "same_phone": (sums["same"] - sums["expected"]) / sums["outside"].clamp_min(1e-12)
        if "same" in sums
        else missing,
    }
    return {name: found[name].numpy() for name in MEASURES}


def _window(by_offset: Float[Tensor, "head offset"]) -> Float[Tensor, " head"]:
    middle = by_offset.shape[1] // 2
    within = by_offset[:, middle:].clone()
    within[:, 1:] += by_offset[:, :middle].flip(1)
    up_to = within.cumsum(1) / within.sum(1, keepdim=True)
    return (up_to < WINDOW_SHARE - 1e-9).sum(1).double()


def frame_labels(phones: Sequence, times_s: Float[ndarray, " frame"]) -> Shaped[ndarray, " frame"]:
    """Return the label of the phone (`label`, `start_s`, `end_s`) at each time; silence outside."""
    labels = np.full(len(times_s), SILENCE, dtype=object)
    for phone in phones:
        labels[(times_s >= phone.start_s) & (times_s < phone.end_s)] = phone.label
    return labels.astype(str)
