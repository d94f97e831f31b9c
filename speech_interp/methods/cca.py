"""Canonical correlations (CCA): which directions do two spaces share, whatever their variances?

A pair of directions, one in each space, gives every item two numbers (its variates); the first
pair correlates most, the next most of what is uncorrelated with the first, and so on. In closed
form: whiten both spaces, then take the singular values of what covaries. Correlations of the very
items that were fitted are too good (`null_mean_square`); fit on some items, correlate on others.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import linalg

from speech_interp.statistics.linear import LinearMap
from speech_interp.statistics.moments import Moments
from speech_interp.statistics.spaces import Space

NO_VARIANCE = 1e-12  # a direction with this share of the largest variance is rounding noise


@dataclass(frozen=True, eq=False)
class Whitened:
    """A space turned to its principal directions, each scaled to variance 1 (less with ridge)."""

    mean: Float[np.ndarray, " unit"]
    directions: Float[np.ndarray, "unit direction"]
    loadings: Float[np.ndarray, "unit direction"]  # covariance of units with whitened directions
    variances: Float[np.ndarray, " direction"]  # after scaling: 1 without ridge
    item_count: int
    regularised: bool


@dataclass(frozen=True, eq=False)
class CanonicalPairs:
    """Pairs of directions, the closest first, and how much of each space a pair stands for."""

    x: LinearMap  # (item, x_unit) to variates (item, pair)
    y: LinearMap
    correlations: Float[np.ndarray, " pair"]  # of the items that were fitted: too good
    x_shares: Float[np.ndarray, " pair"]  # weights of PWCCA, sum 1
    y_shares: Float[np.ndarray, " pair"]

    def __len__(self) -> int:
        return len(self.correlations)


Weighing = Callable[[CanonicalPairs], Float[np.ndarray, " pair"]]


def evenly(pairs: CanonicalPairs) -> Float[np.ndarray, " pair"]:
    """Return equal weights: mean CCA, and SVCCA where directions were left out [raghu2017svcca]."""
    return np.full(len(pairs), 1 / len(pairs))


def by_x(pairs: CanonicalPairs) -> Float[np.ndarray, " pair"]:
    """Return weights by what each variate accounts for of the units of x: PWCCA [morcos2018pwcca].

    Proportional to the sum over units of |<variate of length 1, centred unit>|.
    """
    return pairs.x_shares


def by_y(pairs: CanonicalPairs) -> Float[np.ndarray, " pair"]:
    """Return the weights of PWCCA in the other direction: by the units of y."""
    return pairs.y_shares


def by_both(pairs: CanonicalPairs) -> Float[np.ndarray, " pair"]:
    """Return weights that give the mean of PWCCA in both directions."""
    return (pairs.x_shares + pairs.y_shares) / 2


def canonical_correlations(
    x: Space,
    y: Space,
    *,
    test: tuple[Space, Space] | None = None,
    ridge: float = 0.0,
    variance: float = 1.0,
) -> Float[np.ndarray, " pair"]:
    """Return the canonical correlations of two spaces; with `test`, on items of test alone.

    `ridge` and `variance`: see `whiten`. Without `test` they are too good: `null_mean_square`.
    Raises ValueError as `fit_cca` does.
    """
    moments = _moments(x, y)
    pairs = fit_cca(moments, ridge=ridge, variance=variance)
    if test is None:
        return pairs.correlations
    return correlations_on(_moments(*test), pairs)


def fit_cca(
    moments: Moments, x: int = 0, y: int = 1, *, ridge: float = 0.0, variance: float = 1.0
) -> CanonicalPairs:
    """Return the canonical pairs of two spaces whose sums were collected, shard by shard.

    As many pairs as the space with fewer directions has. `ridge` and `variance`: see `whiten`.
    Raises ValueError for constant units and where items are too few for the directions kept.
    """
    first, second = (whiten(moments, space, ridge=ridge, variance=variance) for space in (x, y))
    return pair_up(first, second, moments.scatter(x, y) / moments.item_count)


def whiten(
    moments: Moments,
    space: int,
    *,
    ridge: float = 0.0,
    variance: float = 1.0,
    allow_constant: bool = False,
) -> Whitened:
    """Return the directions of a space that CCA works with, in float64.

    `ridge` is added to the variance of every direction, in mean variances of a unit (0.01: one
    hundredth of it), so it means the same in loud and quiet spaces. `variance` keeps the first
    principal directions that hold this share of it (SVCCA: .99). Directions without variance, as
    one of a one-hot space, are left out. Raises ValueError for a constant unit.
    """
    if ridge < 0:
        raise ValueError(f"ridge is {ridge}, expected 0 or more")
    if not 0 < variance <= 1:
        raise ValueError(f"variance is {variance}, expected a share above 0, at most 1")
    covariance, mean = moments.scatter(space) / moments.item_count, moments.mean(space)
    constant = np.sqrt(np.maximum(np.diag(covariance), 0)) <= 1e-9 * np.abs(mean)
    if constant.all() or (constant.any() and not allow_constant):
        raise ValueError(
            f"space {space}: {constant.sum()} of {len(mean)} units are the same for all "
            f"{moments.item_count} items (units {np.flatnonzero(constant)[:5].tolist()}); "
            "leave them out, or see that every class occurs among the items that are fitted"
        )
    variances, axes = np.linalg.eigh(covariance)
    variances, axes = variances[::-1], axes[:, ::-1]
    held = np.cumsum(variances) / variances.sum()
    # The first direction that reaches the share is kept too; `held` may end a hair below 1.
    kept = variances > NO_VARIANCE * variances[0]
    kept &= np.r_[0, held[:-1]] < (variance if variance < 1 else np.inf)
    variances, axes = variances[kept], axes[:, kept]
    scaled = variances + ridge * np.trace(covariance) / len(mean)
    return Whitened(
        mean,
        axes / np.sqrt(scaled),
        axes * (variances / np.sqrt(scaled)),
        variances / scaled,
        moments.item_count,
        ridge > 0,
    )


def pair_up(
    x: Whitened, y: Whitened, covariance: Float[np.ndarray, "x_unit y_unit"]
) -> CanonicalPairs:
    """Return the canonical pairs of two whitened spaces, from the covariance of their units.

    Covariances are divided by n here. Raises ValueError where, without ridge, items are so few
    that some correlations are 1 whatever the data.
    """
    p, q, n = x.directions.shape[1], y.directions.shape[1], x.item_count
    if n - 1 < p + q and not (x.regularised and y.regularised):
        raise ValueError(
            f"{n} items are too few for {p} + {q} directions: below {p + q + 1} items some "
            "correlations are 1 whatever the data; pass ridge, a smaller variance, or more items"
        )
    left, sizes, right = _svd(x.directions.T @ covariance @ y.directions)
    sides = []
    for space, turned in ((x, left), (y, right.T)):
        lengths = np.sqrt(space.variances @ turned**2)  # 1 without ridge
        weights = space.directions @ turned / lengths
        shares = np.abs(space.loadings @ turned / lengths).sum(0)
        sides.append((LinearMap(weights, -space.mean @ weights), shares / shares.sum(), lengths))
    (x_map, x_shares, x_lengths), (y_map, y_shares, y_lengths) = sides
    correlations = np.minimum(sizes / (x_lengths * y_lengths), 1)
    return CanonicalPairs(x_map, y_map, correlations, x_shares, y_shares)


def _svd(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Divide and conquer is fast, and now and then does not end on a matrix such as that of a space
    with itself, whose singular values are all 1 but for rounding; the older algorithm does."""
    try:
        return np.linalg.svd(matrix, full_matrices=False)
    except np.linalg.LinAlgError:
        return linalg.svd(matrix, full_matrices=False, lapack_driver="gesvd")


def correlations_on(
    moments: Moments, pairs: CanonicalPairs, x: int = 0, y: int = 1
) -> Float[np.ndarray, " pair"]:
    """Return the correlation of each pair over the items of `moments`: those of a test, say.

    NaN for a pair whose variates are constant there.
    """
    a, b = pairs.x.weights, pairs.y.weights
    shared = np.einsum("up,up->p", a, moments.scatter(x, y) @ b)
    lengths = [
        np.einsum("up,up->p", w, moments.scatter(space) @ w) for space, w in ((x, a), (y, b))
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        return shared / np.sqrt(lengths[0] * lengths[1])


def null_mean_square(items: int, x_units: int, y_units: int) -> float:
    """Return the expected mean squared canonical correlation of two independent Gaussian spaces.

    Over the items that were fitted, without ridge: max(p, q) / (n - 1), and 1 where a space has
    as many directions as n - 1.
    """
    return min(max(x_units, y_units) / (items - 1), 1.0)


def _moments(x: Space, y: Space) -> Moments:
    moments = Moments()
    moments.add([x, y])
    return moments
