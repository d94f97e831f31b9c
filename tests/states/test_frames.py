"""Frames against an impulse sent through the real convolutions of every family."""

import itertools

import numpy as np
import pytest
import torch
from tiny import FAMILIES, tiny_model

from speech_interp.speech.audio import RATE_HZ
from speech_interp.states.frames import FrameGrid, convolution_grid, frame_grid, frames_in
from speech_interp.states.hidden_states import hidden_states


def front_end(model, wave):
    """Frames as they leave the convolutions, with nothing that mixes over time but them."""
    if model.family == "whisper":
        mel = model.processor(wave, sampling_rate=RATE_HZ, return_tensors="pt").input_features
        encoder = model.module.get_encoder()
        return encoder.conv2(torch.relu(encoder.conv1(mel)))[0].T
    if model.family.startswith("parakeet"):  # each bin is normalised over time: left out
        samples = np.concatenate([wave[:1], wave[1:] - np.float32(0.97) * wave[:-1]])
        mel = model.processor._torch_extract_fbank_features(torch.from_numpy(samples)[None])
        return model.module.get_encoder().subsampling(mel[:, : len(wave) // 160])[0]
    if model.family == "wav2vec2-bert":  # each bin is normalised over time: leave that out
        options = {"do_normalize_per_mel_bins": False, "return_tensors": "pt"}
        return model.processor(wave, sampling_rate=RATE_HZ, **options).input_features[0]
    if model.family == "moonshine":  # its group norm is over time: left out
        encoder, frames = model.module.get_encoder(), torch.from_numpy(wave)[None, None]
        gelu = torch.nn.functional.gelu
        frames = gelu(encoder.conv2(torch.tanh(encoder.conv1(frames))))
        return gelu(encoder.conv3(frames))[0].T
    extractor = model.module.base_model.feature_extractor
    for layer in extractor.conv_layers:
        if isinstance(getattr(layer, "layer_norm", None), torch.nn.GroupNorm):
            layer.layer_norm = torch.nn.Identity()  # normalises over time: every frame would move
    frames = extractor(torch.from_numpy(wave)[None])
    if model.family == "sew":
        frames = model.module.encoder.pool(frames)
    return frames[0].T


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_an_impulse_moves_exactly_the_frames_that_see_it(family):
    model = tiny_model(family)
    grid = frame_grid(model)
    rng = np.random.default_rng(0)
    wave = rng.normal(scale=0.1, size=RATE_HZ).astype(np.float32)
    before = front_end(model, wave)
    for sample in [3799, 3800, 5000, 5120, 5121, 5280, 5319, 5439, 7777]:
        moved = wave.copy()
        moved[sample] += 0.5
        changed = (front_end(model, moved) - before).abs().amax(dim=1) > 0
        sees = [
            start <= sample < stop
            for start, stop in map(grid.samples, range(grid.count(len(wave))))
        ]
        if family == "whisper":  # the first sample of a Hann window weighs nothing
            sees = [saw and sample != grid.samples(frame)[0] for frame, saw in enumerate(sees)]
        if family.startswith("parakeet"):  # its last one neither: both ends of the window are 0
            sees = [saw and sample != grid.samples(frame)[1] - 1 for frame, saw in enumerate(sees)]
        np.testing.assert_array_equal(changed[: len(sees)].numpy(), sees)


@pytest.mark.parametrize("family", [name for name in FAMILIES if "whisper" not in name])
@torch.no_grad()
def test_count_equals_the_model_s(family):
    model = tiny_model(family)
    for samples in [1040, 1359, 1360, 16000, 16001, 23456]:
        wave = np.random.default_rng(0).normal(size=samples).astype(np.float32)
        states = hidden_states(model, wave)
        assert frame_grid(model).count(samples) == len(states.times_s) == states.values.shape[1]


@torch.no_grad()
def test_parakeet_counts_whole_windows_and_cut_inputs_are_masked_ones():
    """Its mask holds n // 160 windows, of which eight make a frame, the last with what is left."""
    model = tiny_model("parakeet_ctc")
    for samples in [400, 1279, 1280, 1439, 1440, 16000, 16159]:
        wave = np.random.default_rng(0).normal(scale=0.1, size=samples).astype(np.float32)
        count = -(-(samples // 160) // 8)
        assert frame_grid(model).count(samples) == count
        found = hidden_states(model, wave).values[-1]
        masked = model.processor(wave, sampling_rate=RATE_HZ, return_tensors="pt")
        output = model.module.encoder(**masked)
        assert int(output.attention_mask.sum()) == count == len(found)
        torch.testing.assert_close(found, output.last_hidden_state[0, :count])


def test_numbers_every_reader_meets():
    grid = frame_grid(tiny_model("wav2vec2"))
    assert grid == FrameGrid(stride=320, field=400, offset=200, padded=False)
    assert grid.count(RATE_HZ) == 49
    assert grid.count(399) == 0
    np.testing.assert_allclose(grid.times_s(3), [0.0125, 0.0325, 0.0525])
    whisper = frame_grid(tiny_model("whisper"))
    assert whisper.count(30 * RATE_HZ) == 1500
    np.testing.assert_allclose(whisper.times_s(2, first=1), [0.02, 0.04])


def test_grid_of_two_convolutions_by_hand():
    # Kernel 3 step 2, then kernel 2 step 3: output 1 sees inputs 3 and 4, samples 6 to 10.
    grid = convolution_grid([3, 2], [2, 3])
    assert (grid.stride, grid.field) == (6, 5)
    assert grid.samples(1) == (6, 11)


def test_adjacent_intervals_share_no_frame_and_lose_none():
    times_s = frame_grid(tiny_model("wav2vec2")).times_s(200)
    rng = np.random.default_rng(1)
    bounds_s = np.concatenate([[0.0], np.sort(rng.uniform(0, 4.0, 30)), [4.1]])
    found = [frames_in(times_s, a, b) for a, b in itertools.pairwise(bounds_s)]
    assert np.concatenate([np.arange(s.start, s.stop) for s in found]).tolist() == list(range(200))


def test_a_frame_on_the_boundary_belongs_to_what_begins():
    times_s = 0.02 * np.arange(50)
    assert frames_in(times_s, 0.1, 0.1 + 0.2) == slice(5, 15)  # 0.1 + 0.2 is a little over 0.3
    assert frames_in(times_s, 0.3, 0.5) == slice(15, 25)
    assert frames_in(times_s, 0.301, 0.319) == slice(16, 16)


def test_reversed_interval_is_refused():
    with pytest.raises(ValueError, match="expected 0 <= start_s <= end_s, got 2 and 1"):
        frames_in(np.arange(3.0), 2, 1)
