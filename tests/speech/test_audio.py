"""Every kind of file ends in the right wave or in one named error."""

import io
import resource
import sys
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


def test_channels_that_cancel_are_said_to_cancel():
    """The average of a sound and its negative is no sound; either channel is."""
    stereo = np.stack([tone(), -tone()], axis=1)
    for options in ({}, {"subtype": "FLOAT"}, {"format": "MP3", "subtype": None}):
        content = encoded(stereo, **options)
        with pytest.raises(audio.CancellingAudioError, match=r"2 channels cancel.*channel=0"):
            load_audio(content)
    left, right = (load_audio(encoded(stereo), channel=k) for k in (0, 1))
    np.testing.assert_allclose(left, tone(), atol=1e-4)
    np.testing.assert_allclose(right, -tone(), atol=1e-4)
    almost = np.stack([tone(), -0.9 * tone()], axis=1)
    np.testing.assert_allclose(load_audio(encoded(almost)), 0.05 * tone(), atol=1e-4)
    with pytest.raises(audio.SilentAudioError, match="silent"):
        load_audio(encoded(np.zeros((16000, 2))))


@pytest.mark.parametrize(("channel", "last"), [(2, 1), (-1, 1)])
def test_channels_that_are_not_there(channel, last):
    with pytest.raises(audio.AudioError, match=f"channel {channel}, expected 0 to {last}"):
        load_audio(encoded(np.stack([tone(), tone()], axis=1)), channel=channel)


def test_floats_in_the_range_of_integers_are_refused():
    loud = (tone() * 32767).astype(np.float32)
    with pytest.raises(
        audio.ScaleAudioError, match=r"peak is 16383\.\d*, expected samples in \[-1"
    ):
        load_audio(encoded(loud, subtype="FLOAT"))
    quiet = encoded(2.5 * tone(), subtype="FLOAT")  # over full scale, as a limiter leaves it
    np.testing.assert_allclose(load_audio(quiet), 2.5 * tone(), atol=1e-4)
    whisper = loud / 1000  # a quiet recording: the peak is 16 of 32768
    with pytest.raises(audio.ScaleAudioError):
        audio.check_wave(whisper + 1, name="x")
    audio.check_wave(loud / 32768)


def phone_file(path, samples, rate_hz=44100, codec="aac", layout="mono", kind=None) -> bytes:
    """What a phone would write, encoded by PyAV: `samples` are (channel, time)."""
    av = pytest.importorskip("av", reason="PyAV is not installed")
    with av.open(str(path), "w", format=kind) as file:
        stream = file.add_stream(codec, rate=rate_hz)
        stream.layout = layout
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples, np.float32), format="fltp", layout=layout
        )
        frame.sample_rate, frame.pts = rate_hz, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    return path.read_bytes()


@pytest.mark.parametrize("ending", ["m4a", "mp4", "3gp"])
def test_what_phones_record(tmp_path, ending):
    """A tone that begins after half a second: pitch, level and time survive."""
    samples = tone(2.0, 44100)
    samples[:22050] = 0
    content = phone_file(tmp_path / f"a.{ending}", samples[None])
    for source in (tmp_path / f"a.{ending}", content):
        wave = load_audio(source)
        assert wave.dtype == np.float32 and len(wave) == pytest.approx(32000, abs=1100)
        begins = np.flatnonzero(np.abs(wave) > 0.2)[0]
        assert begins / 16000 == pytest.approx(0.5, abs=0.01)
        spectrum = np.abs(np.fft.rfft(wave[12000:28000]))
        assert spectrum.argmax() == pytest.approx(440, abs=1)
        assert np.abs(wave[12000:28000]).max() == pytest.approx(0.5, abs=0.02)


def test_stereo_of_a_phone(tmp_path):
    stereo = np.stack([tone(1.0, 48000), tone(1.0, 48000, 880.0)])
    content = phone_file(tmp_path / "a.m4a", stereo, 48000, layout="stereo")
    left, right, both = (load_audio(content, channel=k)[2000:14000] for k in (0, 1, None))
    assert np.abs(np.fft.rfft(left)).argmax() * 16000 / 12000 == pytest.approx(440, abs=2)
    assert np.abs(np.fft.rfft(right)).argmax() * 16000 / 12000 == pytest.approx(880, abs=2)
    np.testing.assert_allclose(both, (left + right) / 2, atol=1e-5)
    with pytest.raises(audio.TooLongAudioError):
        load_audio(content, longest_s=0.5)


def test_phone_files_that_are_damaged(tmp_path):
    content = phone_file(tmp_path / "a.m4a", tone(2.0, 44100)[None])
    with pytest.raises(audio.UnreadableAudioError, match="PyAV cannot read it"):
        load_audio(content[: len(content) // 2])


def test_one_command_helps_where_the_decoder_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "memo.m4a").write_bytes(b"\0\0\0\x1cftypM4A " + bytes(1000))
    with pytest.raises(
        audio.UnreadableAudioError, match=r"memo\.m4a: .* not installed: pip install"
    ):
        load_audio(tmp_path / "memo.m4a")


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


def test_video_without_sound(tmp_path):
    av = pytest.importorskip("av", reason="PyAV is not installed")
    path = tmp_path / "silent film.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    with pytest.raises(
        audio.UnreadableAudioError, match=r"film\.mp4: no sound in it, only 1 other"
    ):
        load_audio(path)
