"""CKA over data that come in shards: sums that can be collected anywhere and merged exactly."""

import copy
import itertools

import numpy as np
from jaxtyping import Float

from speech_interp.methods.cka import Spaces, align, check_count, check_same_items, to_arrays

SUMS = ("unit_sum", "norm_sum", "units_units", "norms_units", "norms_norms")


class CkaSums:
    """The sums from which linear CKA of all pairs of spaces follows, collected shard by shard.

    Exact whatever the shards, and two collections can be merged. Memory: 8 bytes times the square
    of the number of units in all spaces together, three times at the peak. Layout: `units` of all
    spaces side by side.
    """

    def __init__(self) -> None:
        self.item_count = 0
        self.widths: tuple[int, ...] = ()

    def add(self, shard: Spaces) -> None:
        """Add the items of one shard: for each space one array `(item, unit)`."""
        spaces = to_arrays(shard, "shard")
        check_same_items(spaces, at_least=1)
        new = CkaSums()
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

    def merge(self, other: "CkaSums") -> None:
        """Add the items of another collection over the same spaces."""
        if not self.item_count:
            self.__dict__.update(copy.deepcopy(other.__dict__))
        elif other.item_count:
            self._check_widths(other)
            self._add_sums(other, other._about(self.origin))

    def _check_widths(self, other: "CkaSums") -> None:
        if self.widths != other.widths:
            raise ValueError(f"spaces have {other.widths} units, expected {self.widths}")

    def _add_sums(self, other: "CkaSums", moved: dict[str, np.ndarray]) -> None:
        self.item_count += other.item_count
        for name, value in moved.items():
            total = getattr(self, name)
            total += value

    def cka(self, *, debiased: bool = True) -> Float[np.ndarray, "space space"]:
        """Return linear CKA of every pair of spaces over all items added so far."""
        check_count(self.item_count)
        centred = self._about(self.origin + self.unit_sum / self.item_count)
        edges = [*self._starts(), sum(self.widths)]
        spans = [slice(*pair) for pair in itertools.pairwise(edges)]
        products = centred["units_units"]
        inner = np.array([[np.linalg.norm(products[i, j]) ** 2 for j in spans] for i in spans])
        quartic, totals = centred["norms_norms"], centred["norm_sum"]
        return align(inner, quartic, totals, self.item_count, debiased)

    def _starts(self) -> list[int]:
        return [sum(self.widths[:k]) for k in range(len(self.widths))]

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
