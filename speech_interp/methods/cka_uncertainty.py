"""How sure is a CKA? What shuffled items give, and intervals over items, utterances or speakers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float

from speech_interp.methods.cka import (
    GRAM_BLOCK_BYTES,
    centred,
    check_count,
    check_spread,
    hsic,
)
from speech_interp.statistics.layer_scores import LayerScores
from speech_interp.statistics.resampling import cells, draw_halves, paired_by
from speech_interp.statistics.spaces import Space, Spaces, check_same_items, is_one_space

MOVING = 200  # to move one entry of a Gram matrix takes about as long as so many multiplications
Names = Sequence | np.ndarray  # one name for each item: its speaker, its utterance, its phone


@dataclass(frozen=True)
class PermutationTest:
    """CKA of each space with `y`, its values when the items of `y` are shuffled, and p-values."""

    cka: Float[np.ndarray, " space"]
    null: Float[np.ndarray, "permutation space"]

    @property
    def p_value(self) -> Float[np.ndarray, " space"]:
        """The share of shufflings, the true order among them, that reach the observed CKA."""
        return (1 + (self.null >= self.cka).sum(0)) / (1 + len(self.null))


def permutation_test(
    xs: Spaces,
    y: Space,
    *,
    permutations: int = 500,
    within: Names | None = None,
    debiased: bool = True,
    seed: int = 0,
) -> PermutationTest:
    """Return linear CKA of every space in `xs` with `y`, and its null under shuffled items.

    Items are exchanged only inside the groups named by `within` (say, their speakers). Items must
    be exchangeable if the spaces are unrelated: pool over phones, do not pass successive frames.
    Memory: up to 8 bytes x items^2 for each space.
    """
    spaces, (target,) = centred(xs, "xs"), centred([y], "y")
    check_same_items([*spaces, target])
    n = len(target)
    rng = np.random.default_rng(seed)
    orders = np.stack(
        [np.arange(n), *(shuffled_items(n, within, rng) for _ in range(permutations))]
    )
    inner = _inner_of_orders(spaces, target, orders)  # (order, space)
    norms, norms_y = _square_norms(spaces), _square_norms([target])[0]
    lengths = np.array([_inner_with_itself(x) for x in [*spaces, target]])
    if debiased:
        totals = norms.sum(1)
        inner = hsic(inner, norms_y[orders] @ norms.T, totals * norms_y.sum(), n)
        every = np.vstack([norms, norms_y])
        squares = lengths
        lengths = hsic(squares, (every**2).sum(1), every.sum(1) ** 2, n)
        check_spread(lengths, squares)
    values = inner / np.sqrt(lengths[:-1] * lengths[-1])
    return PermutationTest(values[0], values[1:])


def bootstrap_interval(
    xs: Spaces,
    ys: Spaces | None = None,
    *,
    groups: Names | None = None,
    resamples: int = 200,
    level: float = 0.95,
    debiased: bool = True,
    seed: int = 0,
) -> Float[np.ndarray, "x y 2"]:
    """Return the lower and upper limit of each entry of `cka_matrix(xs, ys)`.

    Half of the items (or of the groups: utterances, speakers) are drawn again and again without
    replacement: half-samples spread about the estimate as it spreads about the truth. Drawing with
    replacement, as usual, would put copies of an item beside it, and copies are always alike.
    """
    rows = centred(xs, "xs")
    columns = rows if ys is None else centred(ys, "ys")
    check_same_items([*rows, *columns])
    names = np.arange(len(rows[0])) if groups is None else np.asarray(groups)
    kinds, group_of_item = np.unique(names, return_inverse=True)
    if len(group_of_item) != len(rows[0]):
        raise ValueError(f"groups names {len(group_of_item)} items, the spaces have {len(rows[0])}")
    if len(kinds) < 6:
        raise ValueError(f"groups has {len(kinds)} different groups; half-samples need at least 6")
    rng = np.random.default_rng(seed)
    kept = np.zeros((resamples + 1, len(kinds)))
    for row in kept[1:]:
        row[rng.permutation(len(kinds))[: len(kinds) // 2]] = 1
    kept[0] = 1  # the first "half" is everything: the estimate itself
    spaces = rows if ys is None else rows + columns
    values = _cka_of_subsets(spaces, len(rows), ys is None, group_of_item, kept, debiased)
    estimate, draws = values[0], values[1:]
    spread = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0) - draws.mean(0)
    return estimate[..., None] + np.moveaxis(spread, 0, -1)


def cka_by_layer(
    xs: Spaces,
    y: Space | Spaces,
    *,
    groups: Names | tuple[Names, ...],
    resamples: int = 200,
    debiased: bool = True,
    seed: int = 0,
) -> LayerScores:
    """Return CKA of every layer with `y`, as scores that can be drawn and compared.

    `y`: one space (phones, MFCCs, the first layer), or one for each of `xs` (the same layers of
    another model). `groups`: what varies, such as (speakers, sentences): half of each grouping is
    drawn without replacement, as in `bootstrap_interval`; items count that are drawn in all.
    """
    groupings = groups if isinstance(groups, tuple) else (groups,)
    cell, names = cells(*groupings)
    halves = draw_halves(*names, resamples=resamples, seed=seed)
    kept = np.concatenate([np.ones((1, len(names[0]))), halves])  # the first is everything
    rows = centred(xs, "xs")
    if is_one_space(y):
        pairs = [(rows, centred([y], "y")[0])]
    else:
        pairs = [([x], other) for x, other in zip(rows, centred(y, "y"), strict=True)]
    values = np.concatenate(
        [
            _cka_of_subsets([*some, other], len(some), False, cell, kept, debiased)[:, :, 0]
            for some, other in pairs
        ],
        axis=1,
    )
    draws = values[1:] - values[1:].mean(0) + values[0]
    return LayerScores(values[0], draws, paired_by=f"halves of {paired_by(*groupings)}")


def null_level(
    xs: Spaces,
    y: Space | Spaces,
    *,
    permutations: int = 39,
    within: Names | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Float[np.ndarray, " space"]:
    """Return what shuffled items stay below, for every pair on its own: a null is its pair's.

    `y`: one space, or one for each of `xs`. `within`: as in `permutation_test`.
    """
    test = partial(permutation_test, permutations=permutations, within=within, seed=seed)
    if is_one_space(y):
        return np.quantile(test(xs, y).null, level, axis=0)
    tests = [test([x], other) for x, other in zip(xs, y, strict=True)]
    return np.array([np.quantile(test.null, level) for test in tests])


def _cka_of_subsets(
    spaces: list[np.ndarray],
    row_count: int,
    square: bool,
    group_of_item: np.ndarray,
    kept: Float[np.ndarray, "subset group"],
    debiased: bool,
) -> Float[np.ndarray, "subset x y"]:
    """Return CKA of rows x columns on many subsets of the groups, in one pass over the Grams.

    HSIC of a subset S is made of sums of k_ab m_ab, and of row sums, over a, b in S. Summing over
    the groups of b first makes each subset a product with a 0/1 vector.
    """
    order = np.argsort(group_of_item, kind="stable")
    spaces, group = [x[order] for x in spaces], group_of_item[order]
    starts = np.flatnonzero(np.r_[True, np.diff(group) > 0])
    n, count = len(group), len(spaces)
    first_column = 0 if square else row_count
    pairs = [(i, j) for i in range(row_count) for j in range(first_column, count) if i <= j]
    pairs += [(i, i) for i in range(count) if (i, i) not in pairs]
    product, crossed = np.zeros((2, len(kept), count, count))
    total = np.zeros((len(kept), count))
    step = max(1, GRAM_BLOCK_BYTES // (8 * n * (count + 1)))
    for start in range(0, n, step):
        block = slice(start, min(start + step, n))
        grams = [x[block] @ x.T for x in spaces]  # (item of the block, item)
        if debiased:
            for gram in grams:
                np.fill_diagonal(gram[:, start:], 0)
        own = kept[:, group[block]]  # (subset, item of the block): is it kept?
        sums = [own * (np.add.reduceat(gram, starts, axis=1) @ kept.T).T for gram in grams]
        total += np.stack([s.sum(1) for s in sums], axis=1)
        for i, j in pairs:
            both = np.add.reduceat(grams[i] * grams[j], starts, axis=1) @ kept.T
            product[:, i, j] += (own * both.T).sum(1)
            crossed[:, i, j] += (sums[i] * sums[j]).sum(1)
    check_count(int((kept @ np.bincount(group)).min()))
    m = (kept @ np.bincount(group))[:, None, None]
    one, two = (1 / (m - 2), 1 / ((m - 1) * (m - 2))) if debiased else (1 / m, 1 / m**2)
    value = product - 2 * one * crossed + two * total[:, :, None] * total[:, None, :]
    value = np.triu(value) + np.triu(value, 1).swapaxes(1, 2)
    scale = np.einsum("sii->si", value)
    if np.any(scale <= 1e-12 * np.einsum("sii->si", product)):
        raise ValueError("in a half-sample one of the spaces has zero variance")
    scale = np.sqrt(scale)
    cka = value / (scale[:, :, None] * scale[:, None, :])
    return cka[:, :row_count, first_column:]


def _inner_of_orders(
    spaces: list[np.ndarray], target: np.ndarray, orders: np.ndarray
) -> Float[np.ndarray, "order space"]:
    """Return ||X^T Y||^2 with the items of Y in each order, over units or over items."""
    n, widths = len(target), [x.shape[1] for x in spaces]
    if sum(widths) * target.shape[1] < n * (len(spaces) + MOVING):
        starts = np.cumsum([0, *widths[:-1]])
        side_by_side = np.concatenate(spaces, axis=1)
        squares = [((target[o].T @ side_by_side) ** 2).sum(0) for o in orders]
        return np.add.reduceat(squares, starts, axis=1)
    flat = np.stack([(x @ x.T).ravel() for x in spaces])
    gram = target @ target.T
    step = max(1, GRAM_BLOCK_BYTES // (8 * n * n))
    inner = []
    for start in range(0, len(orders), step):
        some = orders[start : start + step]
        shuffled = np.stack([gram.take(o, axis=0).take(o, axis=1).ravel() for o in some])
        inner.append(shuffled @ flat.T)
    return np.concatenate(inner)


def _square_norms(spaces: list[np.ndarray]) -> Float[np.ndarray, "space item"]:
    return np.stack([np.einsum("iu,iu->i", x, x) for x in spaces])


def _inner_with_itself(x: np.ndarray) -> float:
    return float(np.linalg.norm(x.T @ x if x.shape[1] < len(x) else x @ x.T) ** 2)


def shuffled_items(n: int, within: Names | None, rng: np.random.Generator) -> np.ndarray:
    """Return n items in a random order; each stays in its group where `within` names groups."""
    if within is None:
        return rng.permutation(n)
    kinds = np.unique(np.asarray(within), return_inverse=True)[1]
    if len(kinds) != n:
        raise ValueError(f"within names {len(kinds)} items, the spaces have {n}")
    order = np.empty(n, dtype=int)
    order[np.argsort(kinds, kind="stable")] = np.lexsort((rng.random(n), kinds))
    return order
