"""The layer convention, against hooks of the test's own and transformers' own outputs."""

import numpy as np
import pytest
import torch
from tiny import FAMILIES, tiny_model

from speech_interp.speech.audio import (
    AudioError,
    NotFiniteAudioError,
    ScaleAudioError,
    TooLongAudioError,
)
from speech_interp.speech.corpus import Interval
from speech_interp.states.hidden_states import (
    HiddenStates,
    encoder_layers,
    encoder_of,
    hidden_states,
    model_inputs,
    pool,
    stream_hidden_states,
)


def noise(seconds=1.0, seed=0):
    samples = int(seconds * 16000)
    return np.random.default_rng(seed).normal(scale=0.1, size=samples).astype(np.float32)


@pytest.fixture(params=FAMILIES)
def model(request):
    return tiny_model(request.param)


@torch.no_grad()
def test_layers_follow_the_convention(model):
    """Layer k is entry k of transformers' own list, for all entries before the last."""
    wave = noise()
    states = hidden_states(model, wave)
    assert states.values.shape[0] == 1 + len(encoder_layers(model))
    reported = encoder_of(model)(model_inputs(model, wave), output_hidden_states=True)
    frames = states.values.shape[1]
    for k in range(len(encoder_layers(model))):
        torch.testing.assert_close(
            states.values[k], reported.hidden_states[k][0, :frames], atol=1e-6, rtol=1e-5
        )


@torch.no_grad()
def test_last_layer_is_before_any_final_norm(model):
    wave = noise()
    if (
        model.family == "wav2vec2-conformer"
    ):  # its layers end in a norm: a second, untrained, is none
        model.module.encoder.layer_norm.weight.mul_(2)
    last = hidden_states(model, wave).values[-1]
    final = encoder_of(model)(model_inputs(model, wave)).last_hidden_state[0, : len(last)]
    encoder = encoder_of(model)
    stable = getattr(model.module.config, "do_stable_layer_norm", False)
    if model.family == "sew":  # parts its frames again after the last layer
        last = encoder.encoder.upsample(last[None])[0]
        final = encoder(model_inputs(model, wave)).last_hidden_state[0, : len(last)]
    if model.family in ("whisper", "moonshine", "wav2vec2-conformer") or stable:
        own = model.family in ("whisper", "moonshine")
        norm = encoder.layer_norm if own else encoder.encoder.layer_norm
        assert (last - final).abs().max() > 1e-3
        last = norm(last)
    torch.testing.assert_close(last, final, atol=1e-6, rtol=1e-5)


def test_no_hook_stays_behind(model):
    hidden_states(model, noise())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in encoder_layers(model))


def test_same_twice_and_whatever_came_before(model):
    first = hidden_states(model, noise()).values
    hidden_states(model, noise(2.3, seed=1))
    assert torch.equal(first, hidden_states(model, noise()).values)


def test_whisper_is_cropped_to_the_speech_and_says_so():
    states = hidden_states(tiny_model("whisper"), noise(1.0))
    assert states.values.shape[1] == 50 and states.padding_frames == 1450
    assert states.padding_share == pytest.approx(1450 / 1500)
    full = hidden_states(tiny_model("whisper"), noise(30.0))
    assert full.values.shape[1] == 1500 and full.padding_share == 0


def test_other_families_have_no_padding():
    assert hidden_states(tiny_model("hubert"), noise()).padding_share == 0


def test_padding_a_wave_would_change_its_frames():
    """The trap that one utterance at a time avoids: this must really be a trap."""
    model, wave = tiny_model("wav2vec2"), noise()
    alone = hidden_states(model, wave).values
    padded = hidden_states(model, np.concatenate([wave, np.zeros(16000, np.float32)])).values
    assert (alone - padded[:, : alone.shape[1]]).abs().max() > 1e-2


def test_errors_name_what_came(model):
    with pytest.raises(AudioError, match=r"expected mono, shape \(sample,\), got shape \(2, 800\)"):
        hidden_states(model, np.zeros((2, 800), np.float32))
    with pytest.raises(NotFiniteAudioError):
        hidden_states(model, np.full(800, np.nan, np.float32))
    with pytest.raises(TooLongAudioError, match="use stream_hidden_states"):
        hidden_states(model, noise(121))


def test_whisper_inputs_are_never_cut_off_unsaid():
    with pytest.raises(AudioError, match=r"31\.0 s, one pass takes at most 30 s"):
        model_inputs(tiny_model("whisper"), noise(31))


