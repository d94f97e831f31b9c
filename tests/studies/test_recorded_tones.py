"""Recordings of tones are read whole or not at all; a machine without them says what it lacks."""

import hashlib
import shutil

import numpy as np
import pytest
import soundfile as sf

from speech_interp.speech.hub_access import Unavailable
from speech_interp.studies import recorded_tones as module
from speech_interp.studies.prosody import pitch
from speech_interp.studies.recorded_tones import fetched, recorded_tones


def put(folder, name, speaker, f0_hz=150.0):
    times_s = np.arange(8000) / 16_000
    wave = 0.3 * sum(np.sin(2 * np.pi * k * f0_hz * times_s) / k for k in (1, 2, 3))
    (folder / name).mkdir(exist_ok=True)
    sf.write(folder / name / f"{speaker}.ogg", wave, 16_000)


@pytest.fixture
def folder(tmp_path):
    for speaker, f0_hz in (("3", 120.0), ("5", 220.0)):
        for name in ("ㄇㄚ", "ㄇㄚ2", "ㄇㄚ3", "ㄇㄚ4"):
            put(tmp_path, name, speaker, f0_hz)
    for name in ("ㄅ1", "ㄅ2", "ㄅ3", "ㄅ4"):  # of one speaker only
        put(tmp_path, name, "5")
    put(tmp_path, "ㄉㄚ2", "3")
    return tmp_path


def test_only_syllables_that_all_have_on_all_tones(folder):
    both = recorded_tones(folder)
    assert [(u.speaker, u.text, u.info["tone"]) for u in both] == [
        (speaker, "ㄇㄚ", tone)
        for speaker in ("3", "5")
        for tone in ("level", "rising", "dipping", "falling")
    ]
    one = recorded_tones(folder, speakers=("5",))
    assert {u.text for u in one} == {"ㄇㄚ", "ㄅ"} and len(one) == 8


def test_sound_is_that_of_its_speaker_and_the_quarters_fill_it(folder):
    for u in recorded_tones(folder):
        expected = {"3": 120.0, "5": 220.0}[u.speaker]
        assert np.median(pitch(u.wave).f0_hz) == pytest.approx(expected, rel=0.01)
        assert [q.label for q in u.syllables] == ["1", "2", "3", "4"]
        assert u.syllables[0].start_s == 0 and u.syllables[-1].end_s == u.duration_s
        assert len({round(q.duration_s, 6) for q in u.syllables}) == 1


def test_a_folder_without_them_is_named(tmp_path):
    with pytest.raises(
        ValueError, match=r"no syllable with four tones by the speakers \['3', '5'\]"
    ):
        recorded_tones(tmp_path)


def test_a_machine_that_is_no_debian_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="gcin-voice cannot be fetched: no apt-get"):
        recorded_tones()


def tool(folder, name, lines):
    path = folder / name
    path.write_text("#!/bin/sh\n" + lines)
    path.chmod(0o755)


def test_a_mirror_that_refuses_or_has_another_version(tmp_path, monkeypatch):
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    tool(tools, "dpkg-deb", "exit 0\n")
    tool(tools, "apt-get", "echo 'E: Unable to locate package' >&2; exit 100\n")
    with pytest.raises(Unavailable, match="cannot be fetched: E: Unable to locate package"):
        fetched()
    tool(tools, "apt-get", "echo other > gcin-voice_1_all.deb\n")
    with pytest.raises(Unavailable, match="not the version this was written for"):
        fetched()
    assert not list((tmp_path / "cache" / "speech_interp").iterdir())


def test_what_was_fetched_is_kept(tmp_path, monkeypatch):
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    tool(tools, "apt-get", "echo sound > gcin-voice_0_all.deb\n")
    inside = "unpacked/usr/share/gcin-voice/ogg"
    tool(tools, "dpkg-deb", f"mkdir -p {inside}/x && cp $2 {inside}/x/5.ogg\n")
    monkeypatch.setattr(module, "SHA256", hashlib.sha256(b"sound\n").hexdigest())
    folder = fetched()
    assert (folder / "x" / "5.ogg").read_text() == "sound\n"
    shutil.rmtree(tools)
    assert fetched() == folder
