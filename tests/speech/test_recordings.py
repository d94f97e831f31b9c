"""Speech that is not ours: files of every kind, rows of data sets, a folder laid out as TIMIT."""

import io
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from speech_interp.speech import corpus, hub_access, recordings
from speech_interp.speech.audio import (
    AudioError,
    CancellingAudioError,
    EmptyAudioError,
    SilentAudioError,
)
from speech_interp.speech.corpus import PHONES, CorpusError
from speech_interp.speech.recordings import from_dataset, from_file, from_folder, from_hub, timit

SENTENCES = Path(corpus.__file__).parents[1] / "data" / "corpus" / "sentences-0.parquet"


def tone(seconds, rate_hz, hertz=440.0):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate_hz)) / rate_hz)


def loudest_hz(wave):
    return np.abs(np.fft.rfft(wave)).argmax() * 16000 / len(wave)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100])
@pytest.mark.parametrize(
    ("ending", "subtype"), [("wav", "PCM_16"), ("wav", "FLOAT"), ("flac", "PCM_24")]
)
def test_a_recording_of_any_kind(tmp_path, rate_hz, ending, subtype):
    path = tmp_path / f"my voice.{ending}"
    stereo = np.stack([tone(1.0, rate_hz), np.zeros(rate_hz)], axis=1)
    sf.write(path, stereo, rate_hz, subtype=subtype)
    found = from_file(path, text="Hello.", speaker="me")
    assert (found.id, found.text, found.speaker) == ("my voice", "Hello.", "me")
    assert found.wave.dtype == np.float32 and found.duration_s == pytest.approx(1.0, abs=1e-3)
    assert loudest_hz(found.wave) == pytest.approx(440, abs=2)
    assert np.abs(found.wave).max() == pytest.approx(0.25, abs=0.02)  # mean of both channels
    assert found.words == found.phones == ()


def test_recordings_that_cannot_be_used(tmp_path):
    for name, wave, error in [
        ("empty.wav", np.zeros(0), EmptyAudioError),
        ("silent.wav", np.zeros(16000), SilentAudioError),
    ]:
        sf.write(tmp_path / name, wave, 16000)
        with pytest.raises(error, match=name):
            from_file(tmp_path / name)
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(AudioError, match=r"text\.wav"):
        from_file(str(tmp_path / "text.wav"))
    with pytest.raises(FileNotFoundError, match=r"none\.wav"):
        from_file(tmp_path / "none.wav")


def encoded(wave, rate_hz=16000):
    target = io.BytesIO()
    sf.write(target, wave, rate_hz, format="WAV")
    return target.getvalue()


