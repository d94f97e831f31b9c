"""What the first principal components of a layer tell of a measure, such as a formant.

Components are themselves fitted to items, and so are the means of kinds that are taken off: here
all of it is learnt from the training items of a fold, and tried on the others.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from speech_interp.methods.probing import Fold, regress
from speech_interp.methods.projections import components_by_layer, coordinates
from speech_interp.statistics.predictions import ProbeResult
from speech_interp.statistics.resampling import Names, group_codes
from speech_interp.statistics.spaces import Spaces, to_arrays


def regress_on_components(
    layers: Spaces,
    targets: Float[np.ndarray, "item target"],
    folds: Sequence[Fold],
    *,
    clusters: tuple[Names, ...],
    count: int = 2,
    kinds: Names | None = None,
) -> ProbeResult:
    """Return what ridge regression on the first `count` components of each layer predicts.

    Components and regression come from the training items of each fold. With `kinds` (a label for
    each item, such as the vowel) so do the means of the kinds, which are taken off coordinates and
    targets: what is left to predict are differences within a kind, and a kind that a fold does not
    train on is not tested there. Each fold sees all items in its own coordinates, so predictions
    and truth hold the items once a fold, tested in one of them.

    Raises ValueError for targets or groupings of another number of items, and as
    `components_by_layer`, `coordinates` and `regress` do.
    """
    spaces = to_arrays(layers, "layers")
    n = len(spaces[0])
    if len(targets) != n:
        raise ValueError(f"targets have {len(targets)} items, layers {n}")
    codes = None if kinds is None else group_codes(kinds, n)
    planes, wanted, moved = [], [], []
    for number, (train, test) in enumerate(folds):
        found = components_by_layer([x[train] for x in spaces])
        plane = [coordinates(c, x, count=count) for c, x in zip(found, spaces, strict=True)]
        if codes is not None:
            plane = [np.nan_to_num(_without_means(own, codes, train)) for own in plane]
        planes.append(np.stack(plane))
        wanted.append(targets if codes is None else _without_means(targets, codes, train))
        moved.append((train + number * n, test + number * n))
    return regress(
        np.concatenate(planes, axis=1),
        np.concatenate(wanted),
        moved,
        clusters=tuple(np.tile(np.asarray(names), len(folds)) for names in clusters),
        leave_out_missing=kinds is not None,
    )


def _without_means(x: np.ndarray, codes: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Items less the mean of their kind among `train`; NaN for a kind without training items."""
    is_kind = (codes[train, None] == np.arange(codes.max() + 1)).astype(float)  # (item, kind)
    counts = is_kind.sum(0)
    means = np.full((len(counts), x.shape[1]), np.nan)
    np.divide(is_kind.T @ x[train], counts[:, None], out=means, where=counts[:, None] > 0)
    return x - means[codes]
