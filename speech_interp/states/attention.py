"""Records every attention of one forward pass, with how its layer goes on from it.

The models stay as transformers made them. Hooks keep what their projections returned; from queries,
keys and values the attention weights follow exactly, whatever attention kernel the model ran with.
Everything is kept in float32 where the model is in half precision.
"""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from speech_interp.states.layer_parts import Attention, Layer, Part, parts_of, widened


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
    position_bias: Float[Tensor, "head query key"] | None = None  # WavLM adds it to the scores,
    gate: Float[Tensor, "head query"] | None = None  # after each query weighed it

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

    def reordered(self, places: Int[Tensor, " frame"]) -> "AttentionStep":
        """Return the step with queries and keys in another order, for the weights alone."""
        places = places.to(self.queries.device)
        queries, keys = self.queries[:, places], self.keys[:, places]
        if self.position_bias is None or self.gate is None:
            return replace(self, queries=queries, keys=keys)
        bias, gate = self.position_bias[:, places][:, :, places], self.gate[:, places]
        return replace(self, queries=queries, keys=keys, position_bias=bias, gate=gate)


def weights_of(
    step: AttentionStep, rows: Int[Tensor, " row"] | None = None
) -> Float[Tensor, "head row key"]:
    """Return `step.weights(rows)` where the model is."""
    rows = torch.arange(step.query_count) if rows is None else rows
    rows = rows.to(step.queries.device)
    scores = step.queries[:, rows] @ step.keys.transpose(1, 2)
    if step.position_bias is not None and step.gate is not None:
        scores = scores + step.gate[:, rows, None] * step.position_bias[:, rows]
    if step.causal:
        future = torch.arange(step.key_count, device=rows.device) > rows[:, None]
        scores = scores.masked_fill(future, -torch.inf)
    return scores.softmax(dim=-1)


def transformed_values_of(step: AttentionStep) -> Float[Tensor, "head key unit"]:
    """Return `step.transformed_values()` where the model is."""
    head_unit = step.values.shape[2]
    weight = widened(step.out_proj.weight)
    per_head = weight.split(head_unit, dim=1)  # one (unit, head_unit) a head
    return torch.stack([v @ w.T for v, w in zip(step.values, per_head, strict=True)])


@torch.no_grad()
def record_attention(module: nn.Module, **inputs: object) -> list[AttentionStep]:
    """Return every attention of `module(**inputs)`: the encoder's, the decoder's, the cross ones.

    `module` is a model of transformers of a family with plain Transformer layers, with or without a
    head; a Whisper encoder alone gives its own steps. One utterance, all of it real, all positions
    at once. Raises ValueError for another family, for a mask that hides something, for keys of an
    earlier pass (`past_key_values`), for several utterances, and in train mode.
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
    parts = parts_of(module)
    with _kept(parts) as kept:
        module(**inputs)
    return [_step(part, kept) for part in parts if part.attention.q_proj in kept]


def attention_modules(module: Layer) -> dict[tuple[str, int], Attention]:
    """Return the attention modules of a model by stack and layer, in `record_attention`'s order.

    Raises ValueError for a family whose attentions can be recorded, but not changed.
    """
    parts = parts_of(module)
    if any(part.in_one_piece for part in parts):
        raise ValueError(
            f"the attention of {module.config.model_type} runs in one piece: its heads can be "
            "recorded, but not changed"
        )
    return {(part.stack, part.layer): part.attention for part in parts}


def _step(part: Part, kept: dict) -> AttentionStep:
    attention = part.attention

    def by_head(values: Tensor) -> Tensor:
        return values.unflatten(-1, (attention.num_heads, -1)).transpose(0, 1)

    bias, gate = kept.get(attention, (None, None))
    return AttentionStep(
        stack=part.stack,
        layer=part.layer,
        queries=by_head(kept[attention.q_proj]) * attention.scaling,
        keys=by_head(kept[attention.k_proj]),
        values=by_head(kept[attention.v_proj]),
        causal=part.stack == "decoder",
        residual=kept[part.residual_from],
        output=kept[attention.out_proj],
        out_proj=attention.out_proj,
        norm_of_sum=part.norm_of_sum,
        rest=part.rest_of(kept),
        position_bias=bias,
        gate=gate,
    )


def _gate(module: Layer, given: Tensor) -> Tensor:
    """Return how much of the position bias each query takes, (head, query): WavLM's gate."""
    by_head = given[0].unflatten(-1, (module.num_heads, -1)).transpose(0, 1)
    opened = module.gru_rel_pos_linear(by_head).unflatten(-1, (2, -1)).sum(-1).sigmoid()
    taken, scaled = opened.unbind(-1)
    return widened(taken * (scaled * module.gru_rel_pos_const[0, :, 0] - 1) + 2)


@contextmanager
def _kept(parts: list[Part]):
    """Yield a dict that fills with the outputs of the projections and with the residuals."""
    kept: dict[Any, Any] = {}  # by module

    def one(tensor: Tensor) -> Tensor:
        if tensor.shape[0] != 1:
            raise ValueError(f"inputs hold {tensor.shape[0]} utterances, expected 1")
        return widened(tensor[0].detach())

    def keep_output(module: nn.Module, args: tuple, output: Tensor) -> None:
        kept[module] = one(output)

    def keep_input(module: nn.Module, args: tuple, kwargs: dict) -> None:
        kept[module] = one(args[0] if args else kwargs["hidden_states"])

    def keep_whole(module: Layer, args: tuple, kwargs: dict, output: tuple) -> None:
        given = args[0] if args else kwargs["hidden_states"]
        for projection in (module.q_proj, module.k_proj, module.v_proj):
            kept[projection] = one(projection(given))
        kept[module.out_proj] = one(output[0])
        kept[module] = (widened(output[2].detach()), _gate(module, given))

    handles = []
    for part in parts:
        attention: Layer = part.attention
        handles.append(part.residual_from.register_forward_pre_hook(keep_input, with_kwargs=True))
        if part.in_one_piece:
            handles.append(attention.register_forward_hook(keep_whole, with_kwargs=True))
            continue
        for projection in (
            attention.q_proj,
            attention.k_proj,
            attention.v_proj,
            attention.out_proj,
        ):
            handles.append(projection.register_forward_hook(keep_output))
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()
