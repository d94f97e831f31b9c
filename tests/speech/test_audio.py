"""Every kind of file ends in the right wave or in one named error."""

import io
import resource
import wave as wave_module

import numpy as np
import pytest
import soundfile as sf

from speech_interp.speech import audio
from speech_interp.speech.audio import load_audio


def tone(seconds=1.0, rate_hz=16000, hz=440.0):
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate_hz)) / rate_hz)


def encoded(samples, rate_hz=16000, **options) -> bytes:
    file = io.BytesIO()
    sf.write(file, samples, rate_hz, **{"format": "WAV", "subtype": "PCM_16"} | options)
    return file.getvalue()


@pytest.mark.parametrize(
    "options",
    [
        {"subtype": "PCM_16"}, {"subtype": "PCM_24"}, {"subtype": "PCM_32"}, {"subtype": "PCM_U8"},
        {"subtype": "FLOAT"}, {"subtype": "DOUBLE"}, {"format": "FLAC"}, {"subtype": "ULAW"},
    ],
)  # fmt: skip
def test_sample_formats_agree(options):
    wave = load_audio(encoded(tone(), **options))
    assert wave.dtype == np.float32 and wave.shape == (16000,)
    worst = {"PCM_U8": 0.01, "ULAW": 0.02}.get(options.get("subtype"), 1e-4)
    np.testing.assert_allclose(wave, tone(), atol=worst)


@pytest.mark.parametrize("options", [{"format": "OGG", "subtype": "VORBIS"}, {"format": "MP3"}])
def test_lossy_formats_keep_the_tone(options):
    options = {"subtype": None} | options
    wave = load_audio(encoded(tone(), **options))
    spectrum = np.abs(np.fft.rfft(wave[2000:14000]))
    assert np.fft.rfftfreq(12000, 1 / 16000)[spectrum.argmax()] == pytest.approx(440, abs=2)


@pytest.mark.parametrize("rate_hz", [8000, 11025, 22050, 44100, 48000])
def test_any_rate_becomes_16_khz(rate_hz):
    wave = load_audio(encoded(tone(rate_hz=rate_hz), rate_hz))
    assert len(wave) == pytest.approx(16000, abs=2)
    inner = slice(400, 15600)
    np.testing.assert_allclose(wave[inner], tone()[inner], atol=0.01)


def test_stereo_is_averaged():
    stereo = np.stack([tone(), np.zeros(16000)], axis=1)
    np.testing.assert_allclose(load_audio(encoded(stereo)), tone() / 2, atol=1e-4)


def test_path_and_bytes_agree(tmp_path):
    path = tmp_path / "tone.wav"
    path.write_bytes(encoded(tone()))
    np.testing.assert_array_equal(load_audio(path), load_audio(path.read_bytes()))
    np.testing.assert_array_equal(load_audio(str(path)), load_audio(path))


def broken_pcm() -> bytes:
    samples = tone().astype(np.float32)
    samples[[5, 70]] = np.nan, np.inf
    return encoded(samples, subtype="FLOAT")


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"not a sound", audio.UnreadableAudioError, "not a sound file"),
        (encoded(np.zeros(0)), audio.EmptyAudioError, "no samples"),
        (encoded(np.zeros(16000)), audio.SilentAudioError, "silent"),
        (broken_pcm(), audio.NotFiniteAudioError, "2 of 16000 samples"),
        (encoded(tone(0.02)), audio.TooShortAudioError, "20.0 ms, expected at least 25 ms"),
    ],
)
def test_named_errors(content, error, message):
    with pytest.raises(error, match=message):
        load_audio(content)
    assert issubclass(error, audio.AudioError)


def test_too_long_is_refused_before_decoding():
    with pytest.raises(audio.TooLongAudioError, match="3 s of audio, expected at most 2 s"):
        load_audio(encoded(tone(3.0)), longest_s=2)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.wav: no such file"):
        load_audio(tmp_path / "nothing.wav")


def test_samples_without_a_header_are_no_sound_file(tmp_path):
    (tmp_path / "samples.raw").write_bytes(bytes(32000))
    with pytest.raises(audio.UnreadableAudioError, match=r"samples\.raw: not a sound file"):
        load_audio(tmp_path / "samples.raw")


def test_truncated_file_ends_early_or_is_refused():
    content = encoded(tone(), format="FLAC")
    try:
        assert 0 < len(load_audio(content[: len(content) // 2])) < 16000
    except audio.AudioError:
        pass


def test_half_a_second_of_8_khz():
    assert len(load_audio(encoded(tone(0.5, 8000), 8000))) == pytest.approx(8000, abs=2)


@pytest.mark.slow
def test_an_hour_of_stereo_stays_in_memory(tmp_path):
    path, rate_hz, seconds = tmp_path / "hour.wav", 16000, 3600
    minute = (np.stack([tone(60.0), tone(60.0)], axis=1) * 32767).astype(np.int16).tobytes()
    with wave_module.open(str(path), "wb") as file:
        file.setnchannels(2), file.setsampwidth(2), file.setframerate(rate_hz)
        for _ in range(60):
            file.writeframes(minute)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wave = load_audio(path)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert len(wave) == seconds * rate_hz
    assert grown_mb < 3.5 * wave.nbytes / 2**20, grown_mb  # blocks, their sum, one check
