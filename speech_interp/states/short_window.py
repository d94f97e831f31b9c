"""Whisper on less than its 30 seconds: ten times faster for sounds of a second.

The encoder was trained on windows of 30 s, silence included, and nobody promises that its states
stay as they are without the silence: compare the two on some of your sounds before you rely on it.
"""

from collections.abc import Callable

from jaxtyping import Float
from numpy import ndarray

from speech_interp.speech.audio import RATE_HZ, TooLongAudioError, as_array
from speech_interp.states.frames import frame_grid
from speech_interp.states.hidden_states import (
    WHISPER_WINDOW_S,
    HiddenStates,
    encoder_of,
    hidden_states,
)


def short_window(model, *, window_s: float) -> Callable[[Float[ndarray, " sample"]], HiddenStates]:
    """Return a function from a wave to its states, as `hidden_states`, in a window of `window_s`.

    What lies after `window_s` seconds is cut off before the convolutions, and the positions with
    it: no layer sees the silence behind. For `collect` in place of a model.

    Raises ValueError for a family other than Whisper and for a window that is over 30 s or no whole
    number of frames; the function raises TooLongAudioError for a wave longer than the window.
    """
    if model.family != "whisper":
        raise ValueError(
            f"family is {model.family!r}, expected 'whisper': no other pads its sounds to a window"
        )
    stride = frame_grid(model).stride
    frame_count = round(window_s * RATE_HZ / stride) if 0 < window_s <= WHISPER_WINDOW_S else 0
    if not frame_count or abs(frame_count * stride - window_s * RATE_HZ) > 0.5:
        raise ValueError(
            f"window_s is {window_s}, expected a multiple of {stride / RATE_HZ} s up to "
            f"{WHISPER_WINDOW_S:.0f} s"
        )

    def crop_mel(_, args):  # (1, bin, mel frame), two of which make a frame
        return (args[0][..., : 2 * frame_count],)

    def crop_positions(_, args):
        return (args[0][:frame_count],)

    def states_in_window(wave: Float[ndarray, " sample"]) -> HiddenStates:
        wave = as_array(wave)
        if len(wave) > frame_count * stride:
            raise TooLongAudioError(
                f"wave: {len(wave) / RATE_HZ:.2f} s, the window takes at most {window_s} s"
            )
        encoder = encoder_of(model)
        hooks = [
            encoder.get_submodule("conv1").register_forward_pre_hook(crop_mel),
            encoder.get_submodule("embed_positions").register_forward_pre_hook(crop_positions),
        ]
        try:
            return hidden_states(model, wave)
        finally:
            for hook in hooks:
                hook.remove()

    return states_in_window
