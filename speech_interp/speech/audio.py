"""From any sound file to what the models eat: mono, float32, 16 kHz."""

import contextlib
import io
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path

import numpy as np
import soundfile as sf
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor
from torchaudio.functional import resample

RATE_HZ = 16000
AnyWave = Float[ndarray, " sample"] | Float[Tensor, " sample"]  # where waves come in
SHORTEST_SAMPLES = 400  # one frame of wav2vec2 and HuBERT: 25 ms
LONGEST_S = 2 * 3600.0
SILENCE = 1e-4  # peak amplitude, -80 dB of full scale: below the last bits of 16-bit PCM
# Peaks of a float file may lie somewhat above 1. Above 16, 24 dB over full scale, nothing is in
# [-1, 1]; and what peaks below 16 in the range of 16-bit integers, -66 dB, is silence.
LOUDEST = 16.0
CANCELS = 1e-3  # the average of channels keeps 1 / channels of the energy where they are unlike
# How files begin that phones write and soundfile does not read: (offset, bytes).
_PHONES = (
    (4, b"ftyp"), (0, b"\xff\xf1"), (0, b"\xff\xf9"), (0, b"\x1a\x45\xdf\xa3"), (0, b"#!AMR"),
    (0, b"\x30\x26\xb2\x75"),
)  # fmt: skip


class AudioError(ValueError):
    """Sound that no model can work with; the message says what came and what was expected."""


class UnreadableAudioError(AudioError):
    """Not a sound file, or damaged."""


class EmptyAudioError(AudioError):
    """No samples at all."""


class SilentAudioError(AudioError):
    """Nothing above `SILENCE`."""


class CancellingAudioError(SilentAudioError):
    """Channels that leave nothing when they are averaged: one of them is to be chosen."""


class ScaleAudioError(AudioError):
    """Floats far outside [-1, 1], such as 16-bit integers that were only converted."""


class NotFiniteAudioError(AudioError):
    """NaN or infinite samples."""


class TooShortAudioError(AudioError):
    """Less than one frame."""


class TooLongAudioError(AudioError):
    """More than the caller allows."""


def load_audio(
    source: str | PathLike | bytes,
    *,
    rate_hz: int = RATE_HZ,
    longest_s: float = LONGEST_S,
    channel: int | None = None,
) -> Float[ndarray, " sample"]:
    """The sound of a file, or of a file's bytes, as mono float32 in [-1, 1] at `rate_hz`.

    Reads whatever soundfile reads (WAV, FLAC, Ogg, Opus, MP3, ...) and, where PyAV is installed,
    what phones record (M4A, MP4, AAC, WebM, AMR, WMA); any rate, any number of channels, which are
    averaged unless `channel`, counted from 0, names one. Raises a named `AudioError` for sound that
    is unreadable, empty, silent, not finite, far outside [-1, 1], shorter than 25 ms, longer than
    `longest_s`, or whose channels cancel; `FileNotFoundError`.
    """
    name = "<bytes>" if isinstance(source, bytes) else str(source)
    if not isinstance(source, bytes) and not Path(source).is_file():
        raise FileNotFoundError(f"{name}: no such file")
    opened = _opened_by_av if _from_a_phone(source) else _opened_by_soundfile
    with opened(source, name, longest_s) as (file_rate_hz, blocks):
        wave = _mono(blocks, file_rate_hz, name, longest_s, channel)
    check_wave(wave, name=name, rate_hz=file_rate_hz)
    if not np.abs(wave).max() > SILENCE:
        raise SilentAudioError(f"{name}: silent, no sample above {SILENCE} of full scale")
    if file_rate_hz != rate_hz:
        wave = resample(torch.from_numpy(wave), file_rate_hz, rate_hz).numpy()
    return wave


def check_wave(wave: ndarray, *, name: str = "wave", rate_hz: int = RATE_HZ) -> None:
    """Raises a named `AudioError` unless `wave` is mono, finite, in scale, and 25 ms or longer."""
    if wave.ndim != 1:
        raise AudioError(f"{name}: expected mono, shape (sample,), got shape {wave.shape}")
    if wave.size == 0:
        raise EmptyAudioError(f"{name}: no samples")
    if not np.issubdtype(wave.dtype, np.floating):
        raise AudioError(f"{name}: expected floating point in [-1, 1], got {wave.dtype}")
    broken = wave.size - int(np.isfinite(wave).sum())
    if broken:
        raise NotFiniteAudioError(f"{name}: {broken} of {wave.size} samples are NaN or infinite")
    check_scale(wave, name=name)
    if wave.size / rate_hz < SHORTEST_SAMPLES / RATE_HZ:
        raise TooShortAudioError(
            f"{name}: {1000 * wave.size / rate_hz:.1f} ms, expected at least 25 ms (one frame)"
        )


