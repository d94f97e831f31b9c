"""Each thing that stands for no label, in each thing that labels come in."""

import numpy as np
import pandas as pd
import pytest

from speech_interp.statistics.missing import check_labels, folds_without, missing_labels

NAN = float("nan")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["a", NAN, "nan", None, pd.NA], [0, 1, 0, 1, 1]),
        (("a", ""), [0, 0]),
        ([1, 0, 2.5, NAN], [0, 0, 0, 1]),
        (np.array([1.0, NAN, np.inf]), [0, 1, 0]),
        (np.array([1, 2]), [0, 0]),
        (np.array(["nan", "a"]), [0, 0]),
        (np.array(["a", np.nan, None], dtype=object), [0, 1, 1]),
        (pd.Series(["a", None, "b"]).to_numpy(), [0, 1, 0]),
        (pd.Series([1, None, 2], dtype="Int64").to_numpy(dtype=object), [0, 1, 0]),
        ([], []),
    ],
)
def test_what_stands_for_nothing(labels, expected):
    assert missing_labels(labels).tolist() == [bool(k) for k in expected]


def test_the_error_counts_and_places():
    check_labels(["a", "b"], "labels")
    message = (
        r"groups has no value \(NaN or None\) for 2 of 5 items, the first is item 1; take only"
    )
    with pytest.raises(ValueError, match=message):
        check_labels(["a", None, "b", NAN, "a"], "groups")


def test_folds_without_what_is_missing():
    missing = np.array([False, True, False, True])
    folds = [(np.array([0, 1]), np.array([2, 3])), (np.array([2, 0]), np.array([1, 3]))]
    (fold,) = folds_without(missing, folds, "labels", True)  # the second would test nothing
    assert [part.tolist() for part in fold] == [[0], [2]]
    with pytest.raises(ValueError, match=r"targets has no value .* for 2 of 4 items, .* leave_out"):
        folds_without(missing, folds, "targets", False)
    assert folds_without(np.zeros(4, bool), folds, "labels", False) is folds
