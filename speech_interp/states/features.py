"""Features that no network has learnt: the floor that every layer must beat."""

import torch
import torchaudio

from speech_interp.speech.audio import RATE_HZ, AnyWave, as_array, check_wave
from speech_interp.states.frames import FrameGrid
from speech_interp.states.hidden_states import HiddenStates

# The windows of the convolutions of wav2vec2 and HuBERT: frame k sees the same 25 ms in both.
GRID = FrameGrid(stride=320, field=400, offset=200, padded=False)


def mfcc(wave: AnyWave, *, coefficients: int = 13) -> HiddenStates:
    """Return MFCCs, their slopes and the slopes of those, as the one layer of hidden states.

    Units: `coefficients` x 3 (slopes over five frames). Mean over a phone with `pool`.
    """
    wave = as_array(wave)
    check_wave(wave)
    mel = {"n_fft": 512, "win_length": 400, "hop_length": 320, "n_mels": 40, "center": False}
    transform = torchaudio.transforms.MFCC(RATE_HZ, n_mfcc=coefficients, melkwargs=mel)
    # torchaudio centres a window of 400 samples in its 512: half the difference on either side.
    sound = torch.nn.functional.pad(torch.as_tensor(wave).float(), (56, 56))
    cepstra = transform(sound)  # (coefficient, frame)
    slopes = torchaudio.functional.compute_deltas(cepstra)
    values = torch.cat([cepstra, slopes, torchaudio.functional.compute_deltas(slopes)]).T[None]
    return HiddenStates(values=values, times_s=GRID.times_s(values.shape[1]))
