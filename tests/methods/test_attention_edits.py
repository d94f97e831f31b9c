"""Edits of a running model, beside changed parameters and masks of transformers itself."""

from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import torch
from recorded_attention import FAMILIES as RECORDED
from recorded_attention import layers_of, recorded, tiny_inputs, tiny_model

from speech_interp.methods import attention_edits as edits
from speech_interp.states.attention import attention_modules, record_attention

FAMILIES = [name for name in RECORDED if not name.startswith("wavlm")]  # it is refused


def output(model, inputs):
    with torch.no_grad():
        return model(**inputs)[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_modules_are_those_that_are_recorded(family):
    model = tiny_model(family)
    expected = {(stack, layer): attention for stack, layer, _, attention, _ in layers_of(model)}
    assert attention_modules(model) == expected
    assert list(attention_modules(model)) == list(expected)
    assert edits.all_heads(model)[:5] == [("encoder", 1, h) for h in range(4)] + [("encoder", 2, 0)]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_head_set_to_zero_is_a_head_without_output_weights(family):
    model, inputs = tiny_model(family), tiny_inputs(family)
    before = output(model, inputs)
    with edits.heads_ablated(model, [("encoder", 2, 1), ("encoder", 2, 3)], by="zero"):
        found = output(model, inputs)
    again = output(model, inputs)
    weight = attention_modules(model)["encoder", 2].out_proj.weight
    with torch.no_grad():
        weight[:, 6:12] = 0  # heads of six units
        weight[:, 18:] = 0
    torch.testing.assert_close(found, output(model, inputs), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(before, again, atol=0, rtol=0)
    assert (found - before).abs().max() > 1e-3


def test_a_head_set_to_its_mean_gives_every_frame_the_mean():
    model, inputs = tiny_model("wav2vec2"), tiny_inputs("wav2vec2")
    (plain, *_) = record_attention(model, **inputs)
    with edits.heads_ablated(model, [("encoder", 1, 2)]):
        (changed, *_) = record_attention(model, **inputs)
    by_head = torch.einsum("hqk,hku->hqu", plain.weights(), plain.transformed_values())
    by_head[2] = by_head[2].mean(0)
    expected = by_head.sum(0) + plain.out_proj.bias
    torch.testing.assert_close(changed.output, expected, atol=1e-5, rtol=1e-5)


def test_a_head_set_to_its_mean_in_the_recording_keeps_the_padding():
    model, inputs = tiny_model("whisper"), tiny_inputs("whisper")
    (plain, *_) = record_attention(model, **inputs)
    with edits.heads_ablated(model, [("encoder", 1, 2)], count=7):
        (changed, *_) = record_attention(model, **inputs)
    by_head = torch.einsum("hqk,hku->hqu", plain.weights(), plain.transformed_values())
    by_head[2, :7] = by_head[2, :7].mean(0)
    expected = by_head.sum(0) + plain.out_proj.bias
    torch.testing.assert_close(changed.output, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(changed.output[7:], plain.output[7:], atol=1e-5, rtol=1e-5)


def test_heads_that_do_not_exist():
    model = tiny_model("wav2vec2")
    for head in [("encoder", 4, 0), ("encoder", 1, 4), ("cross", 1, 0)]:
        with pytest.raises(ValueError, match="no head"), edits.heads_ablated(model, [head]):
            pass
    with (
        pytest.raises(ValueError, match="by is 'noise'"),
        edits.heads_ablated(model, [], by="noise"),
    ):
        pass
    with (
        pytest.raises(ValueError, match="has none"),
        edits.attention_edited(model, edits.windowed(1), stack="cross"),
    ):
        pass


STACKS = [(family, "encoder") for family in FAMILIES]


@pytest.mark.parametrize("family, stack", [*STACKS, ("whisper", "decoder"), ("whisper", "cross")])
def test_an_edit_that_changes_nothing_changes_nothing(family, stack):
    model, inputs = tiny_model(family), tiny_inputs(family)
    seen = []

    def look(stack, layer, weights):
        seen.append((stack, layer))
        return weights

    before = output(model, inputs)
    with edits.attention_edited(model, look, stack=stack):
        after = output(model, inputs)
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)
    assert seen == [place for place in attention_modules(model) if place[0] == stack]


def test_hidden_keys_equal_the_mask_of_transformers():
    """The last frames hidden from all others: rows of the others as with an attention mask."""
    model, inputs = tiny_model("wav2vec2", "eager"), tiny_inputs("wav2vec2")
    layer, states = model.encoder.layers[0], torch.randn(1, 9, 24)
    mask = torch.zeros(1, 1, 9, 9)
    mask[..., 6:] = -torch.inf
    with torch.no_grad():
        expected = layer(states, attention_mask=mask)[0]
        with edits.attention_edited(model, edits.only_keys(6)):
            found = layer(states)[0]
        window = ((torch.arange(9)[:, None] - torch.arange(9)).abs() > 2) * -1e30
        near = layer(states, attention_mask=window[None, None])[0]
        with edits.attention_edited(model, edits.windowed(2)):
            found_near = layer(states)[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found_near, near, atol=1e-5, rtol=1e-5)
    assert output(model, inputs).isfinite().all()


def test_a_layer_that_reuses_maps_has_the_maps_below():
    maps = torch.rand(3, 2, 4, 4)
    edit = edits.reused({2})
    got = [edit("encoder", layer, maps[layer - 1]) for layer in (1, 2, 3)]
    assert got[1] is maps[0] or torch.equal(got[1], maps[0])
    assert torch.equal(got[0], maps[0]) and torch.equal(got[2], maps[2])
    with pytest.raises(ValueError, match="no layer below"):
        edits.reused({1})("encoder", 1, maps[0])


@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "whisper"])
def test_frames_enter_in_the_order_that_was_asked_for(family):
    module, inputs = tiny_model(family), tiny_inputs(family)
    model = SimpleNamespace(module=module, family=family)
    order = np.random.default_rng(0).permutation(7)
    taken = []
    if family == "whisper":  # positions are added after the frames were moved
        positions = module.get_encoder().embed_positions.weight
        hook = (
            module.get_encoder()
            .layers[0]
            .register_forward_pre_hook(
                lambda m, args, kwargs: taken.append(
                    (args or list(kwargs.values()))[0][0] - positions
                ),
                with_kwargs=True,
            )
        )
    else:
        hook = module.encoder.register_forward_pre_hook(
            lambda m, args, kwargs: taken.append((args or list(kwargs.values()))[0][0]),
            with_kwargs=True,
        )
    output(module, inputs)
    with edits.frames_in_order(model, order):
        output(module, inputs)
    output(module, inputs)
    hook.remove()
    plain, moved, again = taken
    torch.testing.assert_close(moved[:7], plain[torch.from_numpy(order)], atol=1e-6, rtol=0)
    torch.testing.assert_close(moved[7:], plain[7:], atol=1e-6, rtol=0)
    torch.testing.assert_close(again, plain, atol=0, rtol=0)
    with (
        pytest.raises(ValueError, match="no permutation"),
        edits.frames_in_order(model, np.array([0, 2])),
    ):
        pass


@pytest.mark.parametrize("family", FAMILIES)
def test_averaged_attention_is_that_of_even_rows_and_ends_with_the_block(family):
    model, inputs, _ = recorded(family)
    even = lambda stack, layer, weights: torch.ones_like(weights) / weights.shape[-1]  # noqa: E731
    with torch.no_grad():
        before = model(**inputs)[0]
        with edits.attention_edited(model, even):
            expected = model(**inputs)[0]
        with edits.attention_averaged(model):
            found = model(**inputs)[0]
        assert torch.equal(model(**inputs)[0], before)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found, before, atol=1e-3)


def test_a_stack_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"stack is 'cross', expected one of \['encoder'\]"):
        edits.all_heads(recorded("wav2vec2")[0], "cross")


def test_frames_of_a_family_without_a_known_place_are_not_moved():
    with (
        pytest.raises(ValueError, match="'moonshine', whose frames are not known"),
        edits.frames_in_order(tiny.tiny_model("moonshine"), np.arange(3)),
    ):
        pass
