"""What every layer says about every frame, for every model family, under one layer convention.

Layer 0 is what enters the first Transformer layer, layer k the output of the k-th. Read with
hooks on the unmodified model, because `output_hidden_states` means different things in different
families (Whisper's last entry has already passed the final layer norm).

Utterances go through one at a time, on purpose: wav2vec2-base and HuBERT-base normalise over time
and take no mask, so padding a batch would change every frame of its shorter utterances.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor, nn

from speech_interp.models.families import family_of
from speech_interp.speech.audio import RATE_HZ, TooLongAudioError, as_array, check_wave
from speech_interp.states.frames import frame_grid, frames_in
from speech_interp.states.layer_parts import widened

WHISPER_WINDOW_S = 30.0
LONGEST_PASS_S = 120.0  # attention grows with the square of the duration


@dataclass(frozen=True)
class HiddenStates:
    """The states of one utterance, with the centre of each frame in seconds."""

    values: Float[Tensor, "layer frame unit"]
    times_s: Float[ndarray, " frame"]
    padding_frames: int = 0  # frames of Whisper's 30 s window after the speech, cropped away

    @property
    def padding_share(self) -> float:
        """Share of the frames the encoder worked on that were padding, 0 to 1."""
        return self.padding_frames / (self.padding_frames + len(self.times_s))

    def frames_in(self, interval) -> slice:
        """The frames whose centre lies in the interval (anything with start_s and end_s)."""
        return frames_in(self.times_s, interval.start_s, interval.end_s)


def hidden_states(model, wave: ndarray | Tensor) -> HiddenStates:
    """The states of all layers for a mono 16 kHz wave (sample,), Whisper's cropped to the speech.

    Raises a named `AudioError` for a wave that is not mono, not finite, under 25 ms, or too long
    for one pass (30 s for Whisper, 120 s else): then use `stream_hidden_states`.
    """
    wave = as_array(wave)
    values = _all_layers(model, model_inputs(model, wave))
    grid = frame_grid(model)
    frame_count = grid.count(len(wave))
    return HiddenStates(
        values=values[:, :frame_count].clone() if grid.padded else values,
        times_s=grid.times_s(frame_count),
        padding_frames=values.shape[1] - frame_count,
    )


def stream_hidden_states(
    model, wave: ndarray | Tensor, *, window_s: float = 20.0, context_s: float = 4.0
) -> Iterator[HiddenStates]:
    """The states of a long wave (sample,) piece by piece: each frame once, in bounded memory.

    Each pass sees `window_s` of sound and `context_s` more on either side. No model saw more than
    some 30 s at once in training, so this is how long recordings are meant to be read; but a
    frame's state depends on the window it was computed in, and differs from a single long pass.
    """
    wave = as_array(wave)
    check_wave(wave)
    if window_s < 1 or context_s < 0.1:
        raise ValueError(
            f"expected window_s >= 1 and context_s >= 0.1, got {window_s} and {context_s}"
        )
    if model.family == "whisper" and window_s + 2 * context_s > WHISPER_WINDOW_S:
        raise ValueError(f"Whisper sees 30 s: {window_s} s and twice {context_s} s are more")
    grid = frame_grid(model)
    window, context = (round(s * RATE_HZ / grid.stride) for s in (window_s, context_s))
    total = grid.count(len(wave))
    for first in range(0, total, window):
        last = min(first + window, total)
        before = max(0, first - context)
        # Pieces start on the grid, so their frames are frames of the whole.
        reach = 0 if grid.padded else grid.field
        end = min(len(wave), (last + context) * grid.stride + reach)
        piece = hidden_states(model, wave[before * grid.stride : end])
        yield HiddenStates(
            values=piece.values[:, first - before : last - before].clone(),
            times_s=grid.times_s(last - first, first=first),
            padding_frames=piece.padding_frames,
        )


def pool(states: HiddenStates, intervals: Sequence) -> Float[Tensor, "layer item unit"]:
    """The mean state over the frames of each interval: phones, words, or the whole utterance.

    An interval too short to hold the centre of a frame takes the frame nearest to its middle.
    Raises `ValueError` for an interval beyond the last frame.
    """
    if not len(intervals):
        raise ValueError("intervals: got none, expected at least one")
    spans = [frames_or_nearest(states, interval) for interval in intervals]
    values = states.values  # a mean in half precision would be rounded anew
    values = values if values.dtype == torch.float64 else values.float()
    return torch.stack([values[:, frames].mean(dim=1) for frames in spans], dim=1)


def frames_or_nearest(states: HiddenStates, interval) -> slice:
    """The frames of an interval, or the one frame nearest to its middle; never empty.

    Raises `ValueError` for an interval beyond the last frame.
    """
    frames = states.frames_in(interval)
    if frames.start < frames.stop:
        return frames
    middle_s = (interval.start_s + interval.end_s) / 2
    nearest = int(np.abs(states.times_s - middle_s).argmin())
    # The last frames of wav2vec2 end up to 25 ms before the sound does.
    if abs(states.times_s[nearest] - middle_s) > 0.04:
        raise ValueError(
            f"interval {interval.start_s:.3f}-{interval.end_s:.3f} s lies outside the frames, "
            f"{states.times_s[0]:.3f}-{states.times_s[-1]:.3f} s"
        )
    return slice(nearest, nearest + 1)


def model_inputs(model, wave: ndarray | Tensor) -> Tensor:
    """What the encoder takes: the normalised wave (1, sample), Whisper's mel (1, bin, frame),
    w2v-BERT's stacked filterbank and Parakeet's (1, frame, bin).

    Raises TooLongAudioError for what one pass does not take, which Whisper's extractor would cut
    off, and another `AudioError` for what is no wave in [-1, 1].
    """
    wave = as_array(wave)
    check_wave(wave)
    family = family_of(model.family)
    longest_s = family.longest_s
    if len(wave) / RATE_HZ > longest_s:
        raise TooLongAudioError(
            f"wave: {len(wave) / RATE_HZ:.1f} s, one pass takes at most {longest_s:.0f} s; "
            "cut it, or use stream_hidden_states"
        )
    features = model.processor(wave, sampling_rate=RATE_HZ, return_tensors="pt")
    inputs = features[family.inputs]
    if family.grid == "filterbank":  # a last frame that is half padding is none of the sound
        inputs = inputs[:, : frame_grid(model).count(len(wave))]
    if family.grid == "parakeet":  # one window more than its mask holds
        inputs = inputs[:, : int(features["attention_mask"].sum())]
    return placed(model, inputs)


def device_of(model) -> torch.device:
    """Where the model is: what goes into its module goes there, and what we return comes back."""
    return next(model.module.parameters()).device


def placed(model, values: Tensor) -> Tensor:
    """Return values where the model is and in its precision, with gradients."""
    return values.to(next(model.module.parameters()))


def brought_back(values: Tensor) -> Tensor:
    """Return what a module gave as its results are given: on the CPU, half precision as float32."""
    return widened(values).cpu()


def encoder_of(model) -> nn.Module:
    """The module that takes `model_inputs`: without the CTC head, without Whisper's decoder."""
    if family_of(model.family).by_get_encoder:
        return model.module.get_encoder()
    return model.module.base_model


