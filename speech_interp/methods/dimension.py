"""Intrinsic dimension: in how many directions one can walk from an item without leaving the cloud.

A sheet of paper stays two-dimensional however it is rolled up in the room. Counting principal
components does not see that; distances to the nearest items do. Near an item, with items spread
evenly in d dimensions, the number of them within a distance r grows as r^d: both estimators read d
from that, one from two neighbours, the other from many.
"""

import numpy as np
from jaxtyping import Float

from speech_interp.methods.neighbourhoods import nearest
from speech_interp.statistics.layer_scores import LayerScores
from speech_interp.statistics.resampling import Names, draw_halves, draw_weights, paired_by
from speech_interp.statistics.spaces import Space, Spaces, to_arrays

TRIMMED = 0.1  # the largest ratios of two distances: outliers bend the line most
MANY = 20  # neighbours of the second estimator


def two_neighbour_dimension(states: Space) -> float:
    """Return the dimension at the smallest scale, from the two nearest neighbours of each item.

    With m the ratio of the distances to the second and the first, the share of items above m is
    m^-d: a line through the origin is fitted to -log(share) over log(m), without the largest tenth
    of the ratios. Raises ValueError for two items in the same place.
    """
    logs = _log_ratios(states, 2)[:, 0]
    return float(_line(logs, np.ones((1, len(logs))))[0])


def neighbourhood_dimension(states: Space, *, count: int = MANY) -> float:
    """Return the likeliest dimension at the scale of the `count` nearest neighbours of each item.

    One over the mean, over items and neighbours j, of the log of the distance to the last neighbour
    over that to neighbour j. Too low where items are few and the dimension is high: most of them
    then lie near the edge of the cloud.
    """
    return float(1 / _log_ratios(states, count).mean())


def dimension_by_layer(
    layers: Spaces,
    *groupings: Names,
    count: int = MANY,
    resamples: int = 200,
    seed: int = 0,
) -> LayerScores:
    """Return the dimension of each layer: of two neighbours where `count` is 2, else of `count`.

    Draws: whose neighbourhoods are counted (speakers, sentences, ...); the neighbours themselves
    stay those among all items, since with fewer items they would lie further away.
    """
    logs = [_log_ratios(x, count).mean(1) for x in to_arrays(layers, "layers")]
    weights = draw_weights(*groupings, resamples=resamples, seed=seed)
    weights = np.concatenate([np.ones((1, len(logs[0]))), weights[weights.sum(1) > 0]])
    estimate = _line if count == 2 else _likeliest
    values = np.stack([estimate(x, weights) for x in logs], axis=1)
    return LayerScores(values[0], values[1:], paired_by(*groupings))


def participation_by_layer(
    layers: Spaces, *groupings: Names, resamples: int = 50, seed: int = 0
) -> LayerScores:
    """Return the participation ratio of each layer: over how many directions its variance spreads.

    That of `principal_components`, without the components. Draws: halves of the groups, moved so
    that their mean is the score, because fewer items always fill fewer directions.
    """
    halves = draw_halves(*groupings, resamples=resamples, seed=seed) > 0
    halves = halves[halves.sum(1) > 2]  # two small groupings can miss each other
    spaces = to_arrays(layers, "layers")
    values = np.array([_participation(x) for x in spaces])
    draws = np.array([[_participation(x[half]) for x in spaces] for half in halves])
    return LayerScores(values, draws - draws.mean(0) + values, f"halves of {paired_by(*groupings)}")


def _participation(x: np.ndarray) -> float:
    x = x - x.mean(0)
    products = x @ x.T if len(x) < x.shape[1] else x.T @ x
    return float(np.trace(products) ** 2 / np.square(products).sum())


def _line(logs: np.ndarray, weights: np.ndarray) -> Float[np.ndarray, " draw"]:
    """The slope of the line through the origin for each row of `weights` (draw, item)."""
    order = np.argsort(logs, kind="stable")
    x, w = logs[order], weights[:, order] / weights.sum(1)[:, None]
    above = 1 - np.cumsum(w, axis=1)
    kept = w * (above >= TRIMMED)
    y = -np.log(np.maximum(above, TRIMMED))
    return (kept * x * y).sum(1) / (kept * x**2).sum(1)


def _likeliest(logs: np.ndarray, weights: np.ndarray) -> Float[np.ndarray, " draw"]:
    return weights.sum(1) / (weights @ logs)


def _log_ratios(states: Space, count: int) -> Float[np.ndarray, "item less_one"]:
    """The log of the distance to the last of `count` neighbours over that to each other one."""
    if count < 2:
        raise ValueError(f"count is {count}, expected at least 2 neighbours")
    x = to_arrays([states], "states")[0].astype(np.float64)
    near = nearest(x, count=count)
    distances = np.stack([np.linalg.norm(x[near[:, k]] - x, axis=1) for k in range(count)], axis=1)
    if not distances.all():
        twice = np.flatnonzero(distances[:, 0] == 0)[:3].tolist()
        raise ValueError(f"items {twice} and others lie in the same place: leave copies out")
    distances.sort(axis=1)
    return np.log(distances[:, -1:] / distances[:, :-1])
