"""Identities of context mixing, on every family, with tiny random models."""

from dataclasses import replace

import pytest
import torch
from recorded_attention import FAMILIES, layers_of, recorded, tiny_inputs, tiny_model

import tests.reference_context_mixing as reference
from speech_interp.methods import context_mixing as mixing

MEASURES = [mixing.raw_attention, mixing.attention_norm, mixing.attention_norm_with_residual]


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_norms_equal_the_slow_sums(family):
    for step in recorded(family)[2]:
        added = reference.contributions(step.weights(), step.values, step.out_proj.weight)
        torch.testing.assert_close(
            mixing.attention_norm(step), added.norm(dim=-1), atol=1e-5, rtol=0
        )
        expected = added.clone()
        if step.stack != "cross":
            for frame in range(len(expected)):
                expected[frame, frame] += step.residual[frame]
        if step.norm_of_sum is not None:
            # LN(v) without its shift, scaled to the deviation of the true sum.
            total = step.residual + step.output
            deviation = (total.var(-1, unbiased=False) + step.norm_of_sum.eps).sqrt()
            centred = expected - expected.mean(-1, keepdim=True)
            expected = step.norm_of_sum.weight * centred / deviation[:, None, None]
            back = expected.sum(1) + _normalised_bias(step, deviation) + step.norm_of_sum.bias
            torch.testing.assert_close(back, step.norm_of_sum(total), atol=1e-5, rtol=0)
        actual = mixing.attention_norm_with_residual(step)
        torch.testing.assert_close(actual, expected.norm(dim=-1), atol=1e-5, rtol=0)


def _normalised_bias(step, deviation):
    bias = step.out_proj.bias - step.out_proj.bias.mean()
    return step.norm_of_sum.weight * bias / deviation[:, None]


@pytest.mark.parametrize("family", FAMILIES)
def test_value_zeroing_equals_running_the_layer_again(family):
    model, inputs, steps = recorded(family)
    for step, (_, _, layer, attention, norm) in zip(steps, layers_of(model), strict=True):
        (call,) = reference.layer_calls(model, [layer], **inputs)
        n = step.key_count
        words = [torch.arange(0, 2), torch.arange(3, n - 1), torch.arange(n - 1, n)]
        for groups in (words, list(torch.arange(n)[:, None])):
            expected = reference.value_zeroing(layer, call, attention.v_proj, groups, norm)
            actual = mixing.value_zeroing(step, groups=groups)
            assert expected.max() > 1e-3
            torch.testing.assert_close(actual, expected.float(), atol=1e-5, rtol=0)
        torch.testing.assert_close(mixing.value_zeroing(step), expected.float(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_value_zeroing_in_small_batches_and_few_rows_is_the_same(family, monkeypatch):
    for step in recorded(family)[2]:
        whole = mixing.value_zeroing(step)
        rows = torch.tensor([3, 1])
        monkeypatch.setattr(mixing, "FEED_FORWARD_BYTES", 1)
        torch.testing.assert_close(
            mixing.value_zeroing(step, rows=rows), whole[rows], atol=1e-6, rtol=0
        )
        monkeypatch.undo()


@pytest.mark.parametrize("family", FAMILIES)
def test_zeroing_nothing_changes_nothing(family):
    for step in recorded(family)[2]:
        scores = mixing.value_zeroing(step, groups=[torch.arange(0)])
        assert scores.abs().max() < 1e-9


@pytest.mark.parametrize("family", FAMILIES)
def test_a_frame_whose_values_are_zero_contributes_nothing(family):
    model, inputs = tiny_model(family), tiny_inputs(family)
    for _, _, _, attention, _ in layers_of(model):
        attention.v_proj.register_forward_hook(_zero_frame_two)
    for step in mixing.record_attention(model, **inputs):
        assert mixing.value_zeroing(step)[:, 2].abs().max() < 1e-9
        assert mixing.attention_norm(step)[:, 2].abs().max() == 0
        assert mixing.raw_attention(step)[-1, 2] > 0


def _zero_frame_two(module, inputs, values):
    values = values.clone()
    values[:, 2] = 0
    return values


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("measure", [*MEASURES, mixing.value_zeroing])
def test_rows_sum_to_one(family, measure):
    for step in recorded(family)[2]:
        scores = measure(step)
        assert not scores.requires_grad
        rows = mixing.normalise_rows(scores).sum(-1)
        torch.testing.assert_close(rows, torch.ones_like(rows), atol=1e-5, rtol=0)
        torch.testing.assert_close(step.weights().sum(-1), torch.ones(4, step.query_count))


def test_a_row_without_any_score_stays_zero_and_finite():
    scores = mixing.normalise_rows(torch.tensor([[0.0, 0.0], [1.0, 3.0]]))
    assert scores.tolist() == [[0.0, 0.0], [0.25, 0.75]]


def test_a_broken_row_stays_broken_and_is_not_taken_for_an_empty_one():
    scores = mixing.normalise_rows(torch.tensor([[float("nan"), 1.0], [1.0, 3.0]]))
    assert scores[0].isnan().all() and scores[1].tolist() == [0.25, 0.75]


@pytest.mark.parametrize("measure", [*MEASURES, mixing.value_zeroing])
def test_the_decoder_never_mixes_in_later_tokens(measure):
    for step in recorded("whisper")[2]:
        if step.stack == "decoder":
            assert measure(step).triu(1).abs().max() < 1e-9


def test_rollout_of_identities_is_the_identity():
    layers = mixing.rollout([torch.eye(5)] * 3)
    assert torch.equal(layers, torch.eye(5).expand(3, 5, 5))
    assert torch.equal(mixing.rollout([torch.eye(5)] * 3, residual=False)[-1], torch.eye(5))


@pytest.mark.parametrize("family", FAMILIES)
def test_rollout_equals_the_walk_over_paths_and_its_rows_sum_to_one(family):
    maps = [mixing.raw_attention(s) for s in recorded(family)[2] if s.stack == "encoder"]
    layers = mixing.rollout(maps)
    torch.testing.assert_close(layers, reference.rollout(maps), atol=1e-5, rtol=0)
    torch.testing.assert_close(layers.sum(-1), torch.ones(layers.shape[:2]), atol=1e-5, rtol=0)


def copying_step():
    """Return a toy layer: every frame looks most at frame 1, whose value is nearly nothing, and

    copies frame 4 into its output through a small weight on a large value.
    """
    torch.manual_seed(3)
    frames, unit = 6, 8
    values = 0.01 * torch.randn(1, frames, unit)
    values[0, 4] = 10 * torch.randn(unit)
    keys = torch.zeros(1, frames, 2)
    keys[0, 1, 0], keys[0, 4, 0] = 3.0, 1.0
    queries = torch.zeros(1, frames, 2)
    queries[..., 0] = 1.0
    out_proj = torch.nn.Linear(unit, unit, bias=False)
    torch.nn.init.eye_(out_proj.weight)
    residual = torch.randn(frames, unit)
    weights = (queries @ keys.transpose(1, 2)).softmax(-1)
    return mixing.AttentionStep(
        stack="encoder", layer=1, queries=queries, keys=keys, values=values, causal=False,
        residual=residual, output=(weights @ values)[0].detach(), out_proj=out_proj,
        norm_of_sum=None, rest=lambda x: x,
    )  # fmt: skip


def test_a_planted_copy_is_found_by_value_zeroing_and_missed_by_raw_attention():
    step = copying_step()
    assert mixing.raw_attention(step).argmax(1).tolist() == [1] * 6
    assert mixing.value_zeroing(step).argmax(1).tolist() == [4] * 6
    assert mixing.attention_norm(step).argmax(1).tolist() == [4] * 6
    assert mixing.value_norms(step)[0].argmin() != 4
    moved = replace(step, values=step.values[:, [0, 4, 2, 3, 1, 5]])
    moved = replace(moved, output=(moved.weights() @ moved.values)[0])
    assert mixing.value_zeroing(moved).argmax(1).tolist() == [1] * 6


def test_words_share_no_frame_and_every_frame_has_one_owner():
    words, pause, padding = mixing.group_frames(
        [slice(1, 3), slice(3, 4), slice(6, 8)], speech_count=9, frame_count=12
    )
    assert [w.tolist() for w in words] == [[1, 2], [3], [6, 7]]
    assert pause.tolist() == [0, 4, 5, 8]
    assert padding.tolist() == [9, 10, 11]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([slice(0, 3), slice(2, 5)], "word 1 shares a frame with word 0"),
        ([slice(0, 3), slice(4, 4)], "word 1 has the frames 4:4"),
        ([slice(8, 11)], "word 0 has the frames 8:11"),
    ],
)
def test_impossible_words_are_named(words, message):
    with pytest.raises(ValueError, match=message):
        mixing.group_frames(words, speech_count=10, frame_count=12)


