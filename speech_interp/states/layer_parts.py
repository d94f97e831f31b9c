"""Where each attention sits in its layer, and how the layer goes on from it, by kind of layer.

A kind is a row of `PARTS`; `models.families` says which kind a family has, if any. Layers in half
precision go on in float32, as copies made when first asked for: what Value Zeroing compares is
smaller than what half precision rounds away.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from speech_interp.models.families import FAMILIES, family_of

Rest = Callable[[Tensor], Tensor]  # (..., unit) -> (..., unit)
Layer = Any  # a layer or a stack of transformers, which declares no types for its parts


@runtime_checkable
class Attention(Protocol):
    """What the attentions of all kinds of layers in transformers have in common."""

    num_heads: int
    scaling: float
    q_proj: nn.Linear
    k_proj: nn.Linear
    v_proj: nn.Linear
    out_proj: nn.Linear
    forward: Callable[..., tuple]


@dataclass(frozen=True)
class Part:
    """Where an attention sits in its layer."""

    stack: str
    layer: int
    attention: Attention
    residual_from: nn.Module  # the module whose input is the residual stream
    norm_of_sum: nn.LayerNorm | None
    rest_of: Callable[[dict], Rest]  # from what was kept of the pass
    in_one_piece: bool = False  # its projections are never called: WavLM's


def parts_of(module: Layer) -> list[Part]:
    """Return the parts of the encoder, then of the decoder, of a module of transformers.

    Raises ValueError for a family whose layers are of no kind in `PARTS`.
    """
    kind = family_of(module.config.model_type).layer_kind
    if kind is None:
        known = ", ".join(name for name, family in FAMILIES.items() if family.layer_kind)
        raise ValueError(
            f"module is of the family {module.config.model_type!r}, whose layers are no plain "
            f"Transformer layers; expected one of {known}"
        )
    return PARTS[kind](module)


def widened(values: Tensor) -> Tensor:
    """Return half precision as float32, anything else as it is."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _wide(module: Layer) -> Callable[[], Layer]:
    """Return what gives the module, or a copy in float32 of one in half precision."""
    if next(module.parameters()).dtype not in (torch.float16, torch.bfloat16):
        return lambda: module
    return cache(lambda: copy.deepcopy(module).float())


def _wav2vec2_parts(module: Layer, *, in_one_piece: bool = False) -> list[Part]:
    base: Layer = getattr(module, module.base_model_prefix, module)
    encoder = base.encoder
    pre_norm = getattr(module.config, "do_stable_layer_norm", False)
    rest_of_layer = _rest_of_stable_layer if pre_norm else _rest_of_post_norm_layer
    return [
        Part(
            "encoder",
            number,
            layer.attention,
            layer,
            None if pre_norm else layer.layer_norm,
            _constant(
                _with_final_norm(
                    rest_of_layer(layer), encoder.layer_norm if pre_norm and last else None
                )
            ),
            in_one_piece,
        )
        for number, layer, last in _numbered(encoder.layers)
    ]


def _wavlm_parts(module: Layer) -> list[Part]:
    return _wav2vec2_parts(module, in_one_piece=True)


def _whisper_parts(module: Layer) -> list[Part]:
    base: Layer = getattr(module, "model", module)
    encoder: Layer = getattr(base, "encoder", base)
    decoder = getattr(base, "decoder", None)
    encoding = [
        Part(
            "encoder",
            number,
            layer.self_attn,
            layer,
            None,
            _constant(
                _with_final_norm(_whisper_feed_forward(layer), encoder.layer_norm if last else None)
            ),
        )
        for number, layer, last in _numbered(encoder.layers)
    ]
    return encoding if decoder is None else encoding + _decoder_parts(decoder)


def _decoder_parts(decoder: Layer) -> list[Part]:
    parts = []
    for number, layer, last in _numbered(decoder.layers):
        feed_forward = _with_final_norm(
            _whisper_feed_forward(layer), decoder.layer_norm if last else None
        )
        after_self = _rest_of_decoder_self_attention(layer, feed_forward)
        norm = layer.encoder_attn_layer_norm
        parts += [
            Part("decoder", number, layer.self_attn, layer, None, after_self),
            Part("cross", number, layer.encoder_attn, norm, None, _constant(feed_forward)),
        ]
    return parts


PARTS: dict[str, Callable[[Layer], list[Part]]] = {
    "wav2vec2": _wav2vec2_parts,
    "wavlm": _wavlm_parts,
    "whisper": _whisper_parts,
}


def _numbered(layers: nn.ModuleList) -> list[tuple[int, Layer, bool]]:
    return [(k, layer, k == len(layers)) for k, layer in enumerate(layers, start=1)]


def _constant(rest: Rest) -> Callable[[dict], Rest]:
    return lambda kept: rest


def _with_final_norm(rest: Rest, norm: nn.LayerNorm | None) -> Rest:
    """Return `rest`, then the norm that a pre-LN stack applies after its last layer."""
    if norm is None:
        return rest
    wide = _wide(norm)
    return lambda x: wide()(rest(x))


def _rest_of_post_norm_layer(layer: Layer) -> Rest:
    wide = _wide(layer)

    def rest(x: Tensor) -> Tensor:
        layer = wide()
        x = layer.layer_norm(x)
        return layer.final_layer_norm(x + layer.feed_forward(x))

    return rest


def _rest_of_stable_layer(layer: Layer) -> Rest:
    wide = _wide(layer)

    def rest(x: Tensor) -> Tensor:
        layer = wide()
        x = x + layer.feed_forward(layer.final_layer_norm(x))
        adapter = getattr(layer, "adapter_layer", None)
        return x if adapter is None else x + adapter(x)

    return rest


def _whisper_feed_forward(layer: Layer) -> Rest:
    wide = _wide(layer)

    def rest(x: Tensor) -> Tensor:
        layer = wide()
        return x + layer.fc2(layer.activation_fn(layer.fc1(layer.final_layer_norm(x))))

    return rest


def _rest_of_decoder_self_attention(layer: Layer, feed_forward: Rest) -> Callable[[dict], Rest]:
    """Return how the layer goes on from its self-attention: through its cross-attention."""
    wide = _wide(layer)

    def rest_of(kept: dict) -> Rest:
        head_count = layer.encoder_attn.num_heads
        keys, values = (
            kept[projection].unflatten(-1, (head_count, -1)).transpose(0, 1)
            for projection in (layer.encoder_attn.k_proj, layer.encoder_attn.v_proj)
        )

        def rest(x: Tensor) -> Tensor:
            attention = wide().encoder_attn
            # Queries of a cross-attention do not see one another: any number of rows is one batch.
            queries = attention.q_proj(wide().encoder_attn_layer_norm(x.flatten(0, -2)))
            queries = queries.unflatten(-1, (head_count, -1)).transpose(0, 1)
            weights = (queries @ keys.transpose(1, 2) * attention.scaling).softmax(dim=-1)
            context = (weights @ values).transpose(0, 1).flatten(1)
            return feed_forward(x + attention.out_proj(context).view_as(x))

        return rest

    return rest_of
