"""Folders of every layout, written out here; what cannot be read is named and stops no other."""

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from speech_interp.speech.annotation_files import read_ctm, read_table
from speech_interp.speech.audio import SilentAudioError
from speech_interp.speech.corpus import CorpusError, Interval
from speech_interp.speech.recordings import from_folder
from speech_interp.speech.textgrid import write_textgrid

WORDS = (Interval("ja", 0.1, 0.5), Interval("nein", 0.5, 0.9))
TIERS = {"words": "Wörter"}


def sound(path, seconds=1.0, hertz=440.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(
        path, 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * 16000)) / 16000), 16000
    )


def grid(path, words=WORDS, name="wörter"):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_textgrid(path, {name: words}, end_s=max(1.0, words[-1].end_s))


def hertz(wave):
    return np.abs(np.fft.rfft(wave)).argmax() * 16000 / len(wave)


def test_sounds_with_grids_in_two_folders(tmp_path, capsys):
    for k, name in enumerate(["anna/1", "anna/2", "ben/1"]):
        sound(tmp_path / f"{name}.wav", hertz=300.0 + 100 * k)
        grid(tmp_path / f"{name}.TextGrid", WORDS[: 1 + k % 2])
    found = from_folder(tmp_path, tiers=TIERS, speaker=lambda path: path.parent.name)
    assert [(u.id, u.speaker) for u in found] == [
        ("anna/1", "anna"), ("anna/2", "anna"), ("ben/1", "ben"),
    ]  # fmt: skip
    assert [hertz(u.wave) for u in found] == [300, 400, 500]
    assert [u.text for u in found] == ["ja", "ja nein", "ja"]
    assert found[1].words == WORDS
    assert found.skipped == {}
    told = capsys.readouterr()
    assert told.out == "" and "recordings: 100%" in told.err
    assert {u.speaker for u in from_folder(tmp_path, tiers=TIERS, speaker="x", progress=False)} == {
        "x"
    }
    assert capsys.readouterr().err == ""


def a_folder_with_faults(root):
    for name in ("good", "no grid", "no tier", "late", "broken grid", "twice"):
        sound(root / f"{name}.wav")
    sf.write(root / "silent.wav", np.zeros(16000), 16000)
    for name in ("good", "silent", "orphan", "twice", "text"):
        grid(root / f"{name}.TextGrid")
    grid(root / "no tier.TextGrid", name="words")
    grid(root / "late.TextGrid", (Interval("ja", 1.5, 2.5),))
    (root / "broken grid.TextGrid").write_text('"ooTextFile"\n"TextGrid"\n0 1 <exists> 1\n"Tier"\n')
    (root / "text.wav").write_text("no sound")
    sf.write(root / "twice.flac", np.ones(16000) / 2, 16000)
    (root / "._good.wav").write_text("what a Mac leaves on a stick")
    (root / "notes.md").write_text("not ours")


FAULTS = {
    "broken grid.wav": 'broken grid.TextGrid, line 4: got "Tier", expected "IntervalTier"',
    "late.wav": "tier 'wörter': 'ja' at 1.500-2.500 s is not within the sound, 0-1.000 s",
    "no grid.wav": "no TextGrid, .eaf or Audacity labels of its name",
    "no tier.wav": "tier 'Wörter': no such tier, expected one of ['words']",
    "silent.wav": "silent, no sample above",
    "text.wav": "not a sound file",
    "twice.wav": "twice.flac has the same name and was taken",
    "orphan.TextGrid": "no sound of its name",
}


def test_faults_do_not_stop_the_others(tmp_path, capsys):
    a_folder_with_faults(tmp_path)
    found = from_folder(tmp_path, tiers=TIERS, progress=False)
    assert [u.id for u in found] == ["good", "twice"]
    assert found.skipped.keys() == FAULTS.keys()
    for name, reason in FAULTS.items():
        assert found.skipped[name].startswith(reason), name
        assert str(tmp_path) not in found.skipped[name]
    printed = capsys.readouterr().out
    assert printed == found.table + "\n" and printed.count("\n") == 1 + len(FAULTS)
    assert printed.startswith("2 utterances read, 8 skipped\n  broken grid.wav  broken grid.Text")


