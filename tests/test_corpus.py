"""The corpus is what its card says: whole, exactly timed, balanced, level, reproducible."""

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from speech_interp import corpus
from speech_interp.corpus import PHONES, SUBSETS, CorpusError, Interval, ipa, load_corpus

DATA = Path(corpus.__file__).parent / "data" / "corpus"
SHIPPED = [s for s in SUBSETS if list(DATA.glob(f"{s}-*.parquet"))]
VOWELS = {p for p in PHONES if p[0] in "AEIOU"}


@pytest.fixture(scope="module")
def every():
    return {subset: load_corpus(subset) for subset in SHIPPED}


def each(every):
    return [u for utterances in every.values() for u in utterances]


def test_unknown_subset_is_named():
    with pytest.raises(CorpusError, match=r"'sentence', expected one of.*'sentences'"):
        load_corpus("sentence")


def test_missing_and_damaged_files_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "files", lambda package: tmp_path)
    with pytest.raises(CorpusError, match=r"no sentences-\*\.parquet"):
        load_corpus("sentences")
    folder = tmp_path / "data" / "corpus"
    folder.mkdir(parents=True)
    (folder / "sentences-0.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(CorpusError, match=r"sentences-0.parquet is damaged"):
        load_corpus("sentences")


def test_ipa():
    assert [ipa(p) for p in ("SH", "IY1", "ax", "NG", "SIL")] == ["ʃ", "i", "ə", "ŋ", "∅"]
    with pytest.raises(CorpusError, match="'QQ'"):
        ipa("QQ")


def test_needs_neither_home_nor_network(tmp_path):
    """Two copies of the loader agree, one of them where nothing can be written."""
    locked = tmp_path / "home"
    locked.mkdir()
    code = (
        "import socket; socket.socket.connect = None\n"
        "from speech_interp.corpus import load_corpus\n"
        "print(len(load_corpus()), abs(load_corpus()[-1].wave).max())"
    )
    locked.chmod(0o500)
    environment = os.environ | {"HOME": str(locked), "HF_HOME": str(locked / "hf")}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    here = load_corpus()
    assert run.stdout.split() == [str(len(here)), str(abs(here[-1].wave).max())]
    assert not list(locked.iterdir())


def test_ids_are_unique_and_fields_filled(every):
    ids = [u.id for u in each(every)]
    assert len(ids) == len(set(ids))
    for u in each(every):
        assert u.sex in ("f", "m") and u.speaker and u.synthesiser and u.text, u.id
        assert u.split in ("train", "test", ""), u.id


def test_intervals_tile_the_wave(every):
    for u in each(every):
        duration_s = u.duration_s
        edges = [0.0, *(p.end_s for p in u.phones)]
        starts = [p.start_s for p in u.phones]
        assert np.allclose(edges[:-1], starts, atol=2e-4), u.id
        assert abs(edges[-1] - duration_s) < 2e-4, u.id
        assert {p.label for p in u.phones} <= {*PHONES, "SIL"}, u.id
        assert min(p.duration_s for p in u.phones) > 1e-3, u.id


def test_words_and_syllables_begin_and_end_with_phones(every):
    for u in each(every):
        starts = {p.start_s for p in u.phones if p.label != "SIL"}
        ends = {p.end_s for p in u.phones if p.label != "SIL"}
        for interval in (*u.words, *u.syllables):
            assert interval.start_s in starts and interval.end_s in ends, (u.id, interval)
        assert {s.label for s in u.syllables} <= {"0", "1", "2"}, u.id


def test_wave_is_what_it_claims(every):
    for utterances in every.values():
        for u in utterances[::7]:
            assert u.wave.dtype == np.float32 and u.wave.ndim == 1
            assert len(u.wave) == round(u.duration_s * u.rate_hz)
            assert np.abs(u.wave).max() < 0.999, f"{u.id} clips"


def speech_level_db(u):
    speaking = np.concatenate(
        [u.wave[round(p.start_s * 16000) : round(p.end_s * 16000)] for p in u.phones
         if p.label != "SIL"]
    )  # fmt: skip
    return 10 * np.log10(np.mean(speaking**2))


def test_loudness_is_equal(every):
    by_voice = defaultdict(list)
    for u in every["sentences"][::5]:
        by_voice[u.info["voice"]].append(speech_level_db(u))
    levels = [np.mean(values) for values in by_voice.values()]
    assert max(levels) - min(levels) < 1.0
    assert max(np.ptp(values) for values in by_voice.values()) < 3.0


def test_every_phone_at_least_20_times_a_voice(every):
    counts = defaultdict(Counter)
    for u in every["sentences"]:
        counts[u.info["voice"]].update(p.label for p in u.phones)
    assert len(counts) >= 8 and len({u.info["technique"] for u in every["sentences"]}) >= 3
    for voice, count in counts.items():
        rare = {p: count[p] for p in PHONES if count[p] < 20}
        assert not rare, f"{voice}: {rare}"


def test_speaker_and_technique_can_be_separated(every):
    techniques = defaultdict(set)
    for u in every["sentences"]:
        techniques[u.speaker].add((u.synthesiser, u.info["technique"]))
    assert sum(len(t) > 1 for t in techniques.values()) >= 2, "no speaker in two techniques"


def test_splits_share_no_sentence(every):
    texts = defaultdict(set)
    for u in every["sentences"]:
        texts[u.split].add(u.text)
    assert texts["train"] and texts["test"] and not texts["train"] & texts["test"]


def spectral_centroid(piece):
    power = np.abs(np.fft.rfft(piece * np.hanning(len(piece)))) ** 2
    return np.sum(power * np.fft.rfftfreq(len(piece), 1 / 16000)) / np.sum(power)


def test_alignment_against_the_sound(every):
    """Where the labels say [s] the sound hisses, where they say vowel it does not, and pauses
    are quieter than vowels: all of it read from the wave alone."""
    hiss, voice, pause, loud = [], [], [], []
    for u in every["sentences"][::6]:
        wave = u.wave
        for p in u.phones[1:-1]:
            piece = wave[round(p.start_s * 16000) : round(p.end_s * 16000)]
            if len(piece) < 480:
                continue
            if p.label == "S":
                hiss.append(spectral_centroid(piece))
            elif p.label in VOWELS:
                voice.append(spectral_centroid(piece))
                loud.append(np.mean(piece**2))
            elif p.label == "SIL":
                pause.append(np.mean(piece**2))
    cut = np.sqrt(np.median(hiss) * np.median(voice))
    assert np.mean(np.array(hiss) > cut) > 0.95 and np.mean(np.array(voice) < cut) > 0.95
    assert np.median(pause) < 0.01 * np.median(loud)


def test_durations_by_class_are_those_of_speech(every):
    by_label = defaultdict(list)
    for u in every["sentences"]:
        for p in u.phones:
            by_label[p.label].append(p.duration_s)
    median = {label: np.median(values) for label, values in by_label.items()}
    assert median["AX"] < median["AE"] and median["IH"] < median["IY"] < median["OY"]
    assert median["D"] < median["S"] and median["DH"] < median["TH"]
    assert 0.06 < np.median([m for p, m in median.items() if p in VOWELS]) < 0.18
    assert max(np.quantile(v, 0.99) for p, v in by_label.items() if p != "SIL") < 0.5


def test_size_on_disk():
    sizes = {path.name: path.stat().st_size for path in DATA.glob("*.parquet")}
    assert sum(sizes.values()) <= 24e6 and max(sizes.values()) < 5e6, sizes


def test_datasets_reads_the_files(tmp_path):
    from datasets import Audio, load_dataset

    path = min(DATA.glob("sentences-*.parquet"))
    rows = load_dataset("parquet", data_files=str(path), cache_dir=str(tmp_path), split="train")
    assert isinstance(rows.features["audio"], Audio) and not rows.features["audio"].decode
    ours = load_corpus("sentences")[0]
    assert rows[0]["id"] == ours.id and rows[0]["audio"]["bytes"] == ours.audio
    assert Interval(**rows[0]["phones"][3]) == ours.phones[3]


def test_card_knows_every_file():
    card = (DATA / "README.md").read_text(encoding="utf-8")
    stated = dict(re.findall(r"`([a-z_]+-\d+\.parquet)` \| [\d.]+ MB \| `([0-9a-f]{64})`", card))
    found = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in DATA.glob("*.parquet")}
    assert stated == found
    for path in DATA.glob("*.parquet"):
        assert pq.read_metadata(path).num_rows > 0