def encoder_layers(model) -> nn.ModuleList:
    """The Transformer layers of the encoder, in order."""
    layers = encoder_of(model).get_submodule(family_of(model.family).layers)
    assert isinstance(layers, nn.ModuleList)
    return layers


def convolutions_of(model) -> nn.Module:
    """The convolutions over the wave, from (batch, sample) to (batch, channel, frame).

    Raises ValueError for a family whose front end is not one module, as that of wav2vec2 is.
    """
    convolutions = getattr(encoder_of(model), "feature_extractor", None)
    if convolutions is None:
        raise ValueError(
            f"family is {model.family!r}, expected one with convolutions over the wave in one "
            "module, such as wav2vec2"
        )
    return convolutions


@torch.no_grad()
def _all_layers(model, inputs: Tensor) -> Float[Tensor, "layer frame unit"]:
    """One forward pass; hooks take what enters the first layer and what leaves every layer."""
    taken = []

    def take_input(_, args, kwargs):
        taken.append(args[0] if args else kwargs["hidden_states"])

    def take_output(_, args, output):
        taken.append(output[0] if isinstance(output, tuple) else output)  # WavLM gives a tuple

    layers = encoder_layers(model)
    hooks = [layers[0].register_forward_pre_hook(take_input, with_kwargs=True)]
    hooks += [layer.register_forward_hook(take_output) for layer in layers]
    try:
        encoder_of(model)(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.cat(taken).float().cpu()