def test_the_first_fault_stops_where_asked(tmp_path):
    sound(tmp_path / "b.wav")
    sf.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    assert len(from_folder(tmp_path, progress=False)) == 1
    with pytest.raises(SilentAudioError, match=r"a\.wav"):
        from_folder(tmp_path, strict=True, progress=False)


def test_folders_with_nothing_to_read(tmp_path):
    with pytest.raises(CorpusError, match=r"no sound files, expected some that end in one of"):
        from_folder(tmp_path)
    with pytest.raises(CorpusError, match=r"folder: .*nowhere is no folder$"):
        from_folder(tmp_path / "nowhere")
    sound(tmp_path / "a.wav")
    with pytest.raises(CorpusError, match=r"nothing could be read\n0 utterances.*\n  a\.wav  no T"):
        from_folder(tmp_path, tiers=TIERS, progress=False)
    (tmp_path / "a.ctm").write_text("a 1 0 1 x\n")
    with pytest.raises(CorpusError, match=r"annotations: .* is no folder; a file about many"):
        from_folder(tmp_path, annotations=tmp_path / "a.ctm", progress=False)


def test_texts_and_labels_beside(tmp_path):
    for name in ("a", "b", "c", "d"):
        sound(tmp_path / f"{name}.wav")
    (tmp_path / "a.txt").write_text("Ja,\nnein.\n")
    (tmp_path / "b.LAB").write_text("Grüß Gott", encoding="utf-16")
    found = from_folder(tmp_path, progress=False)
    assert [u.text for u in found] == ["Ja, nein.", "Grüß Gott", "", ""]
    (tmp_path / "c.txt").write_text("0.1\t0.5\tja\n0.5\t0.9\tnein\n")
    found = from_folder(tmp_path, tiers={"words": "labels"}, progress=False)
    assert [u.id for u in found] == ["c"] and found[0].words == WORDS  # the others have no labels
    (tmp_path / "a.txt").write_bytes("Grüß".encode("latin-1"))
    found = from_folder(tmp_path, tiers={}, annotations={k: {} for k in "abcd"}, progress=False)
    assert len(found) == 4
    (tmp_path / "c.txt").unlink()
    found = from_folder(tmp_path, progress=False)
    assert list(found.skipped) == ["a.wav"] and "encoding='latin-1'" in found.skipped["a.wav"]
    assert from_folder(tmp_path, encoding="latin-1", progress=False)[0].text == "Grüß"


def test_labels_in_a_folder_of_their_own(tmp_path):
    for name in ("anna/1", "ben/1", "ben/2"):
        sound(tmp_path / f"sound/{name}.wav")
    for name in ("anna/1", "ben/1"):
        grid(tmp_path / f"grids/{name}.TextGrid", name="words")
    grid(tmp_path / "grids/2.TextGrid", name="words")
    where = {"annotations": tmp_path / "grids", "progress": False}
    assert [u.words for u in from_folder(tmp_path / "sound", **where)] == [WORDS] * 3
    found = from_folder(tmp_path / "sound" / "ben", **where)
    assert [u.id for u in found] == ["2"]
    assert found.skipped["1.wav"].startswith("several files of labels have its name: ['anna/1'")


def test_labels_of_many_recordings_in_one_file(tmp_path):
    for name in "ab":
        sound(tmp_path / f"x/{name}.wav")
    (tmp_path / "all.ctm").write_text("a 1 0.1 0.4 ja\na 1 0.5 0.4 nein\n")
    labels = read_ctm(tmp_path / "all.ctm")
    found = from_folder(tmp_path, annotations=labels, progress=False)
    assert [(u.id, u.text) for u in found] == [("x/a", "ja nein")]
    assert found.skipped == {"x/b.wav": "no labels for it in annotations, which has ['a'] ..."}
    table = pd.DataFrame({"file": ["b.wav"], "start": [0.1], "end": [0.2], "label": ["ɕ"]})
    found = from_folder(
        tmp_path, annotations=read_table(table, default_tier="phones"), progress=False
    )
    assert [(u.id, u.phones) for u in found] == [("x/b", (Interval("ɕ", 0.1, 0.2),))]