def test_silence_in_the_middle_of_a_study_is_no_error(model):
    assert hidden_states(model, np.zeros(1600, np.float32)).values.isfinite().all()


@pytest.mark.parametrize(
    "family", ["wav2vec2-stable", "whisper", "sew", "wav2vec2-bert", "parakeet_ctc"]
)
def test_stream_gives_every_frame_once(family):
    model, wave = tiny_model(family), noise(7.3)
    whole = hidden_states(model, wave)
    pieces = list(stream_hidden_states(model, wave, window_s=2.0, context_s=1.0))
    np.testing.assert_allclose(np.concatenate([p.times_s for p in pieces]), whole.times_s)
    assert sum(p.values.shape[1] for p in pieces) == whole.values.shape[1]


def test_stream_of_one_window_is_the_single_pass(model):
    wave = noise(2.0)
    (piece,) = stream_hidden_states(model, wave)
    torch.testing.assert_close(piece.values, hidden_states(model, wave).values)


def test_streamed_frames_sit_where_they_belong():
    """Layer 0 of a stable-norm model is local, so streamed and whole must agree away from edges."""
    model, wave = tiny_model("wav2vec2-stable"), noise(6.0)
    model.processor.do_normalize = False  # which would differ from window to window
    whole = hidden_states(model, wave).values[0]
    pieces = list(stream_hidden_states(model, wave, window_s=2.0, context_s=0.5))
    torch.testing.assert_close(torch.cat([p.values[0] for p in pieces]), whole)


def test_stream_refuses_windows_it_cannot_do():
    with pytest.raises(ValueError, match="Whisper sees 30 s"):
        next(stream_hidden_states(tiny_model("whisper"), noise(), window_s=29, context_s=1))
    with pytest.raises(ValueError, match="expected window_s >= 1"):
        next(stream_hidden_states(tiny_model("hubert"), noise(), window_s=0))


@pytest.mark.slow
def test_an_hour_in_bounded_memory():
    import resource

    model, hour = tiny_model("wav2vec2-stable"), np.tile(noise(60.0), 60)
    next(stream_hidden_states(model, hour))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    frames = sum(p.values.shape[1] for p in stream_hidden_states(model, hour))
    assert frames == (3600 * 16000 - 400) // 320 + 1
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 300


def planted_states():
    """Every unit of every frame holds the frame's own number, plus 1000 a layer."""
    values = torch.arange(10.0)[None, :, None] + 1000 * torch.arange(3.0)[:, None, None]
    return HiddenStates(values.expand(3, 10, 4).clone(), times_s=0.0125 + 0.02 * np.arange(10))


def test_pool_averages_the_right_frames():
    pooled = pool(planted_states(), [Interval("A", 0.0, 0.06), Interval("B", 0.06, 0.2)])
    assert pooled.shape == (3, 2, 4)
    assert pooled[:, :, 0].tolist() == [[1, 6], [1001, 1006], [2001, 2006]]


def test_pool_takes_the_nearest_frame_for_a_very_short_phone():
    pooled = pool(planted_states(), [Interval("T", 0.054, 0.060)])
    assert pooled[0, 0, 0] == 2


def test_pool_refuses_what_lies_outside():
    with pytest.raises(ValueError, match=r"interval 0\.500-0\.600 s lies outside the frames"):
        pool(planted_states(), [Interval("A", 0.5, 0.6)])
    with pytest.raises(ValueError, match="got none"):
        pool(planted_states(), [])


def test_floats_in_the_range_of_integers_are_refused(model):
    loud = noise() * 32768
    for entrance in (hidden_states, model_inputs, lambda m, w: list(stream_hidden_states(m, w))):
        with pytest.raises(ScaleAudioError, match=r"wave: its peak is .* expected samples in \[-1"):
            entrance(model, loud)
    assert torch.isfinite(hidden_states(model, loud / 32768).values).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_pooled_states_of_half_precision(dtype):
    """A mean of numbers that half precision holds is not rounded to it again."""
    values = torch.full((2, 3, 4), 256.0)
    values[:, 2] = 258.0  # the mean, 256 2/3, is not a number of bfloat16
    states = HiddenStates(values.to(dtype), np.array([0.0, 0.02, 0.04]))
    found = pool(states, [Interval("a", 0.0, 0.05)])
    torch.testing.assert_close(found, torch.full((2, 1, 4), 770 / 3))
