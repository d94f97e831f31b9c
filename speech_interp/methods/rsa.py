"""Representational similarity: do two spaces hold the same items far apart? [kriegeskorte2008rsa]

Two RDMs are compared pair by pair. Every comparison but Kendall's is a cosine between *prepared*
vectors: ranked, centred, whitened. What is prepared stays so when items change places, therefore
permutations, partial RSA and regression (`rsa_uncertainty`, `rsa_regression`) need products only.
"""

import sys

import numpy as np
from jaxtyping import Float
from scipy.stats import kendalltau

from speech_interp.methods.rsa_distances import RDM, RDMs, item_count, pair_places

TOP_BIT = np.uint32(2**31)
PIECE = 2**16  # products that are added up in one go: keeps float32 sums exact to 1e-6

COMPARISONS = (
    "spearman", "pearson", "cosine", "whitened pearson", "whitened cosine", "kendall",
)  # fmt: skip


def compare_rdms(
    xs: RDMs | RDM, ys: RDMs | RDM, comparison: str = "spearman"
) -> Float[np.ndarray, "x y"]:
    """Return the similarity of every RDM in `xs` with every RDM in `ys`.

    "spearman", "pearson", "cosine": of the two vectors of pairs. "kendall": tau-a, the share of
    pairs of pairs in the same order less the share in the opposite one; ties count as neither, so
    a categorical model is not preferred to a graded one. "whitened pearson", "whitened cosine":
    pairs that share an item err together, here they are weighed accordingly; of squared Euclidean
    distances the latter is linear CKA.

    The diagonal never enters. Raises ValueError for constant RDMs, NaN, unequal numbers of pairs.
    """
    xs, ys = check_rdms(xs, "xs"), check_rdms(ys, "ys")
    if xs.shape[1] != ys.shape[1]:
        counts = item_count(xs.shape[1]), item_count(ys.shape[1])
        raise ValueError(f"xs are of {counts[0]} items, ys of {counts[1]}: expected the same items")
    if comparison == "kendall":
        return np.array([[tau_a(x, y) for y in ys] for x in xs])
    targets = [prepared(y, comparison) for y in ys]
    result = np.empty((len(xs), len(ys)))
    for k, x in enumerate(xs):  # one at a time: many items fill the memory
        ready = prepared(x, comparison)
        result[k] = [inner(ready, y) for y in targets]
    return result


def prepared(rdm: RDM, comparison: str) -> RDM:
    """Return the vector of length 1, in float64, whose inner products are the comparison."""
    if comparison == "spearman":
        z = ranks(rdm)
    elif comparison in COMPARISONS and comparison != "kendall":
        z = rdm.astype(np.float64)
    else:
        others = [name for name in COMPARISONS if name != "kendall"]
        raise ValueError(f"comparison is {comparison!r}, expected one of {others}")
    size = np.sqrt(inner(z, z))
    if "cosine" not in comparison:
        z = z - z.mean()
    if "whitened" in comparison:
        z = whiten(z)
    length = np.sqrt(inner(z, z))
    if length <= 1e-10 * size:
        raise ValueError("an RDM is constant: all pairs are equally far apart")
    return z / length


def whiten(rdm: RDM) -> RDM:
    """Return V^(-1/2) times the vector of pairs, V the covariance of squared distances.

    For items with independent noise V is 4 for a pair with itself, 1 for two pairs that share an
    item, else 0: 2 I + B B^T with B (pair, item) saying who is in which pair. Its eigenvectors are
    known (the constant, sums over items of weights that sum to 0, the rest), with eigenvalues 2n,
    n and 2, so no matrix of pairs by pairs is needed.
    """
    n = item_count(len(rdm))
    places, sums = pair_places(n), np.zeros(n)
    for i, place in enumerate(places):
        sums[i] += rdm[place].sum()
        sums[i + 1 :] += rdm[place]
    weights = (sums - sums.mean()) / max(n - 2, 1)
    mean = rdm.mean()
    result = np.empty(len(rdm))
    for i, place in enumerate(places):
        by_item = weights[i] + weights[i + 1 :]
        rest = (rdm[place] - mean - by_item) / np.sqrt(2)
        result[place] = rest + by_item / np.sqrt(n) + mean / np.sqrt(2 * n)
    return result


def tau_a(x: RDM, y: RDM) -> float:
    """Return Kendall's tau-a: pairs of pairs in the same order less those in the opposite one."""
    total = len(x) * (len(x) - 1) / 2
    apart = [total - _tied(z) for z in (x, y)]
    if not all(apart):
        raise ValueError("an RDM is constant: all pairs are equally far apart")
    tau_b = kendalltau(x, y, method="asymptotic").statistic
    return float(tau_b * np.sqrt(apart[0]) * np.sqrt(apart[1]) / total)


def ranks(values: Float[np.ndarray, " pair"]) -> Float[np.ndarray, " pair"]:
    """Return ranks from 1 in float64; ties share the mean of theirs."""
    if values.dtype == np.float32 and len(values) < 2**30:
        ordered, order = _sorted_singles(values)
    else:
        order = np.argsort(values)
        ordered = values[order]
    edges = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1], True])  # a new value begins
    doubled = edges[:-1] + edges[1:] + 1  # first plus last rank: whole numbers, and half as wide
    if len(values) < 2**30:
        doubled = doubled.astype(np.int32)
    result = np.empty(len(values), doubled.dtype)
    result[order] = np.repeat(doubled, np.diff(edges))
    return result / 2


def inner(x: RDM, y: RDM) -> float:
    """Return the inner product of two vectors, summed in float64 piece by piece."""
    starts = range(0, len(x), PIECE)
    return float(sum(float(x[s : s + PIECE] @ y[s : s + PIECE]) for s in starts))


def check_rdms(given: RDMs | RDM, name: str) -> RDMs:
    """Return RDMs as (rdm, pair); raise ValueError for what is none."""
    given = np.asarray(given)
    given = given if np.issubdtype(given.dtype, np.floating) else given.astype(np.float64)
    if given.ndim not in (1, 2):
        raise ValueError(f"{name} have shape {given.shape}, expected (pair,) or (rdm, pair)")
    item_count(given.shape[-1])
    if not np.isfinite(given).all():
        raise ValueError(f"{name} hold distances that are not finite")
    return np.atleast_2d(given)


def _tied(values: np.ndarray) -> float:
    counts = np.unique(values, return_counts=True)[1].astype(float)
    return float((counts * (counts - 1) / 2).sum())


def _sorted_singles(values: Float[np.ndarray, " pair"]) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 values in order, as integers, and their places: one sort, no indirect one.

    The bits of a float32 sort as integers do, once those of negative ones are turned over. The
    place goes below them into one integer of 64 bits.
    """
    bits = (values + np.float32(0)).view(np.int32)  # -0 becomes 0: they are equal
    halves = np.empty((len(values), 2), np.uint32)
    low, high = halves.T if sys.byteorder == "little" else halves.T[::-1]
    np.bitwise_xor(bits.view(np.uint32), (bits >> 31).view(np.uint32) | TOP_BIT, out=high)
    low[:] = np.arange(len(values), dtype=np.uint32)
    halves.view(np.uint64)[:, 0].sort()
    return high, low.astype(np.intp)
