"""Neighbourhoods: who lies next to whom, in a layer and on a map of it.

Whatever a map promises about groups can be asked of the layer itself: how many of an item's nearest
items share its label. And a map can be asked how many neighbours it invented, and how many it lost.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import procrustes

from speech_interp.statistics.resampling import Names, group_codes
from speech_interp.statistics.spaces import Space, Spaces, to_arrays

BLOCK = 2**24  # distances that are held at a time


def nearest(
    states: Space,
    *,
    count: int = 10,
    metric: str = "euclidean",
    apart: Sequence[Names] = (),
) -> Int[np.ndarray, "item count"]:
    """Return the `count` nearest other items of each item, nearest first.

    `metric`: "euclidean" or "cosine". `apart`: groupings, such as (speakers, sentences), whose own
    members are no neighbours: a neighbour then has another speaker and another sentence.
    Raises ValueError where an item has fewer than `count` others.
    """
    x = _ready(states, metric)
    groups = [group_codes(names, len(x)) for names in apart]
    most = _fewest_others(groups) if groups else len(x) - 1
    if not 1 <= count <= most:
        raise ValueError(f"count is {count}, expected 1 to {most}: some item has no more others")
    found = np.empty((len(x), count), dtype=np.int64)
    square, step = np.einsum("iu,iu->i", x, x), max(1, BLOCK // len(x))
    for start in range(0, len(x), step):
        rows = slice(start, min(start + step, len(x)))
        far = square - 2 * (x[rows] @ x.T)  # the distance, but for a constant of the row
        far[_barred(rows, groups, len(x))] = np.inf
        some = np.argpartition(far, count - 1, axis=1)[:, :count]
        order = np.take_along_axis(far, some, 1).argsort(axis=1, kind="stable")
        found[rows] = np.take_along_axis(some, order, 1)
    return found


def purity(
    layers: Spaces,
    labels: Names,
    *,
    count: int = 10,
    metric: str = "euclidean",
    apart: Sequence[Names] = (),
) -> Float[np.ndarray, "layer item"]:
    """Return for each layer and item the share of its neighbours that carry its own label.

    `LayerScores.of_items(purity(...).T, speakers, sentences)` gives means with intervals. Compare
    with `chance_purity`. For the rest see `nearest`.
    """
    spaces = to_arrays(layers, "layers")
    codes = group_codes(labels, len(spaces[0]))
    return np.stack(
        [
            (codes[nearest(x, count=count, metric=metric, apart=apart)] == codes[:, None]).mean(1)
            for x in spaces
        ]
    )


def chance_purity(labels: Names, *, apart: Sequence[Names] = ()) -> float:
    """Return the purity that neighbours drawn at random have, from those that `apart` allows.

    Without `apart` this is the mean of labels shuffled over all items. With it, the share of an
    item's own label among the others that are left can be larger or smaller: of the sentences of
    seven voices, one in seven of another text is of the same voice.
    Raises ValueError where an item has no others.
    """
    codes = group_codes(labels)
    groups = [group_codes(names, len(codes)) for names in apart]
    n = len(codes)
    if (_fewest_others(groups) if groups and n else n - 1) < 1:
        raise ValueError(f"labels name {n} items, and some item has no others")
    total, step = 0.0, max(1, BLOCK // n)
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        allowed = ~_barred(rows, groups, n)
        same = allowed & (codes[rows, None] == codes)
        total += (same.sum(1) / allowed.sum(1)).sum()
    return float(total / n)


def shuffled_purity(
    neighbours: Int[np.ndarray, "item count"],
    labels: Names,
    *,
    within: Names | None = None,
    shuffles: int = 100,
    seed: int = 0,
) -> Float[np.ndarray, " shuffle"]:
    """Return the mean purity of labels that are shuffled, inside the groups of `within` if given.

    `neighbours`: what `nearest` returns.
    """
    codes = group_codes(labels, len(neighbours))
    own = np.zeros(len(codes), int) if within is None else group_codes(within, len(codes))
    rng, found = np.random.default_rng(seed), np.empty(shuffles)
    by_group = np.argsort(own, kind="stable")
    for number in range(shuffles):
        order = np.lexsort((rng.random(len(codes)), own))
        mixed = np.empty_like(codes)
        mixed[by_group] = codes[order]
        found[number] = (mixed[neighbours] == mixed[:, None]).mean()
    return found


def trustworthiness(states: Space, drawn: Space, *, count: int = 10) -> float:
    """Return how far the neighbours on a map are neighbours in the space: 1 if all are.

    Each of the `count` nearest on the map that is not among the `count` nearest in the space counts
    by how far down the space's order it stands; 0 is the worst order of all.
    """
    return _kept(_ready(states, "euclidean"), _ready(drawn, "euclidean"), count)


def continuity(states: Space, drawn: Space, *, count: int = 10) -> float:
    """Return how far the neighbours in the space are still neighbours on the map: 1 if all are."""
    return _kept(_ready(drawn, "euclidean"), _ready(states, "euclidean"), count)


def shared_neighbours(one: Space, two: Space, *, count: int = 10) -> float:
    """Return the mean share of an item's nearest items that two maps agree on.

    Unrelated maps share `count / (items - 1)` of them.
    """
    a, b = nearest(one, count=count), nearest(two, count=count)
    if len(a) != len(b):
        raise ValueError(f"one has {len(a)} items and two {len(b)}: maps of the same items needed")
    return float((a[:, :, None] == b[:, None, :]).any(2).mean())


def procrustes_agreement(one: Space, two: Space) -> float:
    """Return how alike two maps are once moved, turned, mirrored and stretched onto one another.

    1 for the same shape; it is the share of the squared distances from the mean that fits. Two maps
    of unrelated items are near 0.
    """
    return float(1 - procrustes(*to_arrays([one, two], "maps"))[2])


def _ready(states: Space, metric: str) -> np.ndarray:
    """Centred (Euclid) or of length one (cosine): then inner products order the neighbours."""
    x = to_arrays([states], "states")[0]
    if metric == "euclidean":
        return x - x.mean(0)
    if metric != "cosine":
        raise ValueError(f'metric is {metric!r}, expected "euclidean" or "cosine"')
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    if not lengths.all():
        raise ValueError("states hold an item of zeros: it has no angle to others")
    return x / lengths


def _barred(rows: slice, groups: list[np.ndarray], count: int) -> Bool[np.ndarray, "row item"]:
    """Which items are no neighbours of the items of `rows`: themselves and their groups."""
    barred = np.arange(count)[rows, None] == np.arange(count)
    for codes in groups:
        barred |= codes[rows, None] == codes
    return barred


def _fewest_others(groups: list[np.ndarray]) -> int:
    """The fewest items that any item finds outside all of its groups."""
    codes = np.stack(groups, axis=1)  # (item, grouping)
    kinds = np.unique(codes, axis=0)
    return min(int((codes != kind).all(axis=1).sum()) for kind in kinds)


def _kept(space: np.ndarray, drawn: np.ndarray, count: int) -> float:
    """One less the penalty for neighbours in `drawn` that are none in `space`."""
    n = len(space)
    if len(drawn) != n:
        raise ValueError(f"the space has {n} items and the map {len(drawn)}")
    if not 1 <= count < n / 2:
        raise ValueError(f"count is {count}, expected 1 up to half of the {n} items")
    near, square, penalty = nearest(drawn, count=count), np.einsum("iu,iu->i", space, space), 0
    step = max(1, BLOCK // n)
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        far = square - 2 * (space[rows] @ space.T)
        far[_barred(rows, [], n)] = -np.inf  # an item itself stands first, rank 0
        rank = np.argsort(np.argsort(far, axis=1, kind="stable"), axis=1, kind="stable")
        penalty += np.maximum(np.take_along_axis(rank, near[rows], 1) - count, 0).sum()
    return float(1 - 2 * penalty / (n * count * (2 * n - 3 * count - 1)))
