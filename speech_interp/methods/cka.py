"""Centred kernel alignment (CKA): how alike are two spaces that describe the same items?

A space is an array ``(item, unit)``; row ``i`` of every space describes the same item ``i``.
Linear CKA is computed from the products ``||X^T Y||^2``, over units or over items, whichever is
cheaper. Every function takes the *debiased* estimate unless told otherwise. Where all spaces come
in float32, as models give them, `cka_matrix` multiplies units in float32 and sums in float64.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from speech_interp.statistics.moments import Moments
from speech_interp.statistics.spaces import Space, Spaces, check_same_items, to_arrays

Grams = Sequence[Float[np.ndarray, "_item _item"]] | Float[np.ndarray, "_space _item _item"]

GRAM_BLOCK_BYTES = 2**27  # a block of all Gram matrices is kept below this size
SINGLE_BLOCK = 1024  # items that are summed in float32 before float64 takes over


def linear_cka(x: Space, y: Space, *, debiased: bool = True) -> float:
    """Return linear CKA of two spaces [pmlr-v97-kornblith19a]; debiased after [song2012feature]."""
    return float(cka_matrix([x], [y], debiased=debiased)[0, 0])


def cka_matrix(
    xs: Spaces, ys: Spaces | None = None, *, debiased: bool = True, form: str | None = None
) -> Float[np.ndarray, "x y"]:
    """Return linear CKA of every space in `xs` with every space in `ys` (or in `xs`).

    `form` is "feature" (products of units), "gram" (products of items) or None: the cheaper one.
    Raises ValueError for unequal numbers of items, fewer than 4 items, or a constant space.
    """
    rows = centred(xs, "xs")
    columns = rows if ys is None else centred(ys, "ys")
    spaces = rows if ys is None else rows + columns
    check_same_items(spaces)
    single = all(_is_single(z) for z in (*xs, *(() if ys is None else ys)))
    first_column = 0 if ys is None else len(rows)
    wanted = {(i, i) for i in range(len(spaces))}
    wanted |= {(i, j) for i in range(len(rows)) for j in range(first_column, len(spaces)) if i < j}
    inner = _inner_products(spaces, sorted(wanted), form, single)
    square_norms = np.stack([np.einsum("iu,iu->i", x, x) for x in spaces], axis=1)
    cka = align(inner, square_norms.T @ square_norms, square_norms.sum(0), len(spaces[0]), debiased)
    return cka[: len(rows), first_column:]


def cka_of_moments(moments: Moments, *, debiased: bool = True) -> Float[np.ndarray, "space space"]:
    """Return linear CKA of every pair of spaces whose sums were collected, shard by shard.

    The numbers of `cka_matrix` over all items at once. Raises ValueError for fewer than 4 items.
    """
    check_count(moments.item_count)
    count = len(moments.widths)
    pairs = [[moments.scatter(i, j) for j in range(count)] for i in range(count)]
    inner = np.array([[np.linalg.norm(block) ** 2 for block in row] for row in pairs])
    quartic, totals = moments.norm_products()
    return align(inner, quartic, totals, moments.item_count, debiased)


def gram_cka(
    ks: Grams, ms: Grams | None = None, *, debiased: bool = True
) -> Float[np.ndarray, "k m"]:
    """Return CKA of every Gram matrix in `ks` with every one in `ms` (or in `ks`): any kernel.

    A Gram matrix `(item, item)` says how alike two items are in one space. Raises ValueError for
    unequal numbers of items, fewer than 4 items, or items that are all equally alike.
    """
    check_same_items([*ks, *(ms if ms is not None else [])])
    rows = _unit_grams(ks, debiased)
    columns = rows if ms is None else _unit_grams(ms, debiased)
    return rows @ columns.T


def rbf_cka(x: Space, y: Space, *, bandwidth: float = 1.0, debiased: bool = True) -> float:
    """Return CKA with Gaussian kernels: `gram_cka` of `rbf_gram`."""
    grams = [[rbf_gram(z, bandwidth=bandwidth)] for z in (x, y)]
    return float(gram_cka(*grams, debiased=debiased)[0, 0])


def rbf_gram(x: Space, *, bandwidth: float = 1.0) -> Float[np.ndarray, "item item"]:
    """Return exp(-distance^2 / 2 s^2) of all pairs; s is `bandwidth` x the median distance."""
    (x,) = centred([x], "x")
    products = x @ x.T
    norms = np.diag(products)
    square_distances = np.maximum(norms[:, None] + norms[None, :] - 2 * products, 0)
    median = np.median(square_distances)
    if median == 0:
        raise ValueError("half of the items of x coincide: there is no median distance")
    return np.exp(-square_distances / (2 * bandwidth**2 * median))


def centre_gram(
    gram: Float[np.ndarray, "item item"], *, debiased: bool = True
) -> Float[np.ndarray, "item item"]:
    """Return the Gram matrix whose row and column means are zero; debiased: without its diagonal.

    The sum of products of two such matrices is, up to a factor, HSIC_0 or HSIC_1.
    """
    n = len(gram)
    gram = gram.copy()
    if debiased:
        np.fill_diagonal(gram, 0)
    means = gram.sum(0) / (n - 2 if debiased else n)
    means -= means.sum() / (2 * (n - 1 if debiased else n))
    gram -= means[:, None] + means[None, :]
    if debiased:
        np.fill_diagonal(gram, 0)
    return gram


def _inner_products(
    spaces: list[np.ndarray], pairs: list[tuple[int, int]], form: str | None, single: bool
) -> np.ndarray:
    """Return ||X^T Y||^2 of the pairs asked for (others may be NaN); it equals <X X^T, Y Y^T>."""
    n, widths = len(spaces[0]), [x.shape[1] for x in spaces]
    feature_cost = sum(n * widths[i] * widths[j] / (2 if i == j else 1) for i, j in pairs)
    feature_cost /= 2 if single else 1  # float32 runs at twice the speed
    gram_cost = n**2 * (sum(widths) + len(spaces) ** 2) / 2
    if form not in (None, "feature", "gram"):
        raise ValueError(f"form is {form!r}, expected 'feature', 'gram' or None")
    if form == "gram" or (form is None and gram_cost < feature_cost):
        return _inner_products_over_items(spaces)
    scales = np.ones(len(spaces))
    if single:  # at a scale where float32 neither overflows nor loses small numbers
        scales = np.array([np.abs(x).max() for x in spaces])
        spaces = [(x / scale).astype(np.float32) for x, scale in zip(spaces, scales, strict=True)]
    inner = np.full((len(spaces), len(spaces)), np.nan)
    for i, j in pairs:
        inner[i, j] = inner[j, i] = np.linalg.norm(_unit_products(spaces[i], spaces[j])) ** 2
    return inner * np.outer(scales, scales) ** 2


def _unit_products(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return X^T Y in float64; of float32 spaces the products of a block of items in float32."""
    if x.dtype == np.float64:
        return x.T @ y
    total = np.zeros((x.shape[1], y.shape[1]))
    for start in range(0, len(x), SINGLE_BLOCK):
        total += x[start : start + SINGLE_BLOCK].T @ y[start : start + SINGLE_BLOCK]
    return total


