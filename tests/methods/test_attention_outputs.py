"""Windows by several measures beside loops and planted maps; outputs of heads beside ablation."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from recorded_attention import FAMILIES, layers_of, recorded

from speech_interp.methods.attention_outputs import (
    locality_window,
    output_likeness,
    output_size,
)
from speech_interp.methods.attention_patterns import head_patterns
from speech_interp.methods.context_mixing import raw_attention, value_zeroing
from speech_interp.states.attention import record_attention


def encoder_step(family="wav2vec2", place=1):
    return recorded(family)[2][place]


def only(step, *, heads):
    parts = {name: getattr(step, name)[:heads] for name in ("queries", "keys", "values")}
    return replace(step, **parts)


def planted(away):
    """A measure by which every frame hangs on the frames at the distances `away` alone."""

    def measure(step, *, rows, groups):
        keys = torch.cat(groups)
        distance = (rows[:, None] - keys).abs()
        return sum((distance == d) * weight for d, weight in away.items()).float()

    return measure


def test_a_planted_window_is_found_and_its_share_obeyed():
    step, rows = encoder_step(), torch.arange(5, 8)
    assert locality_window(step, planted({3: 1.0}), rows=rows) == 3
    mostly_near = planted({0: 8.5, 5: 0.75})  # both sides: 85 % at 0, 15 % at 5
    assert locality_window(step, mostly_near, rows=rows) == 5
    assert locality_window(step, mostly_near, rows=rows, share=0.8) == 0


def test_the_window_of_a_measure_equals_a_loop():
    step, rows = encoder_step(), torch.tensor([1, 4, 9])
    for measure in (raw_attention, value_zeroing):
        scores = measure(step).numpy()[rows][:, :12].astype(float)
        scores /= scores.sum(1, keepdims=True)
        for w in range(12):
            near = sum(
                scores[i, k] for i, q in enumerate(rows) for k in range(12) if abs(q - k) <= w
            )
            if near / 3 >= 0.9:
                break
        assert locality_window(step, measure, rows=rows, speech_count=12) == w


def test_value_zeroing_is_near_the_square_of_what_is_taken_away():
    """Values and output made small beside the residual: half of both is a quarter of the score."""
    step = encoder_step("whisper", 0)
    scores = []
    for size in (1e-2, 5e-3):
        small = replace(step, values=size * step.values, output=size * step.output)
        scores.append(value_zeroing(small))
    strong = scores[0] > scores[0].median()
    torch.testing.assert_close(
        (scores[0] / scores[1])[strong].median(), torch.tensor(4.0), atol=0.1, rtol=0
    )


def test_one_head_has_the_window_that_its_pattern_has():
    step = encoder_step()
    one = only(step, heads=1)
    rows = torch.arange(step.key_count)
    found = locality_window(one, raw_attention, rows=rows)
    assert found == head_patterns(step)["window"][0]


@pytest.mark.parametrize("family", FAMILIES)
def test_outputs_of_heads_are_what_ablating_them_takes_away(family):
    """What a head gives, less its mean, is by how much the output moves without it.

    Ablated by a hook of this test, which also reaches WavLM's attention, here written out.
    """
    model, inputs, (step, *_) = recorded(family)
    attention = layers_of(model)[0][3]
    given = []
    for head in range(4):

        def without_it(module, args, head=head):
            by_head = args[0].unflatten(-1, (4, -1)).clone()
            by_head[..., head, :] = by_head[..., head, :].mean(-2, keepdim=True)
            return (by_head.flatten(-2),)

        hook = attention.out_proj.register_forward_pre_hook(without_it)
        without = record_attention(model, **inputs)[0].output
        hook.remove()
        given.append((step.output - without).flatten().double().numpy())
    lengths = [np.linalg.norm(g) / np.sqrt(step.query_count) for g in given]
    np.testing.assert_allclose(output_size(step), lengths, rtol=1e-4)
    given = np.array([g / np.linalg.norm(g) for g in given])
    expected = ((given @ given.T).sum(1) - 1) / 3
    np.testing.assert_allclose(output_likeness(step), expected, atol=1e-4)


def test_heads_that_are_copies_say_the_same():
    step = encoder_step()
    width = step.values.shape[2]
    copied = torch.nn.Linear(4 * width, 4 * width)
    with torch.no_grad():
        copied.weight.copy_(step.out_proj.weight[:, :width].repeat(1, 4))
    same = {name: getattr(step, name)[:1].repeat(4, 1, 1) for name in ("queries", "keys", "values")}
    copies = replace(step, out_proj=copied, **same)
    np.testing.assert_allclose(output_likeness(copies), 1, atol=1e-6)
    assert np.abs(output_likeness(step)).max() < 0.7


def test_what_lies_behind_the_recording_does_not_count_as_a_row():
    step = encoder_step()
    short = replace(
        step, queries=step.queries[:, :9], residual=step.residual[:9], output=step.output[:9]
    )
    np.testing.assert_allclose(
        output_likeness(step, speech_count=9), output_likeness(short), atol=1e-9
    )


def test_errors_name_what_came():
    step = encoder_step()
    cross = next(s for s in recorded("whisper")[2] if s.stack == "cross")
    with pytest.raises(ValueError, match="stack 'cross'"):
        locality_window(cross, raw_attention, rows=torch.arange(2))
    with pytest.raises(ValueError, match="rows go from 3 to 9, expected 0 to 8"):
        locality_window(step, raw_attention, rows=torch.arange(3, 10), speech_count=9)
    with pytest.raises(ValueError, match="1 head"):
        output_likeness(only(step, heads=1))