@pytest.mark.parametrize("measure", [*MEASURES, mixing.value_zeroing])
def test_word_map_equals_sums_over_frames_and_returns_the_padding(measure):
    step = next(s for s in recorded("whisper")[2] if s.stack == "encoder")
    words, pause, padding = mixing.group_frames(
        [slice(0, 3), slice(3, 5), slice(7, 9)], speech_count=10, frame_count=20
    )
    actual = mixing.word_map(
        step, measure, targets=words, sources=words, pause=pause, padding=padding
    )
    groups = [*words, pause, padding]
    by_frame = measure(step, groups=groups) if measure is mixing.value_zeroing else None
    table = torch.zeros(3, 5)
    for target in range(3):
        for source in range(5):
            for frame in words[target].tolist():
                if by_frame is not None:
                    score = by_frame[frame, source]
                else:
                    score = sum(measure(step)[frame, key] for key in groups[source].tolist())
                table[target, source] += score / len(words[target])
    expected = table[:, :3] / table[:, :3].sum(1, keepdim=True)
    torch.testing.assert_close(actual.scores, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(actual.padding, table[:, 4] / table.sum(1), atol=1e-5, rtol=0)
    torch.testing.assert_close(actual.pause, table[:, 3] / table.sum(1), atol=1e-5, rtol=0)
    assert (actual.padding > 0).all() and (actual.pause > 0).all()


def test_cue_contribution_is_the_mean_share_of_the_cue():
    scores = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.6, 0.3, 0.1]])
    share = mixing.cue_contribution(scores, targets=[1, 2], cues=[0])
    assert share == pytest.approx((0.1 + 0.6) / 2)
    assert mixing.cue_contribution(scores, targets=[1], cues=[0, 1]) == pytest.approx(0.3)


def test_errors_say_what_is_wrong():
    model, inputs = tiny_model("hubert"), tiny_inputs("hubert")
    with pytest.raises(ValueError, match="train mode"):
        mixing.record_attention(tiny_model("hubert").train(), **inputs)
    with pytest.raises(ValueError, match="2 utterances, expected 1"):
        mixing.record_attention(model, input_values=torch.randn(2, 4500))
