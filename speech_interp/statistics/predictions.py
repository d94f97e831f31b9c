"""Predictions beside the truth: counts are kept per cluster, so resampling costs nothing.

A measure takes sums over clusters and returns a score: `accuracy`, `macro_f1`, `matthews` of class
counts, `correlation`, `explained_variance` of moments. Intervals resample whole clusters:
speakers, or speakers and sentences at the same time.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int, Num
from numpy import ndarray

from speech_interp.statistics.layer_scores import LayerScores
from speech_interp.statistics.resampling import draw_weights, paired_by

Sums = Float[ndarray, "*rest sum"]
Measure = Callable[[ndarray], ndarray]


def accuracy(counts: Float[ndarray, "*layer label 3"]) -> Float[ndarray, "*layer"]:
    """Return the share of items that were predicted right."""
    return counts[..., 0].sum(-1) / counts[..., 1].sum(-1)


def macro_f1(counts: Float[ndarray, "*layer label 3"]) -> Float[ndarray, "*layer"]:
    """Return the mean over labels of 2 hits / (items + predictions): rare labels count alike."""
    hits, items, predictions = np.moveaxis(counts, -1, 0)
    present = items > 0
    f1 = 2 * hits / np.maximum(items + predictions, 1)
    return (f1 * present).sum(-1) / present.sum(-1)


def matthews(counts: Float[ndarray, "*layer label 3"]) -> Float[ndarray, "*layer"]:
    """Return Matthews' correlation of labels and predictions: 1 all right, 0 no better than blind.

    For two labels Pearson's r of two columns of 0 and 1; for more, its generalisation to tables. 0
    where all items or all predictions are of one label.
    """
    hits, items, predictions = np.moveaxis(counts, -1, 0)
    total = items.sum(-1)
    together = hits.sum(-1) * total - (items * predictions).sum(-1)
    spread = (total**2 - (items**2).sum(-1)) * (total**2 - (predictions**2).sum(-1))
    return together / np.sqrt(np.where(spread > 0, spread, np.inf))


def correlation(sums: Float[ndarray, "*rest 6"]) -> Float[ndarray, "*rest"]:
    """Return Pearson's r of predictions and targets."""
    n, t, p, tt, pp, tp = np.moveaxis(sums, -1, 0)
    spread = np.sqrt(np.maximum((n * tt - t**2) * (n * pp - p**2), 1e-30))
    return (n * tp - t * p) / spread


def mean_correlation(sums: Float[ndarray, "*rest target 6"]) -> Float[ndarray, "*rest"]:
    """Return Pearson's r of predictions and targets, the mean over targets."""
    return correlation(sums).mean(axis=-1)


def explained_variance(sums: Float[ndarray, "*rest 6"]) -> Float[ndarray, "*rest"]:
    """Return R2: 1 - squared error / squared deviation of the targets from their mean."""
    n, t, _, tt, pp, tp = np.moveaxis(sums, -1, 0)
    return 1 - (tt - 2 * tp + pp) / np.maximum(tt - t**2 / n, 1e-30)


@dataclass(frozen=True)
class ProbeResult:
    """What the probes of all layers predicted, and the sums that every score is made of."""

    sums: Float[ndarray, "cluster *rest"]  # rest: (layer, label, 3) or (layer, target, 6)
    predicted: Num[ndarray, "layer item *target"]  # -1 or NaN where no fold tests the item
    # The truth is -1, or not finite, for items without one: no fold tests them.
    truth: Num[ndarray, "item *target"]
    classes: ndarray = field(default_factory=lambda: np.array([]))  # names of the codes above
    groupings: tuple[ndarray, ...] = ()  # the groups of each cluster; none: clusters are groups

    def by_layer(self, measure: Measure = accuracy, *, resamples: int = 1000) -> LayerScores:
        """Return the score of each layer over all tested items; clusters are drawn anew.

        Results over the same clusters are paired: probes of two layers, models or tasks.
        """
        return LayerScores(
            measure(self.sums.sum(0)),
            measure(self._resampled(resamples)),
            paired_by=paired_by(*self.groupings) or f"{len(self.sums)} unnamed clusters",
        )

    def score(self, measure: Measure = accuracy) -> ndarray:
        """Return the score of each layer (and target), over all tested items."""
        return measure(self.sums.sum(0))

    def interval(
        self, measure: Measure = accuracy, *, level: float = 0.95, resamples: int = 1000
    ) -> Float[ndarray, "2 *rest"]:
        """Return the lower and upper limit of the score when clusters are drawn anew."""
        return self.by_layer(measure, resamples=resamples).interval(level=level)

    def error_bars(self, measure: Measure = accuracy) -> Float[ndarray, "2 *rest"]:
        """Return the distances down and up from the score to its 95 % interval, for plots."""
        return self.by_layer(measure).error_bars()

    def minus(self, other: "ProbeResult", measure: Measure = accuracy) -> LayerScores:
        """Return score minus score of `other`; both draw the same clusters.

        With `other` fitted on `control_labels` this is the selectivity [hewitt2019control].
        """
        return self.by_layer(measure).minus(other.by_layer(measure))

    def confusion(self, layer: int) -> Int[ndarray, "label label"]:
        """Return how often each label (row) was taken for each label (column)."""
        tested = self.predicted[layer] >= 0
        table = np.zeros((len(self.classes), len(self.classes)), dtype=int)
        np.add.at(table, (self.truth[tested], self.predicted[layer][tested]), 1)
        return table

    def _resampled(self, resamples: int) -> Float[ndarray, "resample *rest"]:
        groupings = self.groupings or (np.arange(len(self.sums)),)
        weights = draw_weights(*groupings, resamples=resamples)
        return (weights @ self.sums.reshape(len(self.sums), -1)).reshape(
            resamples, *self.sums.shape[1:]
        )


def class_counts(
    truth: Int[ndarray, " item"],
    predicted: Int[ndarray, "layer item"],
    cluster: Int[ndarray, " item"],
    class_count: int,
) -> Float[ndarray, "cluster layer label 3"]:
    """Return for each cluster, layer and label the numbers of hits, items and predictions."""
    counts = np.zeros((cluster.max() + 1, len(predicted), class_count, 3))
    for layer, guess in enumerate(predicted):
        tested = guess >= 0
        c, t, g = cluster[tested], truth[tested], guess[tested]
        np.add.at(counts, (c[t == g], layer, t[t == g], 0), 1)
        np.add.at(counts, (c, layer, t, 1), 1)
        np.add.at(counts, (c, layer, g, 2), 1)
    return counts


def moments(
    targets: Float[ndarray, "item target"],
    predicted: Float[ndarray, "layer item target"],
    cluster: Int[ndarray, " item"],
) -> Float[ndarray, "cluster layer target 6"]:
    """Return for each cluster, layer and target: n, sums of t, p, t^2, p^2 and t p."""
    tested = np.flatnonzero(np.isfinite(predicted).all((0, 2)))
    order = tested[np.argsort(cluster[tested], kind="stable")]
    kinds, starts = np.unique(cluster[order], return_index=True)
    centre = targets[tested].mean(0, dtype=np.float64)  # sums about the mean lose no digits
    sums = np.zeros((cluster.max() + 1, len(predicted), targets.shape[1], 6))
    t = targets[order] - centre
    for layer in range(len(predicted)):
        p = predicted[layer, order] - centre
        products = np.stack([np.ones_like(p), t, p, t * t, p * p, t * p], axis=-1)
        sums[kinds, layer] = np.add.reduceat(products, starts)
    return sums