def test_librispeech(tmp_path):
    chapter = tmp_path / "dev-clean" / "84" / "121123"
    for k in range(2):
        sound(chapter / f"84-121123-000{k}.flac", hertz=300 + 100 * k)
    (chapter / "84-121123.trans.txt").write_text(
        "84-121123-0000 GO DO YOU HEAR\n84-121123-0001 BUT IN LESS\n84-121123-0002 AND\n"
    )
    found = from_folder(tmp_path, progress=False)
    assert [(u.id, u.speaker, u.text) for u in found] == [
        ("84-121123-0000", "84", "GO DO YOU HEAR"), ("84-121123-0001", "84", "BUT IN LESS"),
    ]  # fmt: skip
    assert [hertz(u.wave) for u in found] == [300, 400]
    place = "dev-clean/84/121123/84-121123.trans.txt, line 3"
    assert found.skipped == {"84-121123-0002": f"{place}: no sound file 84-121123-0002 beside it"}
    grid(tmp_path / "aligned" / "84-121123-0001.TextGrid", name="words")
    found = from_folder(tmp_path, annotations=tmp_path / "aligned", progress=False)
    assert [(u.id, u.text, u.words) for u in found] == [("84-121123-0001", "BUT IN LESS", WORDS)]


def test_kaldi(tmp_path):
    """Two tones in one recording: each segment must hold its own."""
    sound(tmp_path / "wav/r2.wav", hertz=600)
    tones = [0.5 * np.sin(2 * np.pi * hz * np.arange(16000) / 16000) for hz in (300, 400)]
    sf.write(tmp_path / "wav/r1.wav", np.concatenate(tones), 16000)
    grid(
        tmp_path / "wav/r1.TextGrid", (Interval("x", 0, 2),), "words"
    )  # of the whole, not of a segment
    (tmp_path / "wav.scp").write_text(
        f"r1 {tmp_path}/wav/r1.wav\nr2\twav/r2.wav\nr3 sph2pipe -f wav x.sph |\nr4 gone.wav\n"
    )
    (tmp_path / "text").write_text("a-1 EINS ZWEI\na-2 DREI\nb-1 VIER\n")
    (tmp_path / "utt2spk").write_text("a-1 a\na-2 a\nb-1 b\n")
    found = from_folder(tmp_path, progress=False)
    assert [(u.id, u.duration_s, u.text) for u in found] == [("r1", 2.0, "x"), ("r2", 1.0, "")]
    assert hertz(found[1].wave) == 600
    assert found.skipped["r3"].startswith("wav.scp, line 3: a command, which is not run")
    assert "gone.wav: no such file" in found.skipped["r4"]
    (tmp_path / "segments").write_text(
        "a-1 r1 0.25 0.75\na-2 r1 1.25 2.00\nb-1 r2 0.0 1.0\nc-1 r9 0 1\nc-2 r1 1.5 2.5\n"
        "c-3 r1 0\nc-4 r3 0 1\nc-5 r1 1.99 2\n"
    )
    found = from_folder(tmp_path, progress=False)
    assert [(u.id, u.speaker, u.text) for u in found] == [
        ("a-1", "a", "EINS ZWEI"), ("a-2", "a", "DREI"), ("b-1", "b", "VIER"),
    ]  # fmt: skip
    assert [hertz(u.wave) for u in found] == [300, 400, 600]
    assert [u.duration_s for u in found] == [0.5, 0.75, 1.0]
    reasons = {
        "c-1": "segments, line 4: wav.scp has no recording 'r9'",
        "c-2": "segment (1.5, 2.5) s is not within r1.wav, 0-2.000 s",
        "c-3": "segments, line 6: got c-3 r1 0, expected utterance, recording, start, end",
        "c-4": "wav.scp, line 3: a command, which is not run; expected a sound file",
        "c-5": "10.0 ms, expected at least 25 ms (one frame)",
    }
    assert found.skipped == reasons
