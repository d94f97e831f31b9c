"""Projections: what a space looks like from its widest, its most telling and its nearest sides.

Principal components and linear discriminants are linear and read from `Moments`, so no state has
to be stored. A t-SNE map is drawn from the states themselves; `methods.neighbourhoods` says how far
it can be trusted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from jaxtyping import Float
from scipy.linalg import eigh

from speech_interp.statistics.layer_scores import LayerScores
from speech_interp.statistics.linear import (
    PrincipalComponents,
    class_means,
    components_of_covariance,
    principal_components,
)
from speech_interp.statistics.moments import Moments
from speech_interp.statistics.resampling import Names, draw_halves, group_codes, paired_by
from speech_interp.statistics.spaces import Space, Spaces, check_same_items, to_arrays

BLOCK = 2**12  # items whose products are summed in the precision they come in


def components_by_layer(layers: Spaces | Sequence[Moments]) -> list[PrincipalComponents]:
    """Return all principal components of every layer.

    `layers`: states (layer, item, unit), or for each layer the `Moments` of its one space, to
    which the items of a long corpus were added shard by shard: the same result, to 1e-6 of the
    largest variance for states in float32. Raises ValueError for fewer than 2 items.
    """
    collected = [layer for layer in layers if isinstance(layer, Moments)]
    if collected and len(collected) == len(layers):
        return [principal_components(layer) for layer in collected]
    return [_components(states) for states in to_arrays(cast("Spaces", layers), "layers")]


def _components(states: np.ndarray) -> PrincipalComponents:
    """Products of float32 in blocks, summed in float64: half the time, and no digit lost to sums.

    About a point near the data, since differences of near numbers lose nothing.
    """
    check_same_items([states], at_least=2)
    origin = states[:BLOCK].mean(0)
    sums = np.zeros(states.shape[1])
    products = np.zeros((states.shape[1], states.shape[1]))
    for start in range(0, len(states), BLOCK):
        x = states[start : start + BLOCK] - origin
        sums += x.sum(0, dtype=np.float64)
        products += x.T @ x
    mean = sums / len(states)
    products -= np.outer(sums, mean)
    return components_of_covariance(origin + mean, products / (len(states) - 1))


def coordinates(
    components: PrincipalComponents, states: Space, *, count: int = 2
) -> Float[np.ndarray, "item component"]:
    """Return where items lie along the first `count` components, in the units of the states."""
    if not 1 <= count <= len(components.directions):
        raise ValueError(f"count is {count}, expected 1 to {len(components.directions)}")
    x = to_arrays([states], "states")[0]
    return (x - components.mean) @ components.directions[:count].T


def without_labels(
    states: Space, targets: Float[np.ndarray, "item target"]
) -> Float[np.ndarray, "item unit"]:
    """Return what is left of the states after their linear fit on `targets` (a clock, a voice).

    The fit is that of these very items, so each unit is uncorrelated with each target here.
    """
    x, y = to_arrays([states, targets], "states, targets")
    check_same_items([x, y], at_least=y.shape[1] + 2)
    y = np.c_[np.ones(len(y)), y - y.mean(0)]
    fitted = y @ np.linalg.lstsq(y, x, rcond=None)[0]
    return x - fitted + x.mean(0)


@dataclass(frozen=True)
class Discriminants:
    """Directions along which classes lie far apart, measured in their own spread, best first."""

    mean: Float[np.ndarray, " unit"]
    ratios: Float[np.ndarray, " direction"]  # variance between classes over variance within
    directions: Float[np.ndarray, "direction unit"]  # along each, classes have a variance of 1

    def __call__(self, states: Space) -> Float[np.ndarray, "item direction"]:
        return (to_arrays([states], "states")[0] - self.mean) @ self.directions.T


def linear_discriminants(
    moments: Moments, *, states: int = 0, labels: int = 1, shrinkage: float = 0.0
) -> Discriminants:
    """Return the linear discriminants of a space for a one-hot space (item, label).

    `shrinkage`, 0 to 1, moves the covariance within classes towards a ball of the same total
    variance: needed where there are more units than items. At most one direction less than classes.
    Fit on some speakers, look at others: in many units any labels can be told apart.
    """
    if not 0 <= shrinkage <= 1:
        raise ValueError(f"shrinkage is {shrinkage}, expected 0 to 1")
    shares = moments.mean(labels)
    apart = class_means(moments, states, labels) - moments.mean(states)
    between = (shares[:, None] * apart).T @ apart
    within = moments.scatter(states) / moments.item_count - between
    ball = np.trace(within) / len(within)
    within = (1 - shrinkage) * within + shrinkage * ball * np.eye(len(within))
    try:
        ratios, directions = eigh(between, within)
    except np.linalg.LinAlgError as error:
        raise ValueError(
            f"the covariance within classes ({moments.item_count} items, {len(within)} units) has "
            "no inverse: more items or shrinkage above 0 are needed"
        ) from error
    count = min(len(shares) - 1, len(within))
    best = slice(-1, -count - 1, -1)
    return Discriminants(moments.mean(states), ratios[best], directions.T[best])


def tsne(
    states: Space,
    *,
    perplexity: float = 30.0,
    seed: int = 0,
    start: str = "pca",
    metric: str = "euclidean",
    count: int = 50,
) -> Float[np.ndarray, "item 2"]:
    """Return a t-SNE map of the items [vandermaaten2008tsne], by scikit-learn.

    The states are first reduced to `count` principal components. `start`: "pca", so that the large
    picture of the map begins as that of the components, or "random".
    """
    from sklearn.manifold import TSNE

    x = to_arrays([states], "states")[0]
    if not 1 <= perplexity < len(x):
        raise ValueError(f"perplexity is {perplexity}, expected 1 up to the {len(x)} items")
    if metric == "cosine":  # of the states as they are: components would move the origin
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    found = components_by_layer([x])[0]
    x = coordinates(found, x, count=min(count, len(found.directions)))
    return TSNE(perplexity=perplexity, random_state=seed, init=start, n_jobs=1).fit_transform(x)


Factors = Mapping[str, Sequence | np.ndarray]  # names (a label each) or numbers (a measure each)


def component_shares(
    scores: Float[np.ndarray, "item component"], factors: Factors
) -> dict[str, Float[np.ndarray, " component"]]:
    """Return for each factor the share of the variance of each component that it explains alone.

    Numbers (duration, loudness) explain linearly; anything else names classes. Corrected for the
    number of classes, so that labels that have nothing to do with a component explain 0 on average.
    """
    every = np.ones((1, len(scores)))
    return {
        name: _shares(scores, factor, every, name)[0] for name, factor in _checked(scores, factors)
    }


def unique_shares(
    scores: Float[np.ndarray, "item component"], factors: Factors
) -> dict[str, Float[np.ndarray, " component"]]:
    """Return for each factor what it adds to all others: what no other factor could stand for.

    Linear, without interactions; corrected for the number of classes as `component_shares`.
    """
    columns = {name: _columns(factor, name) for name, factor in _checked(scores, factors)}
    everything = _fitted_share(scores, list(columns.values()))
    return {
        name: everything - _fitted_share(scores, [c for n, c in columns.items() if n != name])
        for name in columns
    }


def shares_by_layer(
    components: Sequence[PrincipalComponents],
    layers: Spaces,
    factor: Sequence | np.ndarray,
    *,
    groups: tuple[Names, ...],
    count: int = 1,
    resamples: int = 200,
    seed: int = 0,
) -> LayerScores:
    """Return the share of each of the first `count` components that a factor explains, by layer.

    Scores have shape (layer, component), or (layer,) where `count` is 1. Draws: half of the groups
    of each grouping without replacement, since a speaker that is drawn twice would look like two
    who agree. Components stay those of all items.
    """
    halves = draw_halves(*groups, resamples=resamples, seed=seed)
    weights = np.concatenate([np.ones((1, len(factor))), halves[halves.sum(1) > 2]])
    shares = []
    for found, states in zip(components, to_arrays(layers, "layers"), strict=True):
        scores = coordinates(found, states, count=count)
        shares.append(_shares(scores, np.asarray(factor), weights, "factor"))
    values = np.stack(shares, axis=1)  # (half, layer, component)
    values = values[..., 0] if count == 1 else values
    return LayerScores(values[0], values[1:], f"halves of {paired_by(*groups)}")


def _checked(scores: np.ndarray, factors: Factors) -> list[tuple[str, np.ndarray]]:
    for name, factor in factors.items():
        if len(factor) != len(scores):
            raise ValueError(f"factor {name!r} has {len(factor)} items, scores have {len(scores)}")
    return [(name, np.asarray(factor)) for name, factor in factors.items()]


def _columns(factor: np.ndarray, name: str) -> np.ndarray:
    """Centred columns (item, column): one for numbers, one less than classes for names."""
    if np.issubdtype(factor.dtype, np.floating):
        columns = factor[:, None].astype(float)
    else:
        kinds, codes = np.unique(factor, return_inverse=True)
        columns = (codes[:, None] == np.arange(1, len(kinds))).astype(float)
    if columns.shape[1] == 0 or not columns.std(0).all():
        raise ValueError(f"factor {name!r} is the same for all items: it explains nothing")
    return columns - columns.mean(0)


def _fitted_share(scores: np.ndarray, columns: list[np.ndarray]) -> np.ndarray:
    """The adjusted share of variance that columns explain together; 0 for no columns."""
    if not columns:
        return np.zeros(scores.shape[1])
    x, y = np.concatenate(columns, axis=1), scores - scores.mean(0)
    weights, _, rank, _ = np.linalg.lstsq(x, y, rcond=None)
    left = np.square(y - x @ weights).sum(0) / np.square(y).sum(0)
    return 1 - left * (len(y) - 1) / (len(y) - 1 - rank)


def _shares(scores: np.ndarray, factor: np.ndarray, weights: np.ndarray, name: str) -> np.ndarray:
    """The adjusted share (draw, component) of variance; `weights` (draw, item) say who counts."""
    total = weights.sum(1)[:, None]
    mean = weights @ scores / total
    spread = weights @ scores**2 / total - mean**2
    if np.issubdtype(factor.dtype, np.floating):
        own = weights @ factor / total[:, 0]
        variance = weights @ factor**2 / total[:, 0] - own**2
        if not (variance > 0).all():
            raise ValueError(f"factor {name!r} is the same for all items: it explains nothing")
        shared = weights @ (scores * factor[:, None]) / total - mean * own[:, None]
        explained, used = shared**2 / variance[:, None], 1.0
    else:
        codes = group_codes(factor, len(scores))
        is_class = (codes[:, None] == np.arange(codes.max() + 1)).astype(float)  # (item, class)
        counts = weights @ is_class
        used = ((counts > 0).sum(1) - 1.0)[:, None]
        if (used < 1).any():
            raise ValueError(f"factor {name!r} is the same for all items: it explains nothing")
        explained = -(mean**2) * np.ones_like(spread)
        for number in range(scores.shape[1]):
            sums = weights @ (is_class * scores[:, number, None])
            squares = np.divide(sums**2, counts, out=np.zeros_like(sums), where=counts > 0)
            explained[:, number] += squares.sum(1) / total[:, 0]
    left = 1 - explained / np.maximum(spread, 1e-300)
    return 1 - left * (total - 1) / (total - 1 - used)
