"""Records every attention of one forward pass, and knows how each family's layer goes on from it.

The models stay as transformers made them. Hooks keep what their projections returned; from queries,
keys and values the attention weights follow exactly, whatever attention kernel the model ran with.
"""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Layer = Any  # a layer or a stack of transformers, which declares no types for its parts


@dataclass(frozen=True)
class AttentionStep:
    """One attention of one layer, in one forward pass over one utterance.

    The layer goes on from its output `a` as `rest(residual + a)`, row by row. The tensors it holds
    are where the model is; what its methods return is on the CPU.
    """

    stack: str  # "encoder", "decoder" (self-attention) or "cross" (decoder to encoder)
    layer: int  # 1 is the first
    queries: Float[Tensor, "head query head_unit"]
    keys: Float[Tensor, "head key head_unit"]
    values: Float[Tensor, "head key value_unit"]
    causal: bool
    residual: Float[Tensor, "query unit"]
    output: Float[Tensor, "query unit"]  # what the attention module returned
    out_proj: nn.Linear
    norm_of_sum: nn.LayerNorm | None  # post-LN layers normalise the sum before they go on
    rest: Callable[[Tensor], Tensor]  # (..., unit) -> (..., unit)

    @property
    def key_count(self) -> int:
        """How many positions are attended to."""
        return self.keys.shape[1]

    @property
    def query_count(self) -> int:
        """How many positions attend."""
        return self.queries.shape[1]

    def weights(self, rows: Tensor | None = None) -> Float[Tensor, "head row key"]:
        """Return the attention weights of the queries `rows` (all by default); rows sum to one."""
        return weights_of(self, rows).cpu()

    def transformed_values(self) -> Float[Tensor, "head key unit"]:
        """Return f^h(x_j): what each value vector adds to the output if its weight is one."""
        return transformed_values_of(self).cpu()


@runtime_checkable
class Attention(Protocol):
    """What the attentions of wav2vec2, HuBERT and Whisper in transformers have in common."""

    num_heads: int
    scaling: float
    q_proj: nn.Linear
    k_proj: nn.Linear
    v_proj: nn.Linear
    out_proj: nn.Linear
    forward: Callable[..., tuple]


def weights_of(
    step: AttentionStep, rows: Int[Tensor, " row"] | None = None
) -> Float[Tensor, "head row key"]:
    """Return `step.weights(rows)` where the model is."""
    rows = torch.arange(step.query_count) if rows is None else rows
    rows = rows.to(step.queries.device)
    scores = step.queries[:, rows] @ step.keys.transpose(1, 2)
    if step.causal:
        future = torch.arange(step.key_count, device=rows.device) > rows[:, None]
        scores = scores.masked_fill(future, -torch.inf)
    return scores.softmax(dim=-1)


def transformed_values_of(step: AttentionStep) -> Float[Tensor, "head key unit"]:
    """Return `step.transformed_values()` where the model is."""
    head_unit = step.values.shape[2]
    per_head = step.out_proj.weight.split(head_unit, dim=1)  # one (unit, head_unit) a head
    return torch.stack([v @ w.T for v, w in zip(step.values, per_head, strict=True)])


@torch.no_grad()
def record_attention(module: nn.Module, **inputs: object) -> list[AttentionStep]:
    """Return every attention of `module(**inputs)`: the encoder's, the decoder's, the cross ones.

    `module` is a wav2vec2, HuBERT or Whisper model of transformers, with or without a head; a
    Whisper encoder alone gives its own steps. One utterance, all of it real, all positions at once.
    Raises ValueError for a mask that hides something, for keys of an earlier pass
    (`past_key_values`), for several utterances, and in train mode.
    """
    if module.training:
        raise ValueError("module is in train mode, which drops layers at random: call eval() first")
    for name, value in inputs.items():
        if "mask" in name and value is not None and not torch.as_tensor(value).bool().all():
            raise ValueError(f"{name} hides positions, expected one utterance, all of it real")
        if name == "past_key_values" and value is not None:
            raise ValueError(f"{name} holds an earlier pass, expected all positions in one pass")
    device = next(module.parameters()).device
    inputs = {n: v.to(device) if torch.is_tensor(v) else v for n, v in inputs.items()}
    parts = [*_encoder_parts(module), *_decoder_parts(module)]
    with _kept(parts) as kept:
        module(**inputs)
    return [part.step(kept) for part in parts if part.attention.q_proj in kept]


def attention_modules(module: nn.Module) -> dict[tuple[str, int], Attention]:
    """Return the attention modules of a model by stack and layer, in `record_attention`'s order."""
    parts = [*_encoder_parts(module), *_decoder_parts(module)]
    return {(part.stack, part.layer): part.attention for part in parts}


@dataclass(frozen=True)
class _Part:
    """Where an attention sits in its layer."""

    stack: str
    layer: int
    attention: Attention
    residual_from: nn.Module  # the module whose input is the residual stream
    norm_of_sum: nn.LayerNorm | None
    rest_of: Callable[[dict], Callable[[Tensor], Tensor]]

    def step(self, kept: dict) -> AttentionStep:
        attention = self.attention

        def by_head(projection: nn.Linear) -> Tensor:
            return kept[projection].unflatten(-1, (attention.num_heads, -1)).transpose(0, 1)

        return AttentionStep(
            stack=self.stack,
            layer=self.layer,
            queries=by_head(attention.q_proj) * attention.scaling,
            keys=by_head(attention.k_proj),
            values=by_head(attention.v_proj),
            causal=self.stack == "decoder",
            residual=kept[self.residual_from],
            output=kept[attention.out_proj],
            out_proj=attention.out_proj,
            norm_of_sum=self.norm_of_sum,
            rest=self.rest_of(kept),
        )


