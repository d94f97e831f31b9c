"""`LayerScores`: a score for each layer, with its interval, in one type for all methods."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from speech_interp.statistics.resampling import Names, draw_weights, limits, paired_by


@dataclass(frozen=True, eq=False)
class LayerScores:
    """A score for each layer and what it comes to when speakers, sentences or items are drawn anew.

    `draws` hold one set of scores a resample. Scores that name the same `paired_by` were resampled
    with the same draws, so their difference can be taken draw by draw: two scores with intervals
    that overlap may still differ for certain. Axes after the layer (targets, lags) are allowed.
    """

    values: Float[np.ndarray, "layer *rest"]
    draws: Float[np.ndarray, "resample *layer_rest"]
    paired_by: str = ""

    @classmethod
    def of_items(
        cls,
        values: Float[np.ndarray, "item layer"],
        *groupings: Names,
        resamples: int = 1000,
        seed: int = 0,
    ) -> "LayerScores":
        """Return the mean over items in each layer; the groups of all groupings are drawn anew."""
        values = np.asarray(values, dtype=float)
        weights = draw_weights(*groupings, resamples=resamples, seed=seed)
        weights = weights[weights.sum(1) > 0]  # two small groupings can miss each other
        draws = np.tensordot(weights, values, 1) / weights.sum(1).reshape(
            -1, *[1] * (values.ndim - 1)
        )
        return cls(values.mean(0), draws, paired_by(*groupings))

    def __post_init__(self) -> None:
        if self.draws.shape[1:] != self.values.shape:
            raise ValueError(
                f"draws have shape {self.draws.shape}, expected (resample, *{self.values.shape})"
            )

    def __len__(self) -> int:
        return len(self.values)

    def score(self) -> Float[np.ndarray, "layer *rest"]:
        """Return the score of each layer."""
        return self.values

    def interval(self, *, level: float = 0.95) -> Float[np.ndarray, "2 layer *rest"]:
        """Return the lower and upper limit of each layer's score."""
        return limits(self.draws, level)

    def error_bars(self, *, level: float = 0.95) -> Float[np.ndarray, "2 layer *rest"]:
        """Return the distances down and up from each score to its limits, for plots."""
        low, high = self.interval(level=level)
        return np.maximum(np.stack([self.values - low, high - self.values]), 0)

    def detectable(self, *, power: float = 0.8) -> Float[np.ndarray, "layer *rest"]:
        """Return the true difference from zero that such data would show, so often as `power`.

        Show: a 95 % interval on one side of zero. From the spread of the draws; with n times as
        many groups it is smaller by sqrt(n).
        """
        return (norm.ppf(0.975) + norm.ppf(power)) * self.draws.std(0)

    def minus(self, other: "LayerScores") -> "LayerScores":
        """Return the difference, with the interval of the difference: both draw the same groups.

        `other` may have a single layer (MFCC, a chance level), which is taken from every layer.
        Raises ValueError for scores that were not resampled together.
        """
        if self.paired_by != other.paired_by or len(self.draws) != len(other.draws):
            raise ValueError(
                f"scores resampled over {self.paired_by or 'nothing named'!r} "
                f"({len(self.draws)} draws) and over {other.paired_by or 'nothing named'!r} "
                f"({len(other.draws)} draws) cannot be paired"
            )
        return LayerScores(
            self.values - other.values, self.draws - other.draws, paired_by=self.paired_by
        )

    def scaled(self, factor: float, *, plus: float = 0.0) -> "LayerScores":
        """Return factor x score + plus: percent of a share, errors of a share that was right."""
        return LayerScores(
            factor * self.values + plus, factor * self.draws + plus, paired_by=self.paired_by
        )

    def at(self, layer: int) -> "LayerScores":
        """Return the scores of one layer alone, to be taken from those of every layer."""
        return LayerScores(
            self.values[layer][None], self.draws[:, layer][:, None], paired_by=self.paired_by
        )

    def best(self) -> int:
        """Return the layer of the highest score; looking for it makes that score too good."""
        return int(np.nanargmax(self.values))

    def verdict(
        self,
        layer: int,
        *,
        level: float = 0.95,
        zero: float = 0.0,
        words: tuple[str, str, str] = ("above", "not clearly different from", "below"),
    ) -> str:
        """Return the word that the interval allows: all above `zero`, on both sides, all below."""
        low, high = self.interval(level=level)[:, layer]
        return words[0] if low > zero else words[2] if high < zero else words[1]
