"""Recordings of tones are read whole or not at all; a machine without them says what it lacks."""

import hashlib
import re
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


def test_without_debian_the_shipped_speaker_is_left(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    alone = recorded_tones(syllables=3)
    assert "speaker 3 is left out: Debian's gcin-voice cannot be fetched: no apt-get" in (
        capsys.readouterr().out
    )
    assert {u.speaker for u in alone} == {"5"} and len(alone) == 12
    with pytest.raises(Unavailable, match="gcin-voice cannot be fetched: no apt-get"):
        recorded_tones(speakers=("3",))


def test_shipped_sound_is_what_its_card_says():
    card = module.SHIPPED.with_name("README.md").read_text(encoding="utf-8")
    (stated,) = re.findall(r"`chu-lo.zip` \| [\d.]+ MB \| `([0-9a-f]{64})`", card)
    sound = module.SHIPPED.read_bytes()
    assert hashlib.sha256(sound).hexdigest() == stated and len(sound) < 2e6
    assert "Chu Lo" in card and "Creative Commons Attribution 3.0" in card


def test_shipped_tones_have_the_contours_of_mandarin():
    """As textbooks draw them: 55 stays high, 35 rises, 214 is lowest, 51 falls."""
    every = recorded_tones(speakers=("5",))
    counts = {name: sum(u.info["tone"] == name for u in every) for name in module.TONES.values()}
    assert set(counts.values()) == {138}
    heights, slopes = {}, {}
    for u in every[::5]:
        found = pitch(u.wave, high_hz=600.0)
        at_s = np.array([0.3, 0.5, 0.7]) * u.duration_s
        early, _, late = found.semitones(at_s)
        slopes.setdefault(u.info["tone"], []).append(late - early)
        heights.setdefault(u.info["tone"], []).append(np.median(found.f0_hz[found.f0_hz > 0]))
    slope = {name: np.median(values) for name, values in slopes.items()}
    height = {name: np.median(values) for name, values in heights.items()}
    assert slope["rising"] > 0.5 and slope["falling"] < -3 and abs(slope["level"]) < 2
    assert min(height, key=height.get) == "dipping" and height["level"] > 1.5 * height["dipping"]


def test_so_many_syllables_are_spread_and_the_same_for_all(folder):
    for name in ("ㄉㄚ", "ㄉㄚ2", "ㄉㄚ3", "ㄉㄚ4"):
        put(folder, name, "3")
        put(folder, name, "5")
    assert {u.text for u in recorded_tones(folder)} == {"ㄇㄚ", "ㄉㄚ"}
    one = recorded_tones(folder, syllables=1)
    assert len({u.text for u in one}) == 1 and {u.speaker for u in one} == {"3", "5"}
    with pytest.raises(ValueError, match="syllables is 3, expected 1 to 2"):
        recorded_tones(folder, syllables=3)


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
