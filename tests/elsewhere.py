"""A device for tests on any machine: its tensors hold values, and refuse to meet those of the CPU.

Within `elsewhere()` everything that is put on the device "meta" keeps its values, hidden behind a
tensor that says it lies on "meta". What a GPU refuses is refused: an operation on tensors of both
places, and numpy. What it allows is allowed: numbers without dimension, indices, copies between.
"""

import contextlib

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("meta")
aten = torch.ops.aten
COPIES = (aten.copy_.default, aten._to_copy.default)
INDEXED = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default)


class MixedDevicesError(RuntimeError):
    """One operation was given tensors of both places."""


class Elsewhere(torch.Tensor):
    """A tensor that says it lies on `DEVICE`; `held` has its values."""

    @staticmethod
    def __new__(cls, held):
        new = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(),
            dtype=held.dtype, device=DEVICE, requires_grad=False,
        )  # fmt: skip
        new.held = held
        return new

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        with _Device():
            return function(*args, **(kwargs or {}))


class _Device(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        tensors = [t for t in pytree.tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        assert all(isinstance(t, Elsewhere) or t.device.type == "cpu" for t in tensors), function
        away = [isinstance(t, Elsewhere) for t in tensors]
        to = kwargs.get("device")
        if any(away) and function not in COPIES:
            here = tensors[:1] if function in INDEXED else tensors
            mixed = [t for t in here if not isinstance(t, Elsewhere) and t.dim() > 0]
            if mixed:
                raise MixedDevicesError(f"{function} met a tensor of the CPU, {mixed[0].shape}")
        goes_away = any(away) if to is None else torch.device(to).type == DEVICE.type
        if to is not None:
            kwargs["device"] = torch.device("cpu")
        plain_args, plain = pytree.tree_map_only(Elsewhere, lambda t: t.held, (args, kwargs))
        result = function(*plain_args, **plain)
        in_place = function._schema.name.endswith("_") and not function._schema.name.endswith("__")
        if in_place and args and isinstance(args[0], torch.Tensor):
            return args[0]  # done in place, wherever that is
        if function is aten._to_copy.default and result is plain_args[0]:
            result = result.clone()
        if not goes_away:
            return result
        return pytree.tree_map_only(torch.Tensor, Elsewhere, result)


def _index(index, *, inside=False):
    if isinstance(index, tuple) and not inside:
        return tuple(_index(part, inside=True) for part in index)
    if isinstance(index, list | tuple):
        return torch.tensor(index, dtype=None if index else torch.long)
    return index


class _Literals(TorchFunctionMode):
    """From and to lists, which never come to a dispatch: both are allowed, as on a GPU."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            return function(*args, **kwargs | {"device": "cpu"}).to(kwargs["device"])
        if function is torch.Tensor.tolist and isinstance(args[0], Elsewhere):
            return args[0].held.tolist()
        if function in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):
            args = (args[0], _index(args[1]), *args[2:])
        return function(*args, **kwargs)


@contextlib.contextmanager
def elsewhere():
    with _Literals(), _Device():
        yield