def _encoder_parts(module: Layer) -> list[_Part]:
    if module.config.model_type == "whisper":
        base = getattr(module, "model", module)
        return _whisper_encoder_parts(getattr(base, "encoder", base))
    if module.config.model_type not in ("wav2vec2", "hubert"):
        raise ValueError(
            f"module is of the family {module.config.model_type!r}, "
            "expected wav2vec2, hubert or whisper"
        )
    base = getattr(module, module.base_model_prefix, None) or module
    encoder = base.encoder
    pre_norm = module.config.do_stable_layer_norm
    rest_of_layer = _rest_of_stable_layer if pre_norm else _rest_of_post_norm_layer
    return [
        _Part(
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
        )
        for number, layer, last in _numbered(encoder.layers)
    ]


def _whisper_encoder_parts(encoder: Layer) -> list[_Part]:
    return [
        _Part(
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


def _decoder_parts(module: Layer) -> list[_Part]:
    decoder = getattr(getattr(module, "model", module), "decoder", None)
    if decoder is None:
        return []
    parts = []
    for number, layer, last in _numbered(decoder.layers):
        feed_forward = _with_final_norm(
            _whisper_feed_forward(layer), decoder.layer_norm if last else None
        )
        norm = layer.encoder_attn_layer_norm
        after_self = _rest_of_decoder_self_attention(layer, feed_forward)
        parts += [
            _Part("decoder", number, layer.self_attn, layer, None, after_self),
            _Part("cross", number, layer.encoder_attn, norm, None, _constant(feed_forward)),
        ]
    return parts


def _numbered(layers: nn.ModuleList) -> list[tuple[int, Layer, bool]]:
    return [(k, layer, k == len(layers)) for k, layer in enumerate(layers, start=1)]


def _constant(rest: Callable) -> Callable:
    return lambda kept: rest


def _with_final_norm(rest: Callable, norm: nn.LayerNorm | None) -> Callable:
    """Return `rest`, then the norm that a pre-LN stack applies after its last layer."""
    return rest if norm is None else lambda x: norm(rest(x))


def _rest_of_post_norm_layer(layer: Layer) -> Callable:
    def rest(x: Tensor) -> Tensor:
        x = layer.layer_norm(x)
        return layer.final_layer_norm(x + layer.feed_forward(x))

    return rest


def _rest_of_stable_layer(layer: Layer) -> Callable:
    def rest(x: Tensor) -> Tensor:
        x = x + layer.feed_forward(layer.final_layer_norm(x))
        adapter = getattr(layer, "adapter_layer", None)
        return x if adapter is None else x + adapter(x)

    return rest


def _whisper_feed_forward(layer: Layer) -> Callable:
    def rest(x: Tensor) -> Tensor:
        return x + layer.fc2(layer.activation_fn(layer.fc1(layer.final_layer_norm(x))))

    return rest


def _rest_of_decoder_self_attention(layer: Layer, feed_forward: Callable) -> Callable:
    """Return how the layer goes on from its self-attention: through its cross-attention."""

    def rest_of(kept: dict) -> Callable:
        attention = layer.encoder_attn
        keys, values = (
            kept[projection].unflatten(-1, (attention.num_heads, -1)).transpose(0, 1)
            for projection in (attention.k_proj, attention.v_proj)
        )

        def rest(x: Tensor) -> Tensor:
            # Queries of a cross-attention do not see one another: any number of rows is one batch.
            queries = attention.q_proj(layer.encoder_attn_layer_norm(x.flatten(0, -2)))
            queries = queries.unflatten(-1, (attention.num_heads, -1)).transpose(0, 1)
            weights = (queries @ keys.transpose(1, 2) * attention.scaling).softmax(dim=-1)
            context = (weights @ values).transpose(0, 1).flatten(1)
            return feed_forward(x + attention.out_proj(context).view_as(x))

        return rest

    return rest_of


@contextmanager
def _kept(parts: list[_Part]):
    """Yield a dict that fills with the outputs of the projections and with the residuals."""
    kept: dict[nn.Module, Tensor] = {}

    def one(tensor: Tensor) -> Tensor:
        if tensor.shape[0] != 1:
            raise ValueError(f"inputs hold {tensor.shape[0]} utterances, expected 1")
        return tensor[0].detach()

    def keep_output(module: nn.Module, args: tuple, output: Tensor) -> None:
        kept[module] = one(output)

    def keep_input(module: nn.Module, args: tuple, kwargs: dict) -> None:
        kept[module] = one(args[0] if args else kwargs["hidden_states"])

    handles = []
    for part in parts:
        a = part.attention
        for projection in (a.q_proj, a.k_proj, a.v_proj, a.out_proj):
            handles.append(projection.register_forward_hook(keep_output))
        handles.append(part.residual_from.register_forward_pre_hook(keep_input, with_kwargs=True))
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()
