"""Distances between all pairs of items: the matrices (RDMs) that RSA compares, without diagonals.

An RDM is stored as the vector of its pairs (0, 1), (0, 2), ... (1, 2), ...: as SciPy's `pdist`.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int

from speech_interp.statistics.resampling import Names, group_codes
from speech_interp.statistics.spaces import Spaces, check_same_items, to_arrays

BLOCK_BYTES = 2**26  # of distances that are computed at a time

RDM = Float[np.ndarray, " _pair"]
RDMs = Float[np.ndarray, "_rdm _pair"]


def rdms(spaces: Spaces, distance: str = "cosine") -> Float[np.ndarray, "space pair"]:
    """Return the distances between all pairs of items in every space, as vectors of pairs.

    "cosine": 1 - cosine. "pearson": 1 - correlation over the units of two items. "euclidean".
    In float32 where all spaces come in it: 10,000 items take 0.2 GB a space, and little besides.
    Raises ValueError for an item without direction (zero, or constant with "pearson").
    """
    if distance not in DISTANCES:
        raise ValueError(f"distance is {distance!r}, expected one of {sorted(DISTANCES)}")
    arrays = to_arrays(spaces, "spaces")
    check_same_items(arrays, at_least=3)
    n, dtype = len(arrays[0]), np.result_type(*arrays)
    result = np.empty((len(arrays), n * (n - 1) // 2), dtype)
    for k, x in enumerate(arrays):
        ready, finish = DISTANCES[distance](x, f"spaces[{k}]")
        for rows, places in _blocks(n):
            block = finish(ready, rows)  # (item of the block, item from its first on)
            for i, place in enumerate(places):
                result[k, place] = block[i, i + 1 :]
    return result


def crossvalidated_rdms(
    spaces: Spaces, conditions: Names, folds: Names
) -> Float[np.ndarray, "space pair"]:
    """Return squared distances between the means of conditions, free of bias by noise.

    A distance between two noisy means is too long, whatever the truth. Here the difference of two
    conditions in one fold meets their difference in another one: noise
    that folds do not share comes to 0 on average, so equal conditions are at 0, now and then below.
    Over units the mean is taken. `conditions`: what is compared (phones), in the order of sorted
    names; `folds`: repetitions that share no noise (speakers, sentences). Raises ValueError where a
    condition is missing from a fold.
    """
    arrays = to_arrays(spaces, "spaces")
    check_same_items(arrays, at_least=3)
    condition, fold = (group_codes(names, len(arrays[0])) for names in (conditions, folds))
    counts = np.zeros((fold.max() + 1, condition.max() + 1))
    np.add.at(counts, (fold, condition), 1)
    if len(counts) < 2:
        raise ValueError("folds name one fold only, expected at least 2")
    if not counts.all():
        f, c = np.argwhere(counts == 0)[0]
        name, where = np.unique(conditions)[c], np.unique(folds)[f]
        raise ValueError(f"condition {str(name)!r} is missing from fold {str(where)!r}")
    upper = np.triu_indices(counts.shape[1], 1)
    result = []
    for x in arrays:
        means = np.zeros((*counts.shape, x.shape[1]))
        np.add.at(means, (fold, condition), x)
        means /= counts[:, :, None]
        total = means.sum(0)
        across = total @ total.T - np.einsum("fiu,fju->ij", means, means)  # pairs of two folds
        norms = np.diag(across)
        squares = norms[:, None] + norms - across - across.T
        result.append(squares[upper] / (len(counts) * (len(counts) - 1) * x.shape[1]))
    return np.stack(result)


def categorical_rdm(labels: Names) -> RDM:
    """Return 0 for pairs of equal labels and 1 for the others."""
    codes = group_codes(labels)
    return _by_rows(codes, lambda one, others: (others != one).astype(np.float64))


def difference_rdm(values: Float[np.ndarray, " item"] | Sequence[float]) -> RDM:
    """Return the absolute difference of a number, such as a duration, for all pairs of items."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError(f"values have shape {values.shape}, expected (item,), all finite")
    return _by_rows(values, lambda one, others: np.abs(others - one))


