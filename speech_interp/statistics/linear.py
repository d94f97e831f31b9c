"""Linear methods that read from `Moments`: principal components, ridge regression, class means."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from speech_interp.statistics.moments import Moments


@dataclass(frozen=True)
class PrincipalComponents:
    """Directions of a space, most variance first."""

    mean: Float[np.ndarray, " unit"]
    variances: Float[np.ndarray, " component"]  # unbiased
    directions: Float[np.ndarray, "component unit"]  # of length one, orthogonal

    @property
    def explained(self) -> Float[np.ndarray, " component"]:
        """The share of the variance on each component."""
        return self.variances / self.variances.sum()

    @property
    def participation_ratio(self) -> float:
        """(sum of variances)^2 / sum of squared variances: how many directions are in use."""
        return float(self.variances.sum() ** 2 / (self.variances**2).sum())


def principal_components(moments: Moments, space: int = 0) -> PrincipalComponents:
    """Return all principal components of a space; signs make the largest entry positive."""
    return components_of_covariance(moments.mean(space), moments.covariance(space))


def components_of_covariance(
    mean: Float[np.ndarray, " unit"], covariance: Float[np.ndarray, "unit unit"]
) -> PrincipalComponents:
    """Return all principal components of a space with this mean and unbiased covariance."""
    variances, directions = np.linalg.eigh(covariance)
    variances, directions = np.maximum(variances[::-1], 0), directions[:, ::-1].T
    sign = np.where(directions.max(1) < -directions.min(1), -1.0, 1.0)
    return PrincipalComponents(mean, variances, sign[:, None] * directions)


@dataclass(frozen=True)
class LinearMap:
    """x -> x @ weights + constant."""

    weights: Float[np.ndarray, "x_unit y_unit"]
    constant: Float[np.ndarray, " y_unit"]

    def __call__(self, x: Float[np.ndarray, "item x_unit"]) -> Float[np.ndarray, "item y_unit"]:
        return x @ self.weights + self.constant


def ridge(moments: Moments, x: int, y: int, *, penalty: float) -> LinearMap:
    """Return the linear map from space x to space y of least squared error plus a penalty.

    `penalty` weighs the squared coefficients beside the mean squared error, so it means the same
    for any number of items. Units are not scaled.
    """
    if penalty < 0:
        raise ValueError(f"penalty is {penalty}, expected 0 or more")
    inputs = moments.scatter(x)
    inputs[np.diag_indices_from(inputs)] += penalty * moments.item_count
    weights = np.linalg.solve(inputs, moments.scatter(x, y))
    return LinearMap(weights, moments.mean(y) - moments.mean(x) @ weights)


def ridge_correlation(moments: Moments, fitted: LinearMap, x: int, y: int) -> np.ndarray:
    """Return Pearson's r of each unit of y with its prediction, over the items of `moments`.

    Fit on the moments of training items, score on those of test items.
    """
    predicted = fitted.weights.T @ moments.scatter(x) @ fitted.weights
    shared = np.einsum("xy,xy->y", moments.scatter(x, y), fitted.weights)
    spread = np.sqrt(np.diag(predicted) * np.diag(moments.scatter(y)))
    return shared / np.maximum(spread, 1e-300)


def class_means(moments: Moments, space: int, labels: int) -> Float[np.ndarray, "label unit"]:
    """Return the mean of `space` in each class; `labels` is a one-hot space (item, label).

    Raises ValueError for a class without items.
    """
    shares = moments.mean(labels)
    if (shares <= 0).any():
        raise ValueError(f"classes {np.flatnonzero(shares <= 0).tolist()} have no items")
    apart = moments.scatter(labels, space) / (moments.item_count * shares[:, None])
    return moments.mean(space) + apart
