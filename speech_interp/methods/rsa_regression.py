"""RSA beyond other RDMs: partial similarity, and several models of one RDM side by side."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from speech_interp.methods.rsa import check_rdms, compare_rdms
from speech_interp.methods.rsa_distances import RDM, RDMs

ALIKE = 1e-8  # the share of one RDM that the others must leave unexplained


@dataclass(frozen=True, eq=False)
class RDMRegression:
    """How several model RDMs explain each RDM together."""

    weights: Float[np.ndarray, "rdm model"]  # all RDMs scaled to mean 0 and length 1
    explained: Float[np.ndarray, " rdm"]  # the share of variance over pairs, R^2
    unique: Float[np.ndarray, "rdm model"]  # what R^2 loses without this model


def partial_rsa(
    xs: RDMs | RDM, y: RDM, controls: RDMs | RDM, comparison: str = "spearman"
) -> Float[np.ndarray, " x"]:
    """Return the similarity of each of `xs` with `y` beyond what `controls` explain in both.

    The correlation of what a linear regression on the controls leaves of x with what it leaves of
    y, over pairs ("spearman": of ranks). Raises ValueError where nothing is left of either.
    """
    ys = np.vstack([check_rdms(y, "y"), check_rdms(controls, "controls")])
    return partial_similarity(compare_rdms(xs, ys, comparison), compare_rdms(ys, ys, comparison))


def partial_similarity(
    with_xs: Float[np.ndarray, "*many target"], among: Float[np.ndarray, "target target"]
) -> Float[np.ndarray, "*many"]:
    """Return partial similarities from plain ones.

    `with_xs`: of x with y (first) and with the controls (the others). `among`: of y and the
    controls with one another.
    """
    if len(among) == 1:
        return with_xs[..., 0]
    solved = np.linalg.pinv(among[1:, 1:], rcond=ALIKE, hermitian=True)
    by_controls = with_xs[..., 1:] @ solved  # weights of the controls in x
    shared = with_xs[..., 0] - by_controls @ among[1:, 0]
    left_x = 1 - (by_controls * with_xs[..., 1:]).sum(-1)
    left_y = 1 - among[0, 1:] @ solved @ among[1:, 0]
    for name, left in (("xs", left_x), ("y", left_y)):
        if np.min(left) < ALIKE:
            raise ValueError(f"{name}: the controls explain an RDM fully, nothing is left")
    return shared / np.sqrt(left_x * left_y)


def regress_rdms(xs: RDMs | RDM, models: RDMs, comparison: str = "spearman") -> RDMRegression:
    """Return how the model RDMs explain each of `xs` together, by least squares over pairs.

    "spearman" regresses ranks on ranks; "pearson" distances on distances. Raises ValueError where
    the other models explain a model fully: then its weight has no meaning.
    """
    models = check_rdms(models, "models")
    among = compare_rdms(models, models, comparison)
    own = _left_of_each(among)
    if own.min() < ALIKE:
        raise ValueError(f"models[{int(own.argmin())}] is explained fully by the other models")
    with_xs = compare_rdms(xs, models, comparison)
    weights = np.linalg.solve(among, with_xs.T).T
    # Without model k the others take over its part but for what they leave of it.
    return RDMRegression(weights, (weights * with_xs).sum(1), weights**2 * own)


def _left_of_each(among: Float[np.ndarray, "model model"]) -> Float[np.ndarray, " model"]:
    """Return the share of each model that the others do not explain."""
    result = np.ones(len(among))
    for k in range(len(among)):
        others = np.delete(np.arange(len(among)), k)
        if len(others):
            solved = np.linalg.pinv(among[np.ix_(others, others)], rcond=ALIKE, hermitian=True)
            result[k] -= among[k, others] @ solved @ among[others, k]
    return result
