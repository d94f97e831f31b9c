"""Changes inside a running model: heads silenced, maps replaced, frames put out of order.

All are context managers that hook the unmodified module and leave it as it was.
"""

from collections.abc import Callable, Collection
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from speech_interp.states.attention import Attention, attention_modules
from speech_interp.states.hidden_states import encoder_of

Head = tuple[str, int, int]  # stack, layer (1 is the first), head (0 is the first)
Edit = Callable[[str, int, Float[Tensor, "head query key"]], Float[Tensor, "head query key"]]


def all_heads(module: nn.Module, stack: str = "encoder") -> list[Head]:
    """Return every head of a stack ("encoder", "decoder" or "cross"), layer by layer.

    Raises ValueError for a stack that the model does not have.
    """
    heads = [
        (name, layer, head)
        for (name, layer), attention in attention_modules(module).items()
        if name == stack
        for head in range(attention.num_heads)
    ]
    if not heads:
        there = sorted({name for name, _ in attention_modules(module)})
        raise ValueError(f"stack is {stack!r}, expected one of {there}")
    return heads


@contextmanager
def heads_ablated(
    module: nn.Module, heads: Collection[Head], *, by: str = "mean", count: int | None = None
):
    """Within, what these heads give to the output of their layer is replaced.

    By their mean over the positions of the pass ("mean"), which takes away what they tell about
    one position and keeps what they tell about all, or by nothing ("zero"). `count`: only in so
    many positions, and by their mean alone: the frames of the recording, without the padding.
    One utterance a pass; in generation token by token, "mean" works for the encoder alone.
    Raises ValueError for a head that the model does not have.
    """
    if by not in ("mean", "zero"):
        raise ValueError(f'by is {by!r}, expected "mean" or "zero"')
    modules = attention_modules(module)
    by_module: dict[tuple[str, int], list[int]] = {}
    for stack, layer, head in heads:
        if (stack, layer) not in modules or not 0 <= head < modules[stack, layer].num_heads:
            raise ValueError(f"no head {(stack, layer, head)}: see all_heads(module, stack)")
        by_module.setdefault((stack, layer), []).append(head)
    handles = []
    for place, numbers in by_module.items():
        attention = modules[place]
        hook = _replacing(numbers, attention.num_heads, by, count)
        handles.append(attention.out_proj.register_forward_pre_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _replacing(numbers: list[int], head_count: int, by: str, count: int | None) -> Callable:
    def replace(module: nn.Module, args: tuple) -> tuple:
        by_head = args[0].unflatten(-1, (head_count, -1)).clone()
        own = by_head[:, :count, numbers]  # (batch, position, head, unit)
        by_head[:, :count, numbers] = own.mean(1, keepdim=True) if by == "mean" else 0.0
        return (by_head.flatten(-2), *args[1:])

    return replace


@contextmanager
def attention_edited(module: nn.Module, edit: Edit, *, stack: str = "encoder"):
    """Within, every attention of a stack uses `edit(stack, layer, weights)` as its weights.

    The weights are computed as the model does, changed, and applied to the model's own values.
    One utterance a pass and no token-by-token generation of an edited decoder.
    """
    handles = []
    for (name, layer), attention in attention_modules(module).items():
        if name == stack:
            handles += _edit_one(attention, name, layer, edit)
    if not handles:
        raise ValueError(f"stack is {stack!r}, and this model has none")
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _edit_one(attention: Attention, stack: str, layer: int, edit: Edit) -> list:
    kept: dict[str, Tensor] = {}
    handles = []

    def keeper(name: str) -> Callable:
        def keep(module: nn.Module, args: tuple, output: Tensor) -> None:
            kept[name] = output[0].unflatten(-1, (attention.num_heads, -1)).transpose(0, 1)

        return keep

    def replace(module: nn.Module, args: tuple) -> tuple:
        scores = kept["q"] * attention.scaling @ kept["k"].transpose(1, 2)
        if stack == "decoder":
            future = torch.ones_like(scores[0], dtype=torch.bool).triu(1)
            scores = scores.masked_fill(future, -torch.inf)
        weights = edit(stack, layer, scores.softmax(-1))
        weights = weights.to(kept["v"])
        return ((weights @ kept["v"]).transpose(0, 1).flatten(1)[None], *args[1:])

    for name, projection in (
        ("q", attention.q_proj),
        ("k", attention.k_proj),
        ("v", attention.v_proj),
    ):
        handles.append(projection.register_forward_hook(keeper(name)))
    handles.append(attention.out_proj.register_forward_pre_hook(replace))
    return handles


@contextmanager
def attention_averaged(module: nn.Module):
    """Within, every attention of the encoder gives the mean of its values to each position.

    What `attention_edited` gives with even rows, but queries, keys and maps are never computed: the
    time that falls away is what maps cost. One utterance a pass.
    """
    changed = [m for (stack, _), m in attention_modules(module).items() if stack == "encoder"]

    def averaged(attention: Attention) -> Callable:
        def forward(hidden_states: Tensor, *args, **kwargs) -> tuple[Tensor, None]:
            mean = attention.v_proj(hidden_states).mean(1, keepdim=True)
            return attention.out_proj(mean).expand_as(hidden_states), None

        return forward

    for attention in changed:
        attention.forward = averaged(attention)
    try:
        yield
    finally:
        for attention in changed:
            del attention.forward


def windowed(frames: int) -> Edit:
    """Return the edit that lets a frame look at most `frames` frames away."""

    def edit(stack: str, layer: int, weights: Tensor) -> Tensor:
        queries, keys = (torch.arange(count, device=weights.device) for count in weights.shape[1:])
        return _renormalised(weights * ((queries[:, None] - keys).abs() <= frames))

    return edit


def only_keys(count: int) -> Edit:
    """Return the edit that hides all keys but the first `count`: Whisper without its padding."""

    def edit(stack: str, layer: int, weights: Tensor) -> Tensor:
        return _renormalised(
            weights * (torch.arange(weights.shape[2], device=weights.device) < count)
        )

    return edit


def reused(layers: Collection[int]) -> Edit:
    """Return the edit by which each of `layers` takes the maps of the layer below it."""
    kept: dict[int, Tensor] = {}

    def edit(stack: str, layer: int, weights: Tensor) -> Tensor:
        if layer in layers:
            if layer - 1 not in kept:
                raise ValueError(f"layer {layer} has no layer below it whose maps it could take")
            weights = kept[layer - 1]
        kept[layer] = weights
        return weights

    return edit


def _renormalised(weights: Tensor) -> Tensor:
    return weights / weights.sum(-1, keepdim=True).clamp_min(1e-12)


@contextmanager
def frames_in_order(model, order: Int[np.ndarray, " frame"]):
    """Within, the frames that enter the encoder's Transformer stand in another order.

    Before the model adds its positions, so content moves and positions stay. `model` is what
    `load_model` gives; `order` may be shorter than the frames: the rest (padding) keeps its place.
    Raises ValueError if `order` is not an order of its frames.
    """
    if sorted(order.tolist()) != list(range(len(order))):
        raise ValueError(f"order of {len(order)} frames is no permutation of 0 to {len(order) - 1}")
    encoder, places = encoder_of(model), torch.from_numpy(order)

    def moved(frames: Tensor, axis: int) -> Tensor:
        rest = torch.arange(len(places), frames.shape[axis])
        return frames.index_select(axis, torch.cat([places, rest]).to(frames.device))

    def move_channels(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
        return moved(output, 2)  # (batch, channel, frame)

    def move_frames(module: nn.Module, args: tuple, output):
        if isinstance(output, tuple):  # wav2vec2 also gives the features before its projection
            return (moved(output[0], 1), *output[1:])
        return moved(output, 1)

    if model.family == "whisper":
        handle = encoder.get_submodule("conv2").register_forward_hook(move_channels)
    elif hasattr(encoder, "feature_projection"):
        handle = encoder.get_submodule("feature_projection").register_forward_hook(move_frames)
    else:
        raise ValueError(
            f"family is {model.family!r}, whose frames are not known to be in one place"
        )
    try:
        yield
    finally:
        handle.remove()