def _is_single(space: Space) -> bool:
    return space.dtype in (np.float32, torch.float32)


def _inner_products_over_items(spaces: list[np.ndarray]) -> np.ndarray:
    n = len(spaces[0])
    step = max(1, GRAM_BLOCK_BYTES // (8 * n * len(spaces)))
    inner = np.zeros((len(spaces), len(spaces)))
    for start in range(0, n, step):
        # Rows `start:stop` of every Gram matrix, from the diagonal on: what lies to the right of
        # the square on the diagonal stands for its mirror image too.
        grams = np.stack([x[start : start + step] @ x[start:].T for x in spaces])
        grams[:, :, step:] *= np.sqrt(2)
        flat = grams.reshape(len(spaces), -1)
        inner += flat @ flat.T
    return inner


def align(
    inner: np.ndarray, quartic: np.ndarray, totals: np.ndarray, n: int, debiased: bool
) -> np.ndarray:
    """Return h_ij / sqrt(h_ii h_jj), from the sums that `hsic` takes, over all pairs of spaces."""
    h = hsic(inner, quartic, np.outer(totals, totals), n) if debiased else inner
    scale = np.diag(h)
    check_spread(scale, np.diag(inner))
    return h / np.sqrt(np.outer(scale, scale))


def hsic(inner: np.ndarray, quartic: np.ndarray, totals: np.ndarray, n: int) -> np.ndarray:
    """Return n (n - 3) times the debiased HSIC of centred spaces [song2012feature].

    `inner` ||X^T Y||^2, `quartic` sum over items of ||x||^2 ||y||^2, `totals` ||X||^2 ||Y||^2.
    """
    return inner - n / (n - 2) * quartic + totals / ((n - 1) * (n - 2))


def _unit_grams(grams: Grams, debiased: bool) -> Float[np.ndarray, "space item_item"]:
    """Return centred Gram matrices, one a row, each of length 1."""
    flat = np.stack([centre_gram(gram, debiased=debiased).ravel() for gram in grams])
    lengths = np.linalg.norm(flat, axis=1)
    for k, gram in enumerate(grams):
        if lengths[k] <= 1e-12 * np.linalg.norm(gram):
            raise ValueError(f"space {k} has zero variance: all its items are equally far apart")
    return flat / lengths[:, None]


def centred(spaces: Spaces, name: str) -> list[np.ndarray]:
    """Return the spaces in float64, the mean of every unit taken off."""
    arrays = to_arrays(spaces, name)
    for k, array in enumerate(arrays):
        check_count(len(array))
        if np.all(array == array[0]):
            raise ValueError(f"{name}[{k}] has zero variance: all its items are the same")
    return [array - array.mean(0, dtype=np.float64) for array in arrays]


def check_count(n: int) -> None:
    """Raise ValueError for fewer than 4 items, where debiased CKA is not defined."""
    if n < 4:
        raise ValueError(f"CKA needs at least 4 items, got {n}")


def check_spread(scales: Float[np.ndarray, " space"], inner: Float[np.ndarray, " space"]) -> None:
    """Raise ValueError where a space has no HSIC with itself, beside ||X^T X||^2 `inner`."""
    left = scales / inner
    if not (left > 1e-12).all():
        empty = int(np.argmin(left))
        raise ValueError(f"space {empty} has zero variance: all its items are equally far apart")
