"""Which stretch of sound a frame stands for, exactly, from the arithmetic of the convolutions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, log2
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from speech_interp.models.families import encoder_config, family_of
from speech_interp.models.processors import extractor_of
from speech_interp.speech.audio import RATE_HZ


@dataclass(frozen=True)
class FrameGrid:
    """Frame k sees `field` samples around sample `offset + k * stride`, its centre."""

    stride: int  # samples from one frame to the next
    field: int  # samples a frame sees: its receptive field
    offset: float  # centre of frame 0, in samples
    padded: bool  # True if frames may reach over the edges of the sound, into padding
    hop: int = 1  # samples: only whole hops of the sound make frames of padded ones

    def count(self, sample_count: int) -> int:
        """How many frames a sound of `sample_count` samples has."""
        if self.padded:
            return ceil(sample_count // self.hop * self.hop / self.stride)
        return max(0, (sample_count - self.field) // self.stride + 1)

    def times_s(self, frame_count: int, *, first: int = 0) -> Float[ndarray, " frame"]:
        """Centres of `frame_count` frames from frame `first` on, in seconds."""
        return (self.offset + self.stride * np.arange(first, first + frame_count)) / RATE_HZ

    def samples(self, frame: int) -> tuple[int, int]:
        """First and one-past-last sample that `frame` sees; negative before the sound begins."""
        start = round(self.offset + frame * self.stride - self.field / 2)
        return start, start + self.field


def frame_grid(model) -> FrameGrid:
    """The frame grid of a loaded model of any family, read from its own configuration."""
    return GRIDS[family_of(model.family).grid](model.module.config, extractor_of(model))


def head_grid(model) -> FrameGrid:
    """The grid of what a CTC head says: another than that of the layers in SEW alone."""
    family = family_of(model.family)
    return GRIDS[family.head_grid or family.grid](model.module.config, extractor_of(model))


def convolution_grid(kernels: Sequence[int], strides: Sequence[int]) -> FrameGrid:
    """The grid of unpadded convolutions one after the other: wav2vec2 and its descendants.

    A layer of kernel k widens the field by (k - 1) steps of its input; each stride multiplies
    the step: strides 5,2,2,2,2,2,2 make 320 samples, kernels 10,3,3,3,3,2,2 make 400.
    """
    step, field = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        field += (kernel - 1) * step
        step *= stride
    return FrameGrid(stride=step, field=field, offset=field / 2, padded=False)


def _mel_grid(feature_extractor) -> FrameGrid:
    """The grid of Whisper's encoder: mel windows centred on multiples of the hop, then two
    convolutions of kernel 3, the second of stride 2, padded so that frame 0 is centred on 0 s."""
    hop, window = feature_extractor.hop_length, feature_extractor.n_fft
    reach = 1 + 1  # mel frames to either side: one for each convolution
    return FrameGrid(stride=2 * hop, field=2 * reach * hop + window, offset=0.0, padded=True)


def _filterbank_grid(feature_extractor) -> FrameGrid:
    """The grid of w2v-BERT: `stride` windows of 25 ms, 10 ms apart, are stacked to one frame."""
    hop, window, stacked = 160, 400, feature_extractor.stride
    field = (stacked - 1) * hop + window
    return FrameGrid(stride=stacked * hop, field=field, offset=field / 2, padded=False)


def _parakeet_grid(config, feature_extractor) -> FrameGrid:
    """The grid of Parakeet's encoder: windows centred on multiples of the hop, then convolutions
    of stride 2, padded so that frame 0 is centred on 0 s. The window's two ends weigh nothing, and
    the pre-emphasis brings in the sample before it: of the field, only the last is never seen."""
    stacked, reach = config.subsampling_factor, 0  # in windows to either side
    for step in range(int(log2(stacked))):
        reach += config.subsampling_conv_kernel_size // 2 * 2**step
    hop, window = feature_extractor.hop_length, feature_extractor.win_length
    field = 2 * reach * hop + window
    return FrameGrid(stride=stacked * hop, field=field, offset=0.0, padded=True, hop=hop)


def _squeezed(config) -> FrameGrid:
    """The grid within SEW's Transformer, which averages neighbours and parts them only after it."""
    squeeze = config.squeeze_factor
    return convolution_grid([*config.conv_kernel, squeeze], [*config.conv_stride, squeeze])


GRIDS: dict[str, Callable[[Any, Any], FrameGrid]] = {  # of the configuration and the extractor
    "convolutions": lambda config, _: convolution_grid(config.conv_kernel, config.conv_stride),
    "squeezed convolutions": lambda config, _: _squeezed(config),
    "filterbank": lambda _, extractor: _filterbank_grid(extractor),
    # Kernels and strides of Moonshine are no part of its configuration.
    "moonshine": lambda *_: convolution_grid([127, 7, 3], [64, 3, 2]),
    "parakeet": lambda config, extractor: _parakeet_grid(encoder_config(config), extractor),
    "whisper": lambda _, extractor: _mel_grid(extractor),
}


def frames_in(times_s: Float[ndarray, " frame"], start_s: float, end_s: float) -> slice:
    """The frames whose centre lies in [start_s, end_s): adjacent intervals share no frame.

    May be empty: a phone can be shorter than the 20 ms between two frames.
    """
    if not 0 <= start_s <= end_s:
        raise ValueError(f"expected 0 <= start_s <= end_s, got {start_s} and {end_s}")
    # Half a sample of slack: times such as 0.1 + 0.2 must fall on the side they were meant to.
    slack = 0.5 / RATE_HZ
    first, stop = np.searchsorted(times_s, [start_s - slack, end_s - slack])
    return slice(int(first), int(stop))
