"""Moments: sums over shards from which every linear method follows, exact and mergeable.

Means, covariances, ridge regression, principal components, class means (`statistics.linear`),
linear CKA (`methods.cka.cka_of_moments`) and CCA read from one collection. So the states of a long
corpus need not be stored: add one utterance at a time, merge the collections of many machines.
"""

import copy

import numpy as np
from jaxtyping import Float

from speech_interp.statistics.spaces import Spaces, check_same_items, to_arrays

SUMS = ("unit_sum", "norm_sum", "units_units", "norms_units", "norms_norms")


class Moments:
    """Number, sums and products of the units of several spaces, collected shard by shard.

    Spaces go by their place in a shard. Exact whatever the shards, and two collections can be
    merged. Memory: 8 bytes times the square of the number of units in all spaces together, three
    times at the peak. Layout: `units` of all spaces side by side. The sums of products with the
    square norms of items are what debiased CKA needs besides.
    """

    origin: Float[np.ndarray, " unit"]  # there from the first shard on; sums are about it
    unit_sum: Float[np.ndarray, " unit"]
    norm_sum: Float[np.ndarray, " space"]
    units_units: Float[np.ndarray, "unit unit"]
    norms_units: Float[np.ndarray, "space unit"]
    norms_norms: Float[np.ndarray, "space space"]

    def __init__(self) -> None:
        self.item_count = 0
        self.widths: tuple[int, ...] = ()

    def add(self, shard: Spaces) -> None:
        """Add the items of one shard: for each space one array `(item, unit)`."""
        spaces = to_arrays(shard, "shard")
        check_same_items(spaces, at_least=1)
        new = Moments()
        new.widths, new.item_count = tuple(x.shape[1] for x in spaces), len(spaces[0])
        if self.item_count:
            self._check_widths(new)
        # Sums about a point near the data lose no digits, even where one unit has a huge mean.
        units = np.concatenate(spaces, axis=1, dtype=np.float64)
        new.origin = self.origin if self.item_count else units.mean(0)
        units -= new.origin
        norms = np.add.reduceat(units**2, new._starts(), axis=1)
        new.unit_sum, new.norm_sum = units.sum(0), norms.sum(0)
        new.units_units, new.norms_units, new.norms_norms = (
            units.T @ units,
            norms.T @ units,
            norms.T @ norms,
        )
        if self.item_count:
            self._add_sums(new, new._about(self.origin))
        else:
            self.__dict__.update(new.__dict__)

    def merge(self, other: "Moments") -> None:
        """Add the items of another collection over the same spaces."""
        if not self.item_count:
            self.__dict__.update(copy.deepcopy(other.__dict__))
        elif other.item_count:
            self._check_widths(other)
            self._add_sums(other, other._about(self.origin))

    def mean(self, space: int) -> Float[np.ndarray, " unit"]:
        """Return the mean of every unit of a space."""
        self._check_items(1)
        return (self.origin + self.unit_sum / self.item_count)[self._span(space)]

    def scatter(self, x: int, y: int | None = None) -> Float[np.ndarray, "x_unit y_unit"]:
        """Return the sum over items of (x - its mean)^T (y - its mean); of x with x by default."""
        self._check_items(1)
        rows, columns = self._span(x), self._span(x if y is None else y)
        products = self.units_units[rows, columns]
        return products - np.outer(self.unit_sum[rows], self.unit_sum[columns]) / self.item_count

    def covariance(self, x: int, y: int | None = None) -> Float[np.ndarray, "x_unit y_unit"]:
        """Return the unbiased covariance (divided by n - 1) of the units of x with those of y."""
        self._check_items(2)
        return self.scatter(x, y) / (self.item_count - 1)

    def norm_products(
        self,
    ) -> tuple[Float[np.ndarray, "space space"], Float[np.ndarray, " space"]]:
        """Return the sums over items of ||x||^2 ||y||^2 and of ||x||^2, in centred spaces."""
        self._check_items(1)
        sums = self._about(self.origin + self.unit_sum / self.item_count)
        return sums["norms_norms"], sums["norm_sum"]

    def _check_widths(self, other: "Moments") -> None:
        if self.widths != other.widths:
            raise ValueError(f"spaces have {other.widths} units, expected {self.widths}")

    def _check_items(self, at_least: int) -> None:
        if self.item_count < at_least:
            raise ValueError(f"got {self.item_count} items so far, expected at least {at_least}")

    def _add_sums(self, other: "Moments", moved: dict[str, np.ndarray]) -> None:
        self.item_count += other.item_count
        for name, value in moved.items():
            total = getattr(self, name)
            total += value

    def _starts(self) -> list[int]:
        return [sum(self.widths[:k]) for k in range(len(self.widths))]

    def _span(self, space: int) -> slice:
        if not -len(self.widths) <= space < len(self.widths):
            raise ValueError(f"space is {space}, expected one of the {len(self.widths)} added")
        start = self._starts()[space]
        return slice(start, start + self.widths[space])

    def _about(self, origin: np.ndarray) -> dict[str, np.ndarray]:
        """Return the sums about another origin: each is a polynomial in the step."""
        step, n, s = origin - self.origin, self.item_count, self.unit_sum
        if not step.any():
            return {name: getattr(self, name) for name in SUMS}
        of_space = np.repeat(np.eye(len(self.widths)), self.widths, axis=0)
        along = step[:, None] * of_space  # (unit, space): units @ along = step . x in each space
        length = step**2 @ of_space
        norm_sum = self.norm_sum - 2 * s @ along + n * length
        crossed = self.norms_units @ along
        norms_norms = (
            self.norms_norms - 2 * (crossed + crossed.T) + 4 * along.T @ self.units_units @ along
        )
        with_length = np.outer(self.norm_sum - 2 * s @ along, length)
        units_units = self.units_units.copy()
        units_units -= np.outer(s, step)
        units_units -= np.outer(step, s - n * step)
        return {
            "unit_sum": s - n * step,
            "norm_sum": norm_sum,
            "units_units": units_units,
            "norms_units": self.norms_units
            - 2 * along.T @ self.units_units
            + np.outer(length, s)
            - np.outer(norm_sum, step),
            "norms_norms": norms_norms + with_length + with_length.T + n * np.outer(length, length),
        }
