"""What does silence after a sound change, and through which part of the model?

wav2vec2-base and HuBERT-base have two ways for it to act on the frames before it: the normalisation
of the first convolution over time, and the attention to the new frames. Each can be shut alone.
"""

from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor, nn

from speech_interp.speech.audio import check_wave
from speech_interp.states.frames import frame_grid
from speech_interp.states.hidden_states import brought_back, convolutions_of, encoder_of, placed


def padding_change(
    model,
    wave: Float[ndarray, " sample"],
    added_s: float,
    *,
    norm_of_speech: bool = False,
    attend_to_speech: bool = False,
) -> float:
    """Return how far the last layer's frames of the speech move when zeros follow the sound.

    As a share of their own length, mean over frames. `norm_of_speech` keeps the statistics of the
    first normalisation those of the speech alone; `attend_to_speech` hides the new frames from
    positional convolution and attention. Models whose first convolution is normalised over time.
    """
    norm = _norm_over_time(model)
    padded = np.concatenate([wave, np.zeros(round(added_s * 16_000), np.float32)])
    plain = _last_layer(model, wave)
    mask = torch.zeros(1, len(padded), dtype=torch.long)
    mask[:, : len(wave)] = 1
    with _statistics_of(norm, model, wave) if norm_of_speech else nullcontext():
        moved = _last_layer(model, padded, mask if attend_to_speech else None)
    change = (moved[: len(plain)] - plain).norm(dim=1) / plain.norm(dim=1)
    return float(change.mean())


@torch.no_grad()
def _last_layer(model, wave: ndarray, mask: Tensor | None = None) -> Float[Tensor, "frame unit"]:
    # The scale of the wave is left as it is: zeros would change that too, for models that have it.
    check_wave(wave)
    inputs = placed(model, torch.tensor(wave, dtype=torch.float32))[None]
    mask = None if mask is None else mask.to(inputs.device)
    states = encoder_of(model)(inputs, attention_mask=mask).last_hidden_state[0]
    return brought_back(states[: frame_grid(model).count(len(wave))])


def _norm_over_time(model) -> nn.GroupNorm:
    first = convolutions_of(model).get_submodule("conv_layers.0")
    norm = getattr(first, "layer_norm", None)
    if not isinstance(norm, nn.GroupNorm):
        raise ValueError(
            f"this {model.family} model does not normalise its first convolution over time"
        )
    return norm


@contextmanager
def _statistics_of(norm: nn.GroupNorm, model, wave: ndarray):
    """Within, `norm` takes mean and variance of each channel from what it gets for `wave` alone."""
    kept = {}

    def note(module, args, output):
        kept["mean"] = args[0].mean(dim=-1, keepdim=True)
        kept["spread"] = (args[0].var(dim=-1, keepdim=True, unbiased=False) + module.eps).sqrt()

    handle = norm.register_forward_hook(note)
    _last_layer(model, wave)
    handle.remove()

    def replace(module, args, output):
        scaled = (args[0] - kept["mean"]) / kept["spread"]
        return scaled * module.weight[:, None] + module.bias[:, None]

    handle = norm.register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()
