"""Every attention of one pass is recorded, and the rest of its layer goes on from it exactly."""

import copy
from dataclasses import replace

import pytest
import torch
import transformers
from recorded_attention import (
    FAMILIES,
    SPEECH_TINY,
    layers_of,
    recorded,
    tiny_inputs,
    tiny_model,
)

import tests.reference_context_mixing as reference
from speech_interp.methods import context_mixing as mixing
from speech_interp.states.attention import attention_modules


@pytest.mark.parametrize("family", FAMILIES)
def test_every_attention_is_recorded_in_order(family):
    model, _, steps = recorded(family)
    assert [(s.stack, s.layer) for s in steps] == [row[:2] for row in layers_of(model)]


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_under_sdpa_equal_the_weights_that_the_eager_model_returns(family):
    inputs = tiny_inputs(family)
    eager = tiny_model(family, "eager")
    with torch.no_grad():
        output = eager(**inputs, output_attentions=True)
    _, _, steps = recorded(family)
    names = {"encoder": "attentions", "decoder": "decoder_attentions", "cross": "cross_attentions"}
    for step in steps:
        name = (
            "encoder_attentions"
            if family == "whisper" and step.stack == "encoder"
            else names[step.stack]
        )
        expected = getattr(output, name)[step.layer - 1][0]
        torch.testing.assert_close(step.weights(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_rest_of_the_layer_gives_what_the_layer_returned(family):
    model, inputs, steps = recorded(family)
    for step, (_, _, layer, _, norm) in zip(steps, layers_of(model), strict=True):
        (call,) = reference.layer_calls(model, [layer], **inputs)
        expected = call[2] if norm is None else norm(call[2])
        torch.testing.assert_close(
            step.rest(step.residual + step.output), expected, atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_what_keys_add_and_the_output_bias_sum_to_the_output_of_the_module(family):
    for step in recorded(family)[2]:
        added = reference.contributions(step.weights(), step.values, step.out_proj.weight)
        total = added.sum(1) + step.out_proj.bias
        torch.testing.assert_close(total, step.output, atol=1e-5, rtol=1e-5)
        fast = torch.einsum("hqk,hku->qu", step.weights(), step.transformed_values())
        torch.testing.assert_close(fast + step.out_proj.bias, step.output, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_recording_leaves_the_model_as_it_was(family):
    model, inputs, _ = recorded(family)
    with torch.no_grad():
        before = model(**inputs)[0]
        mixing.record_attention(model, **inputs)
        assert torch.equal(model(**inputs)[0], before)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_whisper_encoder_alone_gives_the_same_steps():
    model, inputs, steps = recorded("whisper")
    alone = mixing.record_attention(model.get_encoder(), input_features=inputs["input_features"])
    assert [(s.stack, s.layer) for s in alone] == [("encoder", 1), ("encoder", 2)]
    torch.testing.assert_close(alone[1].weights(), steps[1].weights())


@pytest.mark.parametrize(
    "more, message",
    [
        ({"attention_mask": torch.tensor([[1, 1, 0]])}, "attention_mask hides positions"),
        ({"past_key_values": object()}, "past_key_values holds an earlier pass"),
    ],
)
def test_what_would_be_recorded_wrongly_is_an_error(more, message):
    with pytest.raises(ValueError, match=message):
        mixing.record_attention(tiny_model("whisper"), **tiny_inputs("whisper"), **more)


@pytest.mark.parametrize("family", ["wavlm", "wavlm-stable"])
def test_wavlm_as_it_is_gives_the_steps_of_its_attention_written_out(family):
    """The oracle above is the model: same outputs, same mean weights, same steps."""
    model, inputs = tiny_model(family, in_pieces=False), tiny_inputs(family)
    in_pieces, _, expected = recorded(family)
    with torch.no_grad():
        output, other = (m(**inputs, output_attentions=True) for m in (model, in_pieces))
    torch.testing.assert_close(output[0], other[0], atol=1e-5, rtol=1e-4)
    steps = mixing.record_attention(model, **inputs)
    assert len(steps) == 3
    for step, twin, mean in zip(steps, expected, output.attentions, strict=True):
        torch.testing.assert_close(step.weights().mean(0), mean[0, 0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(step.weights(), twin.weights(), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(mixing.value_zeroing(step), mixing.value_zeroing(twin))
        no_bias = replace(step, position_bias=None)
        assert (no_bias.weights() - step.weights()).abs().max() > 0.01
    order = torch.randperm(steps[0].key_count)
    moved = steps[1].reordered(order).weights()
    torch.testing.assert_close(moved, steps[1].weights()[:, order][:, :, order])


def test_the_heads_of_wavlm_are_not_changed_and_layers_that_are_not_plain_are_refused():
    with pytest.raises(ValueError, match="of wavlm runs in one piece: its heads can be recorded"):
        attention_modules(tiny_model("wavlm", in_pieces=False))
    config = transformers.Wav2Vec2ConformerConfig(**SPEECH_TINY)
    conformer = transformers.Wav2Vec2ConformerModel(config).eval()
    with pytest.raises(ValueError, match="'wav2vec2-conformer', whose layers are no plain"):
        mixing.record_attention(conformer, **tiny_inputs("wav2vec2"))


@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_goes_on_in_float32(family):
    """A copy of the layer in float32 is what rounds least: its cosine is exact to float32."""
    half, inputs = tiny_model(family, in_pieces=False).bfloat16(), tiny_inputs(family)
    inputs = {n: v.bfloat16() if v.is_floating_point() else v for n, v in inputs.items()
              if torch.is_tensor(v)}  # fmt: skip
    rounded = copy.deepcopy(half).float()
    for step, row in zip(mixing.record_attention(half, **inputs), layers_of(rounded), strict=True):
        assert {step.residual.dtype, step.weights().dtype} == {torch.float32}
        total = step.residual + step.output
        if step.stack != "decoder":
            (wide,) = [
                s for s in mixing.record_attention(
                    rounded, **{n: v.float() if v.is_floating_point() else v
                                for n, v in inputs.items()}
                ) if (s.stack, s.layer) == row[:2]
            ]  # fmt: skip
            assert torch.equal(step.rest(total), wide.rest(total))
        assert mixing.value_zeroing(step).dtype == torch.float32
