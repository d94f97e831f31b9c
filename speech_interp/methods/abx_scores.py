"""What ABX finds: the error of every cell, and how cells are averaged to one number a layer."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int, Shaped
from numpy import ndarray

from speech_interp.statistics.layer_scores import LayerScores
from speech_interp.statistics.resampling import group_codes

CHUNK = 2**23  # cells times layers times resamples that are averaged at a time


@dataclass(frozen=True, eq=False)
class AbxScores:
    """Errors of cells: shares of triples in which X is nearer to B than to A; chance is one half.

    `cells` holds the labels of each cell: ON of A and X, of B (`NAME_b`), each BY and ACROSS name,
    and of X where ACROSS changes it (`NAME_x`).
    """

    on: str
    by: tuple[tuple[str, ...], ...]
    across: tuple[str, ...]
    cells: dict[str, Shaped[ndarray, " cell"]] = field(repr=False)
    triples: Int[ndarray, " cell"] = field(repr=False)
    errors: Float[ndarray, "layer cell"] = field(repr=False)

    def collapsed(self) -> Float[ndarray, " layer"]:
        """Return the error of each layer: unweighted means, level after level.

        Over the names of the first BY level together (and over X's side), then of the next, then
        over the sides of A and B, then over pairs of labels. With `by=(("before", "after"),
        "speaker")` this is the ZeroSpeech score.
        """
        return self._collapsed({})[0][0]

    def by_pair(self) -> tuple[ndarray, Float[ndarray, "layer label label"]]:
        """Return the sorted labels, and the error of each pair (A and X, B); NaN without a cell."""
        values, left = self._collapsed({}, pairs=True)
        labels = np.unique(np.concatenate([left[self.on], left[f"{self.on}_b"]]))
        matrix = np.full((len(self.errors), len(labels), len(labels)), np.nan)
        a, b = (np.searchsorted(labels, left[name]) for name in (self.on, f"{self.on}_b"))
        matrix[:, a, b] = values[0]
        return labels, matrix

    def scores(
        self, *groupings: str | Sequence[str], resamples: int = 1000, seed: int = 0
    ) -> LayerScores:
        """Return the collapsed error with the intervals that come from drawing groupings anew.

        A grouping is a BY or ACROSS name, or several that are drawn as one:
        `scores("speaker", ("before", "after"))` draws speakers and contexts. A name of ACROSS is
        drawn once for A and B and X alike. The same groupings, seed and task give the same draws.
        """
        names = [(g,) if isinstance(g, str) else tuple(g) for g in groupings]
        levels = [*self.by, self.across]
        rng = np.random.default_rng(seed)
        weights: dict[int, ndarray] = {}
        for grouping in names:
            level = [k for k, names in enumerate(levels) if set(grouping) <= set(names)]
            if not level:
                raise ValueError(f"{grouping} is drawn as one, but no level of {levels} holds it")
            for where, times in self._drawn(grouping, level[0], resamples, rng):
                weights[where] = weights.get(where, 1.0) * times
        step = max(1, CHUNK // self.errors.size)
        draws = [
            self._collapsed({k: w[at : at + step] for k, w in weights.items()})[0]
            for at in range(0, resamples, step)
        ]
        drawn = f"{self.on} by {self.by} across {self.across}: {names}, {len(self.triples)} cells"
        values = np.concatenate(draws)
        return LayerScores(self.collapsed(), values[np.isfinite(values).all(1)], drawn)

    def _drawn(self, grouping: tuple[str, ...], level: int, resamples: int, rng):
        """How often each cell's group was drawn, and the level at which it counts."""
        sides = [tuple(grouping)]
        if level == len(self.by):
            sides.append(tuple(f"{name}_x" for name in grouping))
        columns = [np.concatenate([self.cells[s[k]] for s in sides]) for k in range(len(grouping))]
        single = np.stack([group_codes(column) for column in columns])
        code = np.unique(single, axis=1, return_inverse=True)[1].ravel()
        count = code.max() + 1
        if count < 2:
            raise ValueError(f"{grouping} has one group only: an interval needs at least 2")
        times = rng.multinomial(count, np.full(count, 1 / count), resamples)
        cells = len(self.triples)
        yield level, times[:, code[:cells]].astype(float)
        if len(sides) > 1:  # X's side is averaged in the first level
            yield 0, times[:, code[cells:]].astype(float)

    def _collapsed(
        self, weights: dict[int, Float[ndarray, "resample cell"]], *, pairs: bool = False
    ) -> tuple[ndarray, dict]:
        """Means (resample, layer), or (resample, layer, pair) and the labels of the pairs.

        Level after level, weighted at the levels in `weights` (given for each cell).
        """
        left = {n: c for n, c in self.cells.items() if n not in {f"{a}_x" for a in self.across}}
        values, alive = self.errors[None], np.ones((1, len(self.triples)))
        levels = [*self.by, self.across] if self.across else list(self.by)
        weights = dict(weights)
        for number, names in enumerate(levels):
            left = {name: column for name, column in left.items() if name not in names}
            weight = alive * weights.pop(number, 1.0)
            values, alive, first = _means(values, weight, left)
            left = {name: column[first] for name, column in left.items()}
            weights = {k: w[:, first] for k, w in weights.items()}
        if pairs:
            return values, left
        with np.errstate(invalid="ignore"):  # a draw that leaves nothing is NaN
            return (values * alive[:, None]).sum(-1) / alive.sum(-1)[:, None], left


def _means(values: ndarray, weight: ndarray, left: dict[str, ndarray]):
    """Weighted means over cells whose remaining labels are equal; what has no weight is out."""
    single = np.stack([group_codes(column) for column in left.values()])
    _, first, code = np.unique(single, axis=1, return_index=True, return_inverse=True)
    code = code.ravel()
    order = np.argsort(code, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(code[order]) > 0])
    total = np.add.reduceat(weight[:, order], starts, axis=-1)
    sums = np.add.reduceat((values * weight[:, None])[..., order], starts, axis=-1)
    return sums / np.maximum(total, 1e-300)[:, None], (total > 0).astype(float), first
