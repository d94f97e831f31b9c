"""Every attention of one pass is recorded, and the rest of its layer goes on from it exactly."""

import pytest
import torch
from recorded_attention import FAMILIES, layers_of, recorded, tiny_inputs, tiny_model

import tests.reference_context_mixing as reference
from speech_interp.methods import context_mixing as mixing


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
        torch.testing.assert_close(step.weights(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_rest_of_the_layer_gives_what_the_layer_returned(family):
    model, inputs, steps = recorded(family)
    for step, (_, _, layer, _, norm) in zip(steps, layers_of(model), strict=True):
        (call,) = reference.layer_calls(model, [layer], **inputs)
        expected = call[2] if norm is None else norm(call[2])
        torch.testing.assert_close(
            step.rest(step.residual + step.output), expected, atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_what_keys_add_and_the_output_bias_sum_to_the_output_of_the_module(family):
    for step in recorded(family)[2]:
        added = reference.contributions(step.weights(), step.values, step.out_proj.weight)
        total = added.sum(1) + step.out_proj.bias
        torch.testing.assert_close(total, step.output, atol=1e-5, rtol=0)
        fast = torch.einsum("hqk,hku->qu", step.weights(), step.transformed_values())
        torch.testing.assert_close(fast + step.out_proj.bias, step.output, atol=1e-5, rtol=0)


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