def as_array(wave: ndarray | Tensor) -> ndarray:
    """The samples of an array or a tensor as an array, in the same memory where possible."""
    return wave.detach().cpu().numpy() if isinstance(wave, Tensor) else np.asarray(wave)


def check_scale(wave: ndarray | Tensor, *, name: str = "wave") -> None:
    """Raises `ScaleAudioError` for samples, of any shape, far outside [-1, 1].

    No later step would stop them: Whisper's states of 16-bit values are other states.
    """
    peak = float(wave.detach().abs().max() if isinstance(wave, Tensor) else np.abs(wave).max())
    if peak > LOUDEST:
        raise ScaleAudioError(
            f"{name}: its peak is {peak:.6g}, expected samples in [-1, 1]; 16-bit integers are "
            "divided by 32768"
        )


@contextlib.contextmanager
def _opened_by_soundfile(
    source: str | PathLike | bytes, name: str, longest_s: float
) -> Iterator[tuple[int, Iterator[Float[ndarray, "_time _channel"]]]]:
    try:
        with sf.SoundFile(io.BytesIO(source) if isinstance(source, bytes) else source) as file:
            # Some formats do not know their length; then the blocks decide.
            if 0 < file.frames < 2**62 and file.frames / file.samplerate > longest_s:
                raise _too_long(name, file.frames / file.samplerate, longest_s)
            yield file.samplerate, _blocks(file)
    except (sf.LibsndfileError, TypeError) as error:  # TypeError: .raw, of which nothing is known
        raise UnreadableAudioError(f"{name}: not a sound file soundfile reads ({error})") from error


def _blocks(file: sf.SoundFile) -> Iterator[Float[ndarray, "_time _channel"]]:
    while len(block := file.read(10 * file.samplerate, dtype="float32", always_2d=True)):
        yield block


@contextlib.contextmanager
def _opened_by_av(
    source: str | PathLike | bytes, name: str, longest_s: float
) -> Iterator[tuple[int, Iterator[Float[ndarray, "_time _channel"]]]]:
    try:
        import av
    except ImportError:
        raise UnreadableAudioError(
            f"{name}: sound as phones record it needs PyAV, which is not installed: pip install av"
        ) from None
    try:
        with av.open(io.BytesIO(source) if isinstance(source, bytes) else str(source), "r") as file:
            if not file.streams.audio:
                raise UnreadableAudioError(
                    f"{name}: no sound in it, only {len(file.streams)} others"
                )
            stream = file.streams.audio[0]
            to_float = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
            floats = (f for frame in file.decode(stream) for f in to_float.resample(frame))
            yield stream.rate, (frame.to_ndarray().T for frame in floats)
    except av.FFmpegError as error:
        raise UnreadableAudioError(f"{name}: PyAV cannot read it ({error})") from error


def _from_a_phone(source: str | PathLike | bytes) -> bool:
    if isinstance(source, bytes):
        head = source[:16]
    else:
        with Path(source).open("rb") as file:
            head = file.read(16)
    return any(head[at:].startswith(mark) for at, mark in _PHONES)


def _mono(
    blocks: Iterable[Float[ndarray, "_time _channel"]],
    rate_hz: int,
    name: str,
    longest_s: float,
    channel: int | None,
) -> Float[ndarray, " sample"]:
    """One channel or the mean of all, block by block: an hour of stereo is never held whole."""
    kept, samples, energy, peak = [], 0, 0.0, 0.0
    for block in blocks:
        if channel is not None and not 0 <= channel < block.shape[1]:
            raise AudioError(f"{name}: channel {channel}, expected 0 to {block.shape[1] - 1}")
        kept.append(block.mean(axis=1) if channel is None else block[:, channel].copy())
        samples += len(block)
        energy += float(np.square(block).mean(axis=1).sum())
        peak = max(peak, float(np.abs(block).max()))
        if samples / rate_hz > longest_s:
            raise _too_long(name, samples / rate_hz, longest_s)
    if not kept:
        return np.zeros(0, dtype=np.float32)
    wave = np.concatenate(kept)
    if channel is None and peak > SILENCE and float(wave @ wave) < CANCELS * energy:
        raise CancellingAudioError(
            f"{name}: its {block.shape[1]} channels cancel when they are averaged; choose one, "
            "such as channel=0"
        )
    return wave


def _too_long(name: str, seconds: float, longest_s: float) -> TooLongAudioError:
    return TooLongAudioError(
        f"{name}: at least {seconds:.0f} s of audio, expected at most {longest_s:.0f} s; "
        "raise longest_s if you mean it"
    )
