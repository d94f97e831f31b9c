"""What comes out of an attention, beside what its maps show.

How near the frames are that an output hangs on, by any measure of context mixing, and how alike
the heads of a layer are in what they give to it.
"""

import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from speech_interp.methods.attention_patterns import WINDOW_SHARE, window_holding
from speech_interp.methods.context_mixing import Measure
from speech_interp.states.attention import AttentionStep


@torch.no_grad()
def locality_window(
    step: AttentionStep,
    measure: Measure,
    *,
    rows: Int[Tensor, " row"],
    speech_count: int | None = None,
    share: float = WINDOW_SHARE,
) -> int:
    """Return the smallest w (frames) so that |q - k| <= w holds a share of what a measure finds.

    `measure`: of `context_mixing`, such as `raw_attention` (mean over heads) or `value_zeroing`,
    which is a cosine distance: it grows with the square of a small turn, so take its root before
    its window is compared with one of weights.
    `rows`: the query frames that are looked at. `speech_count`: so many frames are the recording;
    the others give nothing. Every row counts alike. Raises ValueError for a cross-attention, whose
    queries are no frames, and for rows outside the recording.
    """
    count = step.key_count if speech_count is None else speech_count
    if step.stack == "cross":
        raise ValueError("step is of the stack 'cross', expected queries that are frames")
    if not 0 <= int(rows.min()) <= int(rows.max()) < count <= step.key_count:
        raise ValueError(
            f"rows go from {rows.min()} to {rows.max()}, expected 0 to {count - 1}, "
            f"with at most {step.key_count} frames"
        )
    scores = measure(step, rows=rows, groups=list(torch.arange(count)[:, None])).double()
    scores = scores / scores.sum(1, keepdim=True).clamp_min(1e-30)
    distance = (rows[:, None] - torch.arange(count)).abs()
    by_distance = torch.bincount(distance.flatten(), scores.flatten(), count)
    return int(window_holding(by_distance, share))


@torch.no_grad()
def output_likeness(
    step: AttentionStep, *, speech_count: int | None = None
) -> Float[ndarray, " head"]:
    """Return for each head the mean cosine of what it gives to its layer with what the others give.

    What a head gives to a frame is the sum of its transformed values, weighted by its map; from
    it the head's mean over the frames is taken off, as `heads_ablated` leaves it. All frames of the
    recording (`speech_count`, all by default) form one long vector. 1: the head says what
    the others say; 0: something of its own. Raises ValueError for a single head.
    """
    if len(step.queries) < 2:
        raise ValueError("step has 1 head, expected 2 or more to compare")
    given = _given(step, speech_count)
    given = given / given.norm(dim=1, keepdim=True).clamp_min(1e-30)
    cosine = given @ given.T
    return ((cosine.sum(1) - cosine.diagonal()) / (len(given) - 1)).numpy()


@torch.no_grad()
def output_size(step: AttentionStep, *, speech_count: int | None = None) -> Float[ndarray, " head"]:
    """Return how much each head gives to its layer: what ablating it by its mean takes away.

    The root mean square length, over the frames of the recording (`speech_count`, all by default),
    of what the head gives less its mean over them; in units of the layer's states.
    """
    given = _given(step, speech_count)
    frame_count = given.shape[1] // step.out_proj.out_features
    return (given.norm(dim=1) / frame_count**0.5).numpy()


def _given(step: AttentionStep, speech_count: int | None) -> Float[Tensor, "head row_unit"]:
    """Return what each head gives to its layer, less its mean over the frames, as one vector."""
    count = step.query_count if speech_count is None else min(speech_count, step.query_count)
    mixed = [step.weights(rows) @ step.values.cpu() for rows in torch.arange(count).split(256)]
    own = torch.cat(mixed, dim=1)  # (head, row, head_unit)
    own = own - own.mean(1, keepdim=True)
    by_head = step.out_proj.weight.cpu().unflatten(1, (len(own), -1))  # (unit, head, head_unit)
    return torch.einsum("hrv,uhv->hru", own, by_head).flatten(1).double()