def table_rdm(table: Float[np.ndarray, "kind kind"], kinds: Int[np.ndarray, " item"]) -> RDM:
    """Return distances that depend on the kinds of two items only, looked up in a table."""
    kinds = np.asarray(kinds)
    return _by_rows(kinds, lambda one, others: table[one, others])


def _by_rows(values: np.ndarray, distances: Callable[..., np.ndarray]) -> RDM:
    return np.concatenate([distances(v, values[i + 1 :]) for i, v in enumerate(values)])


def item_count(pair_count: int) -> int:
    """Return how many items have so many pairs; raises ValueError where no number has."""
    n = round((1 + np.sqrt(1 + 8 * pair_count)) / 2)
    if n * (n - 1) // 2 != pair_count or n < 3:
        raise ValueError(f"{pair_count} pairs: no number of items (3 or more) has so many pairs")
    return n


def square(rdm: RDM) -> Float[np.ndarray, "item item"]:
    """Return the whole matrix of a vector of pairs, its diagonal 0."""
    n = item_count(len(rdm))
    whole = np.zeros((n, n), rdm.dtype)
    for i, place in enumerate(pair_places(n)):
        whole[i, i + 1 :] = whole[i + 1 :, i] = rdm[place]
    return whole


def condensed(matrix: Float[np.ndarray, "item item"]) -> RDM:
    """Return the vector of pairs of a symmetric matrix; its diagonal is never read."""
    if matrix.ndim != 2 or len(matrix) != matrix.shape[1]:
        raise ValueError(f"matrix has shape {matrix.shape}, expected (item, item)")
    return np.concatenate([row[i + 1 :] for i, row in enumerate(matrix)])


def pair_places(n: int) -> list[slice]:
    """Return for each item where its pairs with later items stand in the vector of pairs."""
    ends = np.cumsum(np.arange(n - 1, -1, -1)).tolist()
    return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def pairs_among(items: Int[np.ndarray, " chosen"], n: int) -> Int[np.ndarray, " pair"]:
    """Return where the pairs of some of n items, in ascending order, stand in the vector."""
    one, other = (items[k] for k in np.triu_indices(len(items), 1))
    return one * (2 * n - one - 1) // 2 + other - one - 1


def _blocks(n: int) -> Iterator[tuple[slice, list[slice]]]:
    places, step = pair_places(n), max(1, BLOCK_BYTES // (8 * n))
    for start in range(0, n, step):
        yield slice(start, min(start + step, n)), places[start : start + step]


Finish = Callable[[np.ndarray, slice], np.ndarray]


def _cosine(x: np.ndarray, name: str) -> tuple[np.ndarray, Finish]:
    lengths = np.linalg.norm(x, axis=1)
    if not lengths.all():
        raise ValueError(f"{name}: item {int(lengths.argmin())} has no direction, all units are 0")
    return x / lengths[:, None], lambda u, rows: 1 - u[rows] @ u[rows.start :].T


def _pearson(x: np.ndarray, name: str) -> tuple[np.ndarray, Finish]:
    spread = np.ptp(x, axis=1)
    if not spread.all():
        raise ValueError(f"{name}: item {int(spread.argmin())} is constant, correlation needs more")
    return _cosine(_less_mean(x, 1), name)


def _euclidean(x: np.ndarray, name: str) -> tuple[np.ndarray, Finish]:
    x = _less_mean(x, 0)  # far from the origin the difference of squares would lose its digits

    def finish(x: np.ndarray, rows: slice) -> np.ndarray:
        norms = np.einsum("iu,iu->i", x, x)
        squares = norms[rows, None] + norms[rows.start :] - 2 * x[rows] @ x[rows.start :].T
        return np.sqrt(np.maximum(squares, 0))

    return x, finish


def _less_mean(x: np.ndarray, axis: int) -> np.ndarray:
    return (x - x.mean(axis, keepdims=True, dtype=np.float64)).astype(x.dtype)


DISTANCES = {"cosine": _cosine, "pearson": _pearson, "euclidean": _euclidean}
