"""Spaces: arrays (item, unit) that describe the same items, checked once for all statistics."""

from collections.abc import Iterable, Sequence
from typing import TypeGuard

import numpy as np
import torch
from jaxtyping import Float

Space = Float[np.ndarray, "_item _unit"] | Float[torch.Tensor, "_item _unit"]
Spaces = (
    Sequence[Space]
    | Float[np.ndarray, "_space _item _unit"]
    | Float[torch.Tensor, "space item unit"]
)


def is_one_space(spaces: Space | Spaces) -> TypeGuard[Space]:
    """Return whether it is one space (item, unit), not several."""
    return getattr(spaces, "ndim", None) == 2


def as_numpy(values: np.ndarray | torch.Tensor) -> np.ndarray:
    """Return an array from any device, with gradients or not; half precision becomes float32.

    NumPy knows no bfloat16, and sums of float16 lose digits.
    """
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    array = np.asarray(values)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def to_arrays(spaces: Spaces, name: str) -> list[np.ndarray]:
    """Return the spaces in float32, where they come in it or less, or float64; raise if wrong."""
    arrays = []
    for k, space in enumerate(spaces):
        array = as_numpy(space)
        if array.dtype != np.float32:
            array = array.astype(np.float64, copy=False)
        if array.ndim != 2:
            raise ValueError(f"{name}[{k}] has shape {array.shape}, expected (item, unit)")
        if not np.isfinite(array).all():
            raise ValueError(f"{name}[{k}] holds values that are not finite")
        arrays.append(array)
    return arrays


def check_same_items(spaces: Iterable[np.ndarray], at_least: int = 4) -> None:
    """Raise ValueError for spaces of unequal numbers of items, or of too few."""
    counts = [len(space) for space in spaces]
    if len(set(counts)) > 1:
        raise ValueError(f"spaces have unequal numbers of items: {counts}")
    if counts[0] < at_least:
        raise ValueError(f"spaces have {counts[0]} items, expected at least {at_least}")