def test_rows_of_a_data_set(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(encoded(tone(0.5, 8000), 8000))
    rows = [
        {"audio": {"bytes": encoded(tone(0.5, 16000)), "path": None}, "text": "one", "id": 7},
        {"audio": {"bytes": None, "path": str(path)}, "text": 2, "speaker": 19},
    ]
    one, two = from_dataset(rows)
    assert (one.id, one.text, one.speaker) == ("7", "one", "")
    assert (two.id, two.text, two.speaker) == ("1", "2", "19")
    assert len(one.wave) == len(two.wave) == 8000
    renamed = [{"sound": rows[0]["audio"], "sentence": "une", "client_id": "x"}]
    (three,) = from_dataset(renamed, audio="sound", text="sentence", speaker="client_id")
    assert (three.text, three.speaker) == ("une", "x")
    assert from_dataset([]) == []


def test_one_channel_of_every_entrance(tmp_path):
    """Channels that cancel: only one of them is a sound."""
    samples = tone(0.5, 16000)
    content = encoded(np.stack([samples, -samples], axis=1))
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    rows = [{"audio": {"bytes": content}, "text": "x"}]
    for entrance in (
        lambda **options: from_file(path, **options),
        lambda **options: from_dataset(rows, **options)[0],
        lambda **options: from_folder(tmp_path, strict=True, progress=False, **options)[0],
    ):
        with pytest.raises(CancellingAudioError, match="channel=0"):
            entrance()
        np.testing.assert_allclose(entrance(channel=1).wave, -samples, atol=1e-4)


def test_rows_that_are_not_what_they_should_be():
    sound = {"bytes": encoded(tone(0.5, 16000))}
    with pytest.raises(CorpusError, match=r"no column 'text', only \['audio', 'sentence'\]"):
        from_dataset([{"audio": sound, "sentence": "x"}])
    for wrong in (object(), {"bytes": b"", "path": None}, {"array": np.zeros(9)}):
        with pytest.raises(CorpusError, match=r"expected encoded audio: dataset\.cast_column"):
            from_dataset([{"audio": wrong, "text": "x"}])


def test_a_data_set_on_disk_gives_the_corpus_back(tmp_path):
    from datasets import load_dataset

    rows = load_dataset("parquet", data_files=str(SENTENCES), cache_dir=str(tmp_path))["train"]
    ours = corpus.load_corpus("sentences")[:2]
    found = from_dataset(rows.select(range(2)))
    assert [(u.id, u.text, u.speaker) for u in found] == [(u.id, u.text, u.speaker) for u in ours]
    assert np.array_equal(found[0].wave, ours[0].wave)


def test_the_first_rows_from_the_hub(monkeypatch):
    """Streamed and not decoded; here the "Hub" is a file of the corpus."""
    import datasets

    asked, load = [], datasets.load_dataset

    def load_dataset(name, config, **options):
        asked.append((name, config))
        return load("parquet", data_files=str(SENTENCES), split="train", streaming=True)

    monkeypatch.setattr(recordings, "find_dataset", lambda name: None)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    found = from_hub("some/speech", "clean", split="test", count=3)
    assert asked == [("some/speech", "clean")]
    assert [u.id for u in found] == [u.id for u in corpus.load_corpus("sentences")[:3]]
    with pytest.raises(CorpusError, match="no column 'sentence'"):
        from_hub("some/speech", text="sentence")


def test_no_hub_is_one_sentence_and_no_wait(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        CorpusError, match="some/speech was not loaded from the Hub: HF_HUB_OFFLINE"
    ):
        from_hub("some/speech")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    hub_access.forget_unreachable()
    started = time.monotonic()
    with pytest.raises(CorpusError, match=r"http://127.0.0.1:9 cannot be reached$"):
        from_hub("some/speech")
    hub_access.forget_unreachable()
    assert time.monotonic() - started < 2 * hub_access.ANSWER_WITHIN_S


def test_a_hub_that_hangs_is_left_behind(monkeypatch, capfd):
    monkeypatch.setattr(recordings, "find_dataset", lambda name: None)
    monkeypatch.setattr(recordings, "_first_rows", lambda *_: time.sleep(5))
    started = time.monotonic()
    with pytest.raises(CorpusError, match=r"nothing for 0\.2 s"):
        from_hub("some/speech", within_s=0.2)
    assert time.monotonic() - started < 2
    assert capfd.readouterr().err == ""


PHN = """0 1600 h#
1600 2400 sh
2400 3200 ix
3200 3800 hv
3800 4600 eh
4600 5000 dcl
5000 5400 jh
5400 6000 ih
6000 6400 tcl
6400 6800 t
6800 7200 dcl
7200 7700 d
7700 8300 axr
8300 8700 kcl
8700 9100 el
9100 9400 dx
9400 9700 q
9700 10200 pau
10200 11000 eng
11000 16000 h#
"""


def timit_folder(root, *, upper=True, wav="NIST"):
    folder = root / "TRAIN" / "DR1" / "FCJF0"
    folder.mkdir(parents=True)
    name = "SA1" if upper else "sa1"
    ending = (lambda e: e.upper()) if upper else (lambda e: e)
    sf.write(folder / (name + ending(".wav")), tone(1.0, 16000), 16000, format=wav)
    (folder / (name + ending(".phn"))).write_text(PHN)
    (folder / (name + ending(".wrd"))).write_text("1600 3200 she\n3200 5400 had\n")
    (folder / (name + ending(".txt"))).write_text("0 16000 She had your dark suit.\n")
    return folder


@pytest.mark.parametrize(("upper", "wav"), [(True, "NIST"), (False, "WAV")])
def test_timit(tmp_path, upper, wav):
    timit_folder(tmp_path, upper=upper, wav=wav)
    (found,) = timit(tmp_path)
    assert (found.speaker, found.sex, found.split) == ("FCJF0", "f", "train")
    assert found.id.lower() == "fcjf0-sa1"
    assert found.text == "She had your dark suit."
    labels = "SIL SH IH HH EH JH IH T D ER K L T SIL NG SIL".split()
    assert [p.label for p in found.phones] == labels
    assert set(labels) - {"SIL"} <= set(PHONES)
    edges = [p.start_s for p in found.phones[1:]]
    assert edges == [p.end_s for p in found.phones[:-1]]
    affricate, stop = found.phones[5], found.phones[7]
    assert (affricate.start_s, affricate.end_s) == (4600 / 16000, 5400 / 16000)
    assert (stop.start_s, stop.end_s) == (6000 / 16000, 6800 / 16000)
    assert [(w.label, w.end_s) for w in found.words] == [("she", 0.2), ("had", 0.3375)]
    assert len(found.wave) == 16000


def test_rows_without_a_text_or_a_speaker_have_none():
    row = {"audio": {"bytes": encoded(tone(0.5, 16000))}, "text": None, "speaker": None, "id": None}
    (found,) = from_dataset([row])
    assert (found.id, found.text, found.speaker) == ("0", "", "")
    (found,) = from_dataset([row | {"speaker": 0, "id": 0}])
    assert (found.id, found.speaker) == ("0", "0")


def test_timit_in_a_folder_called_test(tmp_path):
    timit_folder(tmp_path / "test" / "TIMIT")
    assert [found.split for found in timit(tmp_path / "test")] == ["train"]


def test_timit_with_converted_copies_beside_the_originals(tmp_path):
    folder = timit_folder(tmp_path)
    sf.write(folder / "SA1.WAV.wav", tone(1.0, 16000), 16000)
    (found,) = timit(tmp_path)
    assert found.id == "FCJF0-SA1"


def test_a_folder_that_is_not_timit(tmp_path):
    with pytest.raises(CorpusError, match=r"no \.wav files under"):
        timit(tmp_path)
    folder = timit_folder(tmp_path)
    (folder / "SA1.PHN").unlink()
    with pytest.raises(CorpusError, match=r"SA1\.WAV has no \.phn file beside it"):
        timit(tmp_path)
