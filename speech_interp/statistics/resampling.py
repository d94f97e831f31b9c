"""Resampling: which items are drawn when speakers, sentences and items are drawn anew.

A number that was measured on some speakers saying some sentences varies with both. Drawing the
groups of every grouping anew, at the same time, shows that.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

Names = Sequence | np.ndarray  # one name for each item: its speaker, its sentence


def group_codes(names: Names, count: int | None = None) -> Int[np.ndarray, " item"]:
    """Return the number of each item's group, 0 to groups - 1, in the order of sorted names."""
    codes = np.unique(np.asarray(names), return_inverse=True)[1]
    if codes.ndim != 1 or (count is not None and len(codes) != count):
        raise ValueError(f"groups name {np.shape(names)} items, expected ({count},)")
    return codes


def draw_weights(
    *groupings: Names, resamples: int = 1000, seed: int = 0
) -> Float[np.ndarray, "resample item"]:
    """Return how often each item is drawn when the groups of every grouping are drawn anew.

    One grouping (speakers) is the usual cluster bootstrap. With two (speakers, sentences) an item
    counts as often as its speaker times as often as its sentence was drawn. The same groupings and
    seed give the same draws, so two scores over the same items can be compared draw by draw.
    Raises ValueError for a grouping with one group only: nothing would vary.
    """
    if not groupings:
        raise ValueError("groupings: got none, expected at least one name for each item")
    rng = np.random.default_rng(seed)
    weights = np.ones((resamples, len(groupings[0])))
    for number, names in enumerate(groupings):
        codes = group_codes(names, len(groupings[0]))
        count = codes.max() + 1
        if count < 2:
            raise ValueError(f"grouping {number} has one group only: an interval needs at least 2")
        weights *= rng.multinomial(count, np.full(count, 1 / count), resamples)[:, codes]
    return weights


def draw_halves(
    *groupings: Names, resamples: int = 200, seed: int = 0
) -> Float[np.ndarray, "resample item"]:
    """Return 1 for the items of a random half of the groups of every grouping, 0 for the others.

    For numbers that copies of an item would spoil (an item is always like its copy): half-samples
    without replacement spread about the estimate as it spreads about the truth. Raises ValueError
    for fewer than 6 groups: there are too few different halves.
    """
    rng = np.random.default_rng(seed)
    kept = np.ones((resamples, len(groupings[0])))
    for number, names in enumerate(groupings):
        codes = group_codes(names, len(groupings[0]))
        count = int(codes.max()) + 1
        if count < 6:
            raise ValueError(f"grouping {number} has {count} groups; half-samples need at least 6")
        for row in kept:
            half = np.zeros(count)
            half[rng.permutation(count)[: count // 2]] = 1
            row *= half[codes]
    return kept


def paired_by(*groupings: Names) -> str:
    """Return a name of what `draw_weights(*groupings)` draws; "" for no groupings.

    Equal names mean equal draws: numbers of groups and a digest of who is in which.
    """
    if not groupings:
        return ""
    codes = [group_codes(names, len(groupings[0])) for names in groupings]
    digest = hashlib.sha256(b"".join(c.astype("<i8").tobytes() for c in codes)).hexdigest()[:8]
    counts = " x ".join(str(c.max() + 1) for c in codes)
    return f"{counts} groups of {len(codes[0])} items ({digest})"


def cells(*groupings: Names) -> tuple[Int[np.ndarray, " item"], tuple[np.ndarray, ...]]:
    """Return the cell of each item (its speaker and sentence, say), and the names of each cell.

    Sums over cells are enough to resample whatever is a function of sums: `draw_weights` of the
    names of the cells weighs them.
    """
    codes = np.stack([group_codes(names, len(groupings[0])) for names in groupings])
    found, cell = np.unique(codes, axis=1, return_inverse=True)
    names = [np.unique(np.asarray(n))[found[k]] for k, n in enumerate(groupings)]
    return cell.ravel(), tuple(names)


def weighted_median(
    values: Float[np.ndarray, " item"], weights: Float[np.ndarray, "resample item"]
) -> Float[np.ndarray, " resample"]:
    """Return the median of each resample: the first value with half of the weight up to it."""
    order = np.argsort(values, kind="stable")
    up_to = np.cumsum(weights[:, order], axis=1)
    return values[order][(up_to >= up_to[:, -1:] / 2).argmax(axis=1)]


def maximum_p_value(
    found: Float[np.ndarray, " layer"], null: Float[np.ndarray, "draw layer"]
) -> float:
    """Return how often a null reaches, in its own best layer, what was found in the best layer.

    Whoever looks at all layers and reports the highest has looked many times; so must the null:
    `null` holds the scores of all layers under labels that mean nothing, one row a draw. The true
    labels count as one draw, so the value is never 0.
    """
    return float((1 + (null.max(axis=1) >= found.max()).sum()) / (1 + len(null)))


def limits(draws: np.ndarray, level: float = 0.95) -> Float[np.ndarray, "2 *rest"]:
    """Return the lower and upper quantile of draws (resample, ...), NaN draws left out."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, expected a number between 0 and 1")
    return np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
