"""ABX: is a third item X nearer to A, which shares its label, than to B, which does not?

Nothing is trained: the score is a share of triples, after [schatz2016] and [poli2025fastabx].
A task is data (`methods.abx_task`): labels of the items, and which of them must differ (ON), be the
same (BY) or change between X and the other two (ACROSS). `abx` scores all layers over one plan.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from tqdm.auto import tqdm

from speech_interp.methods.abx_distances import distance_blocks
from speech_interp.methods.abx_scores import AbxScores
from speech_interp.methods.abx_task import AbxTask

BLOCK_ENTRIES = 2**21  # distances that are held, ordered and compared at a time


def abx(
    states: Float[ndarray, "layer item unit"],
    task: AbxTask,
    *,
    distance: str = "angular",
    spans: Int[ndarray, "_item 2"] | None = None,
    progress: bool = True,
) -> AbxScores:
    """Return the error of every cell of a task in every layer: 0 is perfect, one half is chance.

    `distance`: "angular", "euclidean", or "kl" (symmetric, for probabilities). With `spans` the
    states are frames (layer, frame, unit), item i holds the frames `spans[i, 0]` up to
    `spans[i, 1]`, and two items are compared by dynamic time warping: the mean distance along the
    path of least total distance. A tie counts half. Memory is bounded whatever the number of items.

    Raises ValueError for states that do not fit the task, are not finite, or an empty span.
    """
    items = states.shape[1] if spans is None else len(spans)
    if items != task.item_count:
        what = "states" if spans is None else "spans"
        shape = states.shape if spans is None else spans.shape
        raise ValueError(f"{what} have shape {shape}, but the task has {task.item_count} items")
    errors = np.zeros((len(states), len(task)))
    batches = _batches(task, spans)
    total = len(states) * sum(batch.members.size for batch in batches)
    with tqdm(total=total, desc="ABX", unit=" items", disable=not progress) as bar:
        for layer, values in enumerate(states):
            block = distance_blocks(values, distance, spans)
            for batch in batches:
                errors[layer, batch.cells] = _cell_errors(task, block, batch, bar)
    return AbxScores(task.on, task.by, task.across, task.cells, task.triples, errors)


@dataclass(frozen=True, eq=False)
class _Batch:
    """BY groups of the same number of members, and where their cells stand."""

    members: Int[ndarray, "group member"]
    local: Int[ndarray, "group member"]  # class, counted from the first of its group
    side_first: Int[ndarray, "group member"]  # where the side of a member begins and ends
    side_last: Int[ndarray, "group member"]
    cells: Int[ndarray, " cell"]
    places: tuple[ndarray, ndarray, ndarray]  # group, x and b of each cell, counted locally


def _batches(task: AbxTask, spans: ndarray | None) -> list[_Batch]:
    """Groups of equal size side by side, of similar length in frames, within the memory bound."""
    starts = task.group_starts[:-1]
    sizes = np.diff(task.group_starts)
    group_of_cell = np.searchsorted(task.class_of[starts], task.classes[:, 0], side="right") - 1
    cell_ends = np.searchsorted(group_of_cell, np.arange(len(starts) + 1))
    longest = np.ones(len(starts), dtype=int)
    if spans is not None:
        lengths = np.diff(spans, axis=1)[:, 0]
        longest = np.maximum.reduceat(lengths[task.items], starts)
    used = np.flatnonzero(np.diff(cell_ends))
    used = used[np.lexsort((longest[used], sizes[used]))]
    batches = []
    for size in np.unique(sizes[used]).tolist():
        equal = used[sizes[used] == size]
        step = max(1, BLOCK_ENTRIES // (size**2 * int(longest[equal].max()) ** 2))
        batches += [_batch(task, equal[k : k + step], size, cell_ends)
                    for k in range(0, len(equal), step)]  # fmt: skip
    return batches


def _batch(task: AbxTask, groups: ndarray, size: int, cell_ends: ndarray) -> _Batch:
    members = task.group_starts[groups][:, None] + np.arange(size)
    first_class = task.class_of[members[:, 0]]
    sides = task.side_of[members]
    new = np.ones((len(groups), size), dtype=bool)
    new[:, 1:] = sides[:, 1:] != sides[:, :-1]
    place = np.broadcast_to(np.arange(size), new.shape)
    side_first = np.maximum.accumulate(np.where(new, place, 0), axis=1)
    ends = np.c_[new[:, 1:], np.ones(len(groups), dtype=bool)]
    side_last = np.minimum.accumulate(np.where(ends, place, size)[:, ::-1], axis=1)[:, ::-1]
    cells = np.concatenate([np.arange(cell_ends[g], cell_ends[g + 1]) for g in groups])
    number = np.repeat(np.arange(len(groups)), cell_ends[groups + 1] - cell_ends[groups])
    x, _, b = task.classes[cells].T - first_class[number]
    local = task.class_of[members] - first_class[:, None]
    return _Batch(members, local, side_first, side_last, cells, (number, x, b))


def _cell_errors(task: AbxTask, block, batch: _Batch, bar) -> Float[ndarray, " cell"]:
    """Return the errors of the cells of a batch in one layer."""
    groups, size = batch.members.shape
    items = task.items[batch.members]
    width = int(batch.local.max()) + 1
    sums = np.zeros((groups, width, width))  # over X of a class, over B of a class
    step = max(1, BLOCK_ENTRIES // size) if groups == 1 else size
    for start in range(0, size, step):
        rows = slice(start, min(start + step, size))
        per_x = _errors_of_x(block(items, rows), task.label_of[batch.members], batch, start, width)
        np.add.at(sums, (np.arange(groups)[:, None], batch.local[:, rows]), per_x)
        bar.update(groups * (rows.stop - rows.start))
    counts = np.zeros((groups, width))
    np.add.at(counts, (np.arange(groups)[:, None], batch.local), 1)
    number, x, b = batch.places
    return sums[number, x, b] / (counts[number, x] * counts[number, b])


def _errors_of_x(
    distances: Float[ndarray, "group row member"],
    labels: Int[ndarray, "group member"],
    batch: _Batch,
    start: int,
    width: int,
) -> Float[ndarray, "group row class"]:
    """Return, for every X (row), the share of A farther than B, summed over the B of each class.

    One sort of a row answers it for all A and B: B's error is the share of A that come after it.
    Side, distance and place of an item are packed into one integer, which sorts fastest.
    """
    groups, rows, size = distances.shape
    bits = max(1, int(size - 1).bit_length())
    bare = np.abs(distances).view(np.int32)  # floats above 0 sort like their bits
    keys = (batch.side_first[:, None, :].astype(np.int64) << 31 | bare) << bits
    keys |= np.arange(size)
    keys.sort(axis=-1)
    order = keys & ((1 << bits) - 1)
    flat = order + (size * np.arange(groups))[:, None, None]
    x = np.arange(start, start + rows)[:, None]
    is_a = (labels.ravel()[flat] == labels[:, start : start + rows, None]) & (order != x)
    up_to = is_a.cumsum(axis=-1, dtype=np.int32)
    before = _at(up_to - is_a, batch.side_first)  # A's of earlier sides
    count = _at(up_to, batch.side_last) - before
    nearer = _with_ties(keys >> bits, is_a, up_to) - before
    errors = 1 - nearer / np.maximum(count, 1)
    of_class = batch.local.ravel()[flat]
    of_class += width * np.arange(groups * rows).reshape(groups, rows, 1)
    sums = np.bincount(of_class.ravel(), errors.ravel(), groups * rows * width)
    return sums.reshape(groups, rows, width)


def _at(values: ndarray, places: Int[ndarray, "group member"]) -> ndarray:
    return np.take_along_axis(values, np.broadcast_to(places[:, None], values.shape), axis=-1)


def _with_ties(values: ndarray, is_a: ndarray, up_to: ndarray) -> ndarray:
    """Return how many A come before each place; of those at the same distance one half."""
    equal = values[..., 1:] == values[..., :-1]
    if not equal.any():
        return up_to
    place = np.broadcast_to(np.arange(values.shape[-1]), values.shape)
    edge = np.ones((*values.shape[:-1], 1), dtype=bool)
    first = np.maximum.accumulate(np.where(np.concatenate([edge, ~equal], -1), place, 0), -1)
    last = np.where(np.concatenate([~equal, edge], -1), place, values.shape[-1])
    last = np.minimum.accumulate(last[..., ::-1], -1)[..., ::-1]
    below = np.take_along_axis(up_to - is_a, first, -1)
    return (below + np.take_along_axis(up_to, last, -1)) / 2
