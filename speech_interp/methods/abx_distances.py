"""Distances of ABX: between pooled states, or between stretches of frames by time warping."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray

DISTANCES = ("angular", "euclidean", "kl")
PAIR_ENTRIES = 2**21  # frame pairs that are warped at a time
STEP_BITS = 12  # for the length of a path; the distance has the other bits of an integer
FLOOR = 1e-6  # added to probabilities before the logarithm, as the reference does

Blocks = Callable[[Int[ndarray, "group item"], slice], Float[ndarray, "group row item"]]


def distance_blocks(
    values: Float[ndarray, "row unit"], distance: str, spans: Int[ndarray, "item 2"] | None
) -> Blocks:
    """Return a function of items (group, item) and a slice: distances of those rows to all items.

    Of pooled states only the order of the distances is kept: 1 - cosine stands for the angle.
    """
    values = np.asarray(values)
    if not np.isfinite(values).all():
        raise ValueError("states hold values that are not finite")
    ready = _prepared(values, distance)
    if spans is None:
        return lambda items, rows: _pooled(ready, distance, items, rows)
    spans = np.asarray(spans)
    if (spans[:, 1] <= spans[:, 0]).any() or spans.min() < 0 or spans.max() > len(values):
        wrong = (spans[:, 1] <= spans[:, 0]) | (spans[:, 0] < 0) | (spans[:, 1] > len(values))
        item = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"item {item} has frames {spans[item].tolist()}: expected at least one of {len(values)}"
        )
    return lambda items, rows: _warped(ready, distance, spans, items, rows)


def frame_distances(
    x: Float[ndarray, "x_frame unit"], y: Float[ndarray, "y_frame unit"], distance: str = "angular"
) -> Float[ndarray, "x_frame y_frame"]:
    """Return the distance of every frame of x to every frame of y.

    "angular": the angle divided by pi, 0 to 1. "euclidean". "kl": the mean of both directions of
    the Kullback-Leibler divergence, in nats, 1e-6 added to each probability.
    """
    one, other = (_prepared(np.asarray(z), distance) for z in (x, y))
    return _products(one[None], other[None], distance)[0]


def warp(distances: Float[ndarray, "x_frame y_frame"]) -> tuple[float, Int[ndarray, "step 2"]]:
    """Return the mean distance along the best path, and the path from first to last frames.

    Dynamic time warping: each step goes on by one frame in x, in y, or in both; the path has the
    least total distance, and of equal ones the fewest steps.
    """
    d = np.asarray(distances, dtype=float)
    cost, steps = np.full(np.add(d.shape, 1), np.inf), np.zeros(np.add(d.shape, 1), dtype=int)
    cost[0, 0] = 0
    came = {}
    for i, j in np.ndindex(d.shape):
        options = [(cost[a, b], steps[a, b], (a, b)) for a, b in ((i, j), (i, j + 1), (i + 1, j))]
        best, count, came[i + 1, j + 1] = min(options)
        cost[i + 1, j + 1], steps[i + 1, j + 1] = best + d[i, j], count + 1
    path, place = [], d.shape
    while place in came:
        path.append((place[0] - 1, place[1] - 1))
        place = came[place]
    return float(cost[-1, -1] / steps[-1, -1]), np.array(path[::-1])


def reference_spans(
    start_s: Sequence[float] | Float[ndarray, " item"],
    end_s: Sequence[float] | Float[ndarray, " item"],
    *,
    rate_hz: float = 50,
) -> Int[ndarray, "item 2"]:
    """Return the first and the one-past-last frame of each interval as fastabx slices them.

    Frame k is taken to be centred on (k + 0.5) / rate; a frame whose centre lies in the interval,
    ends included, counts. Ours (`states.items.collect`) take the true centre of the receptive
    field, and leave out the end. Times are rounded to the microsecond, so that 0.29 x 50 is 14.5.
    """
    first, last = (np.round(np.asarray(t) * rate_hz - 0.5, 6) for t in (start_s, end_s))
    return np.stack([np.ceil(first), np.floor(last) + 1], axis=1).astype(int)


def _prepared(values: ndarray, distance: str) -> ndarray:
    if distance not in DISTANCES:
        raise ValueError(f"distance is {distance!r}, expected one of {DISTANCES}")
    if distance == "angular":
        lengths = np.linalg.norm(values, axis=1, keepdims=True)
        if (lengths == 0).any():
            row = int(np.flatnonzero(lengths[:, 0] == 0)[0])
            raise ValueError(f"state {row} is all zeros and has no angle: take another distance")
        return (values / lengths).astype(np.float32)
    if distance == "kl":
        if (values < 0).any() or not np.allclose(values.sum(1), 1, atol=1e-3):
            raise ValueError("distance 'kl' takes probabilities: 0 or more, with a sum of 1")
        logs = np.log(values.astype(np.float64) + FLOOR)
        return np.concatenate([values, logs - logs.mean(1, keepdims=True)], axis=1)
    return values.astype(np.float64)


def _products(x: ndarray, y: ndarray, distance: str) -> Float[ndarray, "group x y"]:
    """Distances of all rows of x (group, row, unit) to all rows of y, from one product."""
    if distance == "angular":
        return _angles(x @ y.swapaxes(-1, -2))
    if distance == "euclidean":
        norms = [np.einsum("gru,gru->gr", z, z) for z in (x, y)]
        square = norms[0][:, :, None] + norms[1][:, None, :] - 2 * x @ y.swapaxes(-1, -2)
        return np.sqrt(np.maximum(square, 0)).astype(np.float32)
    width = x.shape[-1] // 2
    (p, log_p), (q, log_q) = (np.split(z, [width], axis=-1) for z in (x, y))
    own = [np.einsum("gru,gru->gr", *pair) for pair in ((p, log_p), (q, log_q))]
    crossed = p @ log_q.swapaxes(-1, -2) + log_p @ q.swapaxes(-1, -2)
    value = 0.5 * (own[0][:, :, None] + own[1][:, None, :] - crossed)
    return np.maximum(value, 0).astype(np.float32)


def _angles(cosines: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
    return torch.from_numpy(cosines).clamp_(-1, 1).acos_().div_(np.pi).numpy()


def _pooled(values: ndarray, distance: str, items: ndarray, rows: slice) -> ndarray:
    columns = values[items]
    if distance == "angular":
        nearness = columns[:, rows] @ columns.swapaxes(-1, -2)
        return np.maximum(np.float32(1) - nearness, np.float32(0))
    return _products(columns[:, rows], columns, distance)


def _warped(
    values: ndarray, distance: str, spans: ndarray, items: ndarray, rows: slice
) -> Float[ndarray, "group row item"]:
    """Distances by warping; each pair once where the rows are all items."""
    groups, size = items.shape
    lengths = np.diff(spans, axis=1)[:, 0][items]  # (group, item)
    longest = int(lengths.max())
    frames = np.minimum(
        spans[items, 0][..., None] + np.arange(longest), spans[items, 1][..., None] - 1
    )  # past its end an item repeats its last frame, which no path reads
    padded = values[frames]  # (group, item, frame, unit)
    symmetric = rows.start == 0 and rows.stop == size
    out = np.zeros((groups, rows.stop - rows.start, size), np.float32)
    step = max(1, PAIR_ENTRIES // (groups * size * longest**2))
    for first in range(rows.start, rows.stop, step):
        some = np.arange(first, min(first + step, rows.stop))
        at = first if symmetric else 0  # columns from the diagonal on
        x = padded[:, some].reshape(groups, -1, values.shape[1])
        y = padded[:, at:].reshape(groups, -1, values.shape[1])
        lattice = _products(x, y, distance).reshape(groups, len(some), longest, size - at, longest)
        lattice = np.ascontiguousarray(lattice.transpose(2, 4, 0, 1, 3))
        found = _path_means(
            lattice.reshape(longest, longest, -1),
            np.broadcast_to(lengths[:, some, None], lattice.shape[2:]).ravel(),
            np.broadcast_to(lengths[:, None, at:], lattice.shape[2:]).ravel(),
        ).reshape(lattice.shape[2:])
        out[:, some - rows.start, at:] = found
        if symmetric:
            out[:, at:, some] = found.swapaxes(1, 2)
    return out


def _path_means(
    lattice: Float[ndarray, "x_frame y_frame pair"],
    x_lengths: Int[ndarray, " pair"],
    y_lengths: Int[ndarray, " pair"],
) -> Float[ndarray, " pair"]:
    """Mean distance along the best path of each pair; all pairs take each step together.

    Total distance and number of steps are packed into one integer, the distance in its upper bits:
    the smaller integer is the better path, and two minima make a step.
    """
    scale = 2.0**30 / max(float(lattice.max()), 1e-30)
    costs = (lattice * scale).astype(np.int64)
    costs <<= STEP_BITS
    costs += 1
    for i in range(len(costs)):
        for j in range(costs.shape[1]):
            if i and j:
                best = np.minimum(costs[i - 1, j], costs[i, j - 1])
                np.minimum(best, costs[i - 1, j - 1], out=best)
                costs[i, j] += best
            elif i or j:
                costs[i, j] += costs[i - 1, j] if i else costs[i, j - 1]
    last = costs[x_lengths - 1, y_lengths - 1, np.arange(len(x_lengths))]
    return (last >> STEP_BITS) / (last & ((1 << STEP_BITS) - 1)) / scale
