"""From any sound file to what the models eat: mono, float32, 16 kHz."""

import io
from os import PathLike
from pathlib import Path

import numpy as np
import soundfile as sf
import torch
from jaxtyping import Float
from numpy import ndarray
from torchaudio.functional import resample

RATE_HZ = 16000
SHORTEST_SAMPLES = 400  # one frame of wav2vec2 and HuBERT: 25 ms
LONGEST_S = 2 * 3600.0
SILENCE = 1e-4  # peak amplitude, -80 dB of full scale: below the last bits of 16-bit PCM


class AudioError(ValueError):
    """Sound that no model can work with; the message says what came and what was expected."""


class UnreadableAudioError(AudioError):
    """Not a sound file, or damaged."""


class EmptyAudioError(AudioError):
    """No samples at all."""


class SilentAudioError(AudioError):
    """Nothing above `SILENCE`."""


class NotFiniteAudioError(AudioError):
    """NaN or infinite samples."""


class TooShortAudioError(AudioError):
    """Less than one frame."""


class TooLongAudioError(AudioError):
    """More than the caller allows."""


def load_audio(
    source: str | PathLike | bytes, *, rate_hz: int = RATE_HZ, longest_s: float = LONGEST_S
) -> Float[ndarray, " sample"]:
    """The sound of a file, or of a file's bytes, as mono float32 in [-1, 1] at `rate_hz`.

    Reads whatever soundfile reads (WAV, FLAC, Ogg, Opus, MP3, ...), any rate, any number of
    channels, which are averaged. Raises a named `AudioError` for sound that is unreadable, empty,
    silent, not finite, shorter than 25 ms or longer than `longest_s`; `FileNotFoundError`.
    """
    name = "<bytes>" if isinstance(source, bytes) else str(source)
    if not isinstance(source, bytes) and not Path(source).is_file():
        raise FileNotFoundError(f"{name}: no such file")
    try:
        with sf.SoundFile(io.BytesIO(source) if isinstance(source, bytes) else source) as file:
            # Some formats do not know their length; then the blocks below decide.
            if 0 < file.frames < 2**62 and file.frames / file.samplerate > longest_s:
                raise _too_long(name, file.frames / file.samplerate, longest_s)
            wave = _read_mono(file, name, longest_s)
            file_rate_hz = file.samplerate
    except (sf.LibsndfileError, TypeError) as error:  # TypeError: .raw, of which nothing is known
        raise UnreadableAudioError(f"{name}: not a sound file soundfile reads ({error})") from error
    check_wave(wave, name=name, rate_hz=file_rate_hz)
    if not np.abs(wave).max() > SILENCE:
        raise SilentAudioError(f"{name}: silent, no sample above {SILENCE} of full scale")
    if file_rate_hz != rate_hz:
        wave = resample(torch.from_numpy(wave), file_rate_hz, rate_hz).numpy()
    return wave


def check_wave(wave: ndarray, *, name: str = "wave", rate_hz: int = RATE_HZ) -> None:
    """Raises a named `AudioError` unless `wave` is mono, finite and at least 25 ms long."""
    if wave.ndim != 1:
        raise AudioError(f"{name}: expected mono, shape (sample,), got shape {wave.shape}")
    if wave.size == 0:
        raise EmptyAudioError(f"{name}: no samples")
    if not np.issubdtype(wave.dtype, np.floating):
        raise AudioError(f"{name}: expected floating point in [-1, 1], got {wave.dtype}")
    broken = wave.size - int(np.isfinite(wave).sum())
    if broken:
        raise NotFiniteAudioError(f"{name}: {broken} of {wave.size} samples are NaN or infinite")
    if wave.size / rate_hz < SHORTEST_SAMPLES / RATE_HZ:
        raise TooShortAudioError(
            f"{name}: {1000 * wave.size / rate_hz:.1f} ms, expected at least 25 ms (one frame)"
        )


def _read_mono(file: sf.SoundFile, name: str, longest_s: float) -> Float[ndarray, " sample"]:
    """All samples, channels averaged block by block: an hour of stereo is never held whole."""
    blocks, seconds = [], 0.0
    while True:
        block = file.read(10 * file.samplerate, dtype="float32", always_2d=True)
        if not len(block):
            return np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)
        blocks.append(block.mean(axis=1))
        seconds += len(block) / file.samplerate
        if seconds > longest_s:
            raise _too_long(name, seconds, longest_s)


def _too_long(name: str, seconds: float, longest_s: float) -> TooLongAudioError:
    return TooLongAudioError(
        f"{name}: at least {seconds:.0f} s of audio, expected at most {longest_s:.0f} s; "
        "raise longest_s if you mean it"
    )
