"""CCA on items that were not fitted: layers with intervals, and what shuffled items give."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from speech_interp.methods.cca import (
    CanonicalPairs,
    Weighing,
    Whitened,
    evenly,
    pair_up,
    whiten,
)
from speech_interp.statistics.layer_scores import LayerScores
from speech_interp.statistics.moments import Moments
from speech_interp.statistics.resampling import Names, cells, draw_weights, group_codes, paired_by
from speech_interp.statistics.spaces import (
    Space,
    Spaces,
    check_same_items,
    is_one_space,
    to_arrays,
)

Fold = tuple[Int[np.ndarray, " _train"], Int[np.ndarray, " _test"]]


@dataclass(frozen=True, eq=False)
class Variates:
    """Both variates of every item, of pairs that were fitted on items of other folds.

    Pair k is the k-th of each fold: its direction differs a little from fold to fold.
    """

    x: Float[np.ndarray, "item pair"]
    y: Float[np.ndarray, "item pair"]
    weights: Float[np.ndarray, " pair"]  # of the pairs in the score, sum 1

    def correlations(self) -> Float[np.ndarray, " pair"]:
        """Return the correlation of each pair over all items."""
        return _correlations(_sums(self.x, self.y, np.zeros(len(self.x), dtype=int))[0])

    def score(self) -> float:
        """Return the weighted mean of the correlations."""
        return float(self.weights @ self.correlations())


@dataclass(frozen=True, eq=False)
class PermutationTest:
    """The score of each space with `y`, the same with shuffled items, and p-values."""

    score: Float[np.ndarray, " space"]
    null: Float[np.ndarray, "permutation space"]

    @property
    def p_value(self) -> Float[np.ndarray, " space"]:
        """The share of shufflings, the true order among them, that reach the observed score."""
        return (1 + (self.null >= self.score).sum(0)) / (1 + len(self.null))


def held_out_variates(
    x: Space,
    y: Space,
    folds: Sequence[Fold],
    *,
    ridge: float = 0.0,
    variance: float = 1.0,
    weighing: Weighing = evenly,
) -> Variates:
    """Return the variates of all items, each from pairs fitted without its fold.

    `folds`: (train, test) numbers of items, as `probing.grouped_folds` gives; each item is tested
    once. As many pairs as every fold has. Raises ValueError as `cca.fit_cca` does.
    """
    (first,), (second,) = _checked([x], y, folds)
    own, other = (_whiten_folds(z, folds, ridge, variance) for z in (first, second))
    return _variates(first, second, folds, own, other, weighing)


def cca_by_layer(
    xs: Spaces,
    y: Space | Spaces,
    folds: Sequence[Fold],
    *,
    groups: Names | tuple[Names, ...],
    ridge: float = 0.0,
    variance: float = 1.0,
    weighing: Weighing = evenly,
    resamples: int = 1000,
    seed: int = 0,
) -> LayerScores:
    """Return held-out CCA of every layer with `y`, as scores that can be drawn and compared.

    `y`: one space (phones, MFCCs, the first layer), or one for each of `xs` (the same layers of
    another model). `groups`: what varies, such as (speakers, sentences); their items are drawn
    anew, the directions stay as fitted. Mean CCA, or PWCCA by `weighing`; `ridge`, `variance`: see
    `cca.whiten`. Raises ValueError as `cca.fit_cca` does, in any fold.
    """
    xs, ys = _checked(xs, y, folds)
    groupings = groups if isinstance(groups, tuple) else (groups,)
    cell, names = cells(*groupings)
    drawn = draw_weights(*names, resamples=resamples, seed=seed)
    drawn = drawn[drawn.sum(1) > 0]
    values, draws = [], []
    same = _whiten_folds(ys[0], folds, ridge, variance) if len(ys) == 1 else None
    for k, x in enumerate(xs):
        other = ys[0] if same else ys[k]
        whitened = same or _whiten_folds(other, folds, ridge, variance)
        found = _variates(
            x, other, folds, _whiten_folds(x, folds, ridge, variance), whitened, weighing
        )
        of_cell = _sums(found.x, found.y, cell)
        values.append(found.score())
        draws.append(_correlations(np.tensordot(drawn, of_cell, 1)) @ found.weights)
    return LayerScores(np.array(values), np.stack(draws, axis=1), paired_by(*groupings))


def permutation_test(
    xs: Spaces,
    y: Space,
    folds: Sequence[Fold],
    *,
    permutations: int = 99,
    within: Names | None = None,
    ridge: float = 0.0,
    variance: float = 1.0,
    weighing: Weighing = evenly,
    seed: int = 0,
) -> PermutationTest:
    """Return held-out CCA of every space with `y`, and its null: fitted anew on shuffled items.

    Items of `y` are exchanged only inside the groups named by `within` (say, their speakers). A
    class that a shuffling takes out of a fold's training is left out of that fold.
    """
    xs, (y,) = _checked(xs, y, folds)
    rng = np.random.default_rng(seed)
    fixed = [_whiten_folds(x, folds, ridge, variance) for x in xs]
    kinds = np.zeros(len(y), dtype=int) if within is None else group_codes(within, len(y))
    values = []
    for number in range(permutations + 1):
        order = _shuffle(kinds, rng) if number else np.arange(len(y))
        shuffled = y[order]
        whitened = _whiten_folds(shuffled, folds, ridge, variance, allow_constant=number > 0)
        values.append(
            [
                _variates(x, shuffled, folds, own, whitened, weighing).score()
                for x, own in zip(xs, fixed, strict=True)
            ]
        )
    return PermutationTest(np.array(values[0]), np.array(values[1:]))


def _whiten_folds(
    z: np.ndarray, folds: Sequence[Fold], ridge: float, variance: float, **options
) -> list[Whitened]:
    found = []
    for train, _ in folds:
        moments = Moments()
        moments.add([z[train]])
        found.append(whiten(moments, 0, ridge=ridge, variance=variance, **options))
    return found


def _variates(
    x: np.ndarray,
    y: np.ndarray,
    folds: Sequence[Fold],
    x_folds: list[Whitened],
    y_folds: list[Whitened],
    weighing: Weighing,
) -> Variates:
    fitted: list[CanonicalPairs] = []
    for (train, _), a, b in zip(folds, x_folds, y_folds, strict=True):
        covariance = (x[train] - a.mean).T @ (y[train] - b.mean) / len(train)
        fitted.append(pair_up(a, b, covariance))
    count = min(len(pairs) for pairs in fitted)
    sides = np.empty((2, len(x), count))
    for (_, test), pairs in zip(folds, fitted, strict=True):
        sides[0, test] = pairs.x(x[test])[:, :count]
        sides[1, test] = pairs.y(y[test])[:, :count]
    weights = np.mean([weighing(pairs)[:count] for pairs in fitted], axis=0)
    return Variates(sides[0], sides[1], weights / weights.sum())


def _sums(
    x: Float[np.ndarray, "item pair"],
    y: Float[np.ndarray, "item pair"],
    cell: Int[np.ndarray, " item"],
) -> Float[np.ndarray, "cell 6 pair"]:
    """Return what correlations are made of, summed over the items of each cell."""
    of_cell = csr_array((np.ones(len(cell)), (cell, np.arange(len(cell)))))
    return np.stack([of_cell @ v for v in (np.ones_like(x), x, y, x * x, y * y, x * y)], axis=1)


def _correlations(sums: Float[np.ndarray, "*draw 6 pair"]) -> Float[np.ndarray, "*draw pair"]:
    """Return Pearson's r from the sums that `_sums` gives."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -2, 0)
    spread = np.maximum(n * xx - x**2, 0) * np.maximum(n * yy - y**2, 0)
    return (n * xy - x * y) / np.sqrt(np.maximum(spread, 1e-300))


def _shuffle(kinds: Int[np.ndarray, " item"], rng: np.random.Generator) -> np.ndarray:
    """Return an order of the items in which each stands in a place of its own kind."""
    order = np.empty(len(kinds), dtype=int)
    order[np.argsort(kinds, kind="stable")] = np.lexsort((rng.random(len(kinds)), kinds))
    return order


def _checked(
    xs: Spaces, y: Space | Spaces, folds: Sequence[Fold]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    one = is_one_space(y)
    first, second = (
        [np.asarray(z, dtype=np.float64) for z in to_arrays(spaces, name)]
        for spaces, name in ((xs, "xs"), ([y] if is_one_space(y) else y, "y"))
    )
    check_same_items([*first, *second])
    if not one and len(second) != len(first):
        raise ValueError(
            f"y has {len(second)} spaces, expected one for each of the {len(first)} of xs"
        )
    count = len(first[0])
    tested = np.bincount(np.concatenate([test for _, test in folds]), minlength=count)
    if len(tested) != count or (tested != 1).any():
        raise ValueError(
            f"folds test {(tested == 1).sum()} items exactly once, expected all {count}"
        )
    return first, second
