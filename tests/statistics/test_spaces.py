"""States of any precision come in, and lose no more than that precision lost."""

import numpy as np
import pytest
import torch

from speech_interp.statistics.spaces import as_numpy, is_one_space, to_arrays

VALUES = [[1.0, -2.5, 0.15625], [3.0, 1e-3, 7.0]]  # the first row is exact in all of them


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.bfloat16, np.float32), (torch.float16, np.float32), (torch.float32, np.float32),
        (torch.float64, np.float64), (np.float16, np.float32), (np.float64, np.float64),
    ],
)  # fmt: skip
def test_every_precision(dtype, expected):
    make = torch.tensor if isinstance(dtype, torch.dtype) else np.array
    values = make(VALUES, dtype=dtype)
    for found in (as_numpy(values), to_arrays([values], "xs")[0]):
        assert found.dtype == expected
        np.testing.assert_array_equal(found[0], VALUES[0])
        np.testing.assert_allclose(found[1], VALUES[1], rtol=2**-8)


def test_gradients_are_left_behind():
    assert as_numpy(torch.ones(2, requires_grad=True)).tolist() == [1, 1]


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match=r"xs\[0\] holds values that are not finite"):
        to_arrays([torch.tensor([[1.0, float("nan")]], dtype=torch.bfloat16)], "xs")


def test_one_space_is_told_from_several():
    for one in (np.zeros((3, 2)), torch.zeros(3, 2)):
        assert is_one_space(one)
    for several in ([np.zeros((3, 2))], np.zeros((1, 3, 2)), torch.zeros(1, 3, 2), []):
        assert not is_one_space(several)
