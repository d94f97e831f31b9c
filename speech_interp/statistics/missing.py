"""Items without a label: found whatever stands for nothing in the reader's table."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int, Shaped
from numpy import ndarray

Labels = Sequence | Shaped[ndarray, " _item"]
Fold = tuple[Int[ndarray, " _train"], Int[ndarray, " _test"]]


def missing_labels(labels: Labels) -> Bool[ndarray, " item"]:
    """Return which labels are None, NaN or pandas' NA. The text "nan" is a label: words are so.

    An array of text has lost what it was made from: pass the list or the column itself.
    """
    if not isinstance(labels, ndarray):
        labels = np.fromiter(labels, dtype=object)  # as they are: np.array(["a", nan]) is text
    if labels.dtype.kind == "f":
        return np.isnan(labels)
    if labels.dtype.kind != "O":
        return np.zeros(len(labels), dtype=bool)
    return np.array([_is_missing(label) for label in labels], dtype=bool)


def _is_missing(label: object) -> bool:
    try:
        return label is None or bool(label != label)
    except TypeError:  # pandas' NA is neither equal nor unequal to itself
        return True


def check_labels(labels: Labels, name: str) -> None:
    """Raise ValueError, with the name of the argument, where labels are missing."""
    _check(missing_labels(labels), name, "take only the items that have one")


def folds_without(
    missing: Bool[ndarray, " item"], folds: Sequence[Fold], name: str, leave_out: bool
) -> Sequence[Fold]:
    """Return (train, test) items without those that are missing, and no fold without a test.

    Unless they are to be left out, raises ValueError with their number.
    """
    if not leave_out:
        _check(missing, name, "leave_out_missing=True leaves them out")
        return folds
    kept = [(train[~missing[train]], test[~missing[test]]) for train, test in folds]
    return [(train, test) for train, test in kept if len(test)]


def _check(missing: Bool[ndarray, " item"], name: str, way_out: str) -> None:
    if missing.any():
        raise ValueError(
            f"{name} has no value (NaN or None) for {missing.sum()} of {len(missing)} items, the "
            f"first is item {missing.argmax()}; {way_out}"
        )
