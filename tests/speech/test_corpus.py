"""The corpus is what its card says: whole, exactly timed, balanced, level, reproducible."""

import hashlib
import itertools
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from speech_interp.speech import corpus
from speech_interp.speech.audio import ScaleAudioError
from speech_interp.speech.corpus import (
    PHONES,
    SUBSETS,
    CorpusError,
    Interval,
    Utterance,
    ipa,
    load_corpus,
)
from training.corpus import items

DATA = Path(corpus.__file__).parents[1] / "data" / "corpus"
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
        "from speech_interp.speech.corpus import load_corpus\n"
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


@pytest.mark.parametrize("subset", ["sentences", "stress_pairs", "homophones", "keywords"])
def test_files_hold_what_the_scripts_say(every, subset):
    for item, u in zip(getattr(items, subset)(), every[subset], strict=True):
        assert (u.id, u.text, u.split, u.speaker, u.sex, u.synthesiser) == (
            item.id, item.text, item.split, item.speaker, item.sex, item.synthesiser,
        )  # fmt: skip
        assert item.info.items() <= u.info.items(), u.id


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


def test_keywords_are_split_by_speaker_with_both_sexes_on_both_sides(every):
    speakers, sexes = defaultdict(set), defaultdict(set)
    for u in every["keywords"]:
        speakers[u.split].add(u.speaker)
        sexes[u.split].add(u.sex)
    assert set(speakers) == {"train", "test"} and not speakers["train"] & speakers["test"]
    assert sexes["train"] == sexes["test"] == {"f", "m"}


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


def hiss(wave, time_s):
    """Energy above 3.5 kHz over that below 2 kHz in 12 ms around a time, in dB."""
    middle = round(time_s * 16000)
    piece = wave[max(0, middle - 96) : middle + 96]
    power = np.abs(np.fft.rfft(piece * np.hanning(len(piece)), 512)) ** 2
    return 10 * np.log10((power[112:].sum() + 1e-9) / (power[3:64].sum() + 1e-9))


def hiss_begins_or_ends_s(u, before, after):
    """Where the hiss crosses half its change between the middles of two phones."""
    middles_s = [(p.start_s + p.end_s) / 2 for p in (before, after)]
    times_s = np.arange(*middles_s, 0.004)
    values = np.array([hiss(u.wave, t) for t in times_s])
    rising = values[-1] > values[0]
    above = (values > (values[0] + values[-1]) / 2) == rising
    # The crossing that splits the span best: before it no hiss (or hiss), after it the other.
    agree = np.cumsum(~above) + (np.cumsum(above[::-1])[::-1])
    return times_s[agree.argmax()]


@pytest.mark.parametrize("subset", ["sentences", "articulation"])
def test_boundaries_are_where_the_sound_changes(every, subset):
    """Between a vowel and [s] the hiss begins or ends at the label, least exactly in joe."""
    deviations_ms = defaultdict(list)
    for u in every[subset][:: 12 if subset == "sentences" else 5]:
        for before, after in itertools.pairwise(u.phones):
            labels = {before.label, after.label}
            if labels & {"S", "SH"} and labels & VOWELS:
                found_s = hiss_begins_or_ends_s(u, before, after)
                deviations_ms[u.info["voice"]].append(1000 * (found_s - after.start_s))
    for voice, values in deviations_ms.items():
        assert abs(np.median(values)) < 30, (voice, np.median(values))
        assert np.mean(np.abs(values) < 50) > (0.8 if voice == "joe-piper" else 0.95), voice


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


def f0_by_autocorrelation(wave, lowest_hz=60, highest_hz=400):
    """F0 in hertz of a piece of voice, by a method that no script of the corpus uses."""
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 4 * len(wave))) ** 2
    correlation = np.fft.irfft(power)
    envelope = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(len(wave)), 4 * len(wave))) ** 2)
    lags = np.arange(16000 // highest_hz, 16000 // lowest_hz)
    ratio = correlation[lags] / envelope[lags] * envelope[0] / correlation[0]
    first = np.flatnonzero(ratio > 0.9 * ratio.max())[0]  # not twice the period
    while ratio[first + 1] > ratio[first]:
        first += 1
    return 16000 / lags[first], ratio[first]


ARTICULATORS = ("tongue_tip", "tongue_body", "tongue_back", "tongue_root", "jaw", "upper_lip",
                "lower_lip")  # fmt: skip


def test_articulation_has_what_it_says(every):
    utterances = every["articulation"]
    assert sum(u.duration_s for u in utterances) >= 300
    assert len({u.speaker for u in utterances}) >= 2
    names = {f"{part}_{axis}" for part in ARTICULATORS for axis in "xy"}
    for u in utterances:
        assert set(u.tracks) == names | {"velum_opening", "f0"}, u.id
        for name, track in u.tracks.items():
            assert track.rate_hz == 100
            assert track.unit == {"velum_opening": "mm²", "f0": "Hz"}.get(name, "mm")
            assert abs(len(track.values) - 100 * u.duration_s) <= 1.5, (u.id, name)
            if name != "velum_opening" or {p.label for p in u.phones} & {"M", "N", "NG"}:
                assert np.ptp(track.values) > 0.5, (u.id, name)
    texts = {split: {u.text for u in utterances if u.split == split} for split in ("train", "test")}
    assert texts["train"] and texts["test"] and not texts["train"] & texts["test"]


def during(u, name, labels):
    """The values of a track in the middle thirds of the phones with these labels."""
    track = u.tracks[name]
    for p in u.phones:
        if p.label in labels:
            third_s = p.duration_s / 3
            first = round((p.start_s + third_s) * track.rate_hz)
            last = max(first + 1, round((p.end_s - third_s) * track.rate_hz))
            yield np.mean(track.values[first:last])


def test_articulators_do_what_the_phones_say(every):
    by_speaker = defaultdict(list)
    for u in every["articulation"]:
        by_speaker[u.speaker].append(u)

    def values(utterances, name, labels):
        return np.array([v for u in utterances for v in during(u, name, labels)])

    for utterances in by_speaker.values():

        def gap(labels, utterances=utterances):
            upper, lower = (
                values(utterances, f"{lip}_lip_y", labels) for lip in ("upper", "lower")
            )
            return upper - lower

        closed, open_ = gap({"B", "P", "M"}), gap({"AA", "AE", "AH"})
        assert np.mean(closed < np.quantile(open_, 0.05)) > 0.9
        velum = "velum_opening"
        nasal, oral = (values(utterances, velum, s) for s in ({"M", "N", "NG"}, {"S", "T", "K"}))
        assert np.mean(nasal > 10) > 0.9 and np.mean(oral < 10) > 0.9
        protruded, spread = (values(utterances, "lower_lip_x", {v}) for v in ("UW", "IY"))
        assert np.median(protruded) > np.median(spread) + 3
        high, low = (values(utterances, "tongue_body_y", {v}) for v in ("IY", "AA"))
        assert np.median(high) > np.median(low) + 3
        front, back = (values(utterances, "tongue_body_x", {v}) for v in ("IY", "UW"))
        assert np.median(front) > np.median(back)
        alveolar, labial = (values(utterances, "tongue_tip_y", s) for s in ({"T", "N"}, {"P", "M"}))
        assert np.median(alveolar) > np.median(labial) + 3


def test_gestures_and_phones_are_simultaneous(every):
    """The lips are closest in the middle of [b], [p] and [m]; no lag between track and label."""
    lags_s = []
    for u in every["articulation"]:
        gap = u.tracks["upper_lip_y"].values - u.tracks["lower_lip_y"].values
        for p in u.phones:
            if p.label in ("B", "P", "M"):
                middle = round((p.start_s + p.end_s) * 50)
                first = max(0, middle - 12)
                near = gap[first : middle + 13]
                lags_s.append(first / 100 + np.flatnonzero(near < near.min() + 1).mean() / 100
                              - (p.start_s + p.end_s) / 2)  # fmt: skip
    assert abs(np.median(lags_s)) < 0.015 and np.quantile(np.abs(lags_s), 0.9) < 0.05


def test_f0_track_of_articulation_is_that_of_the_sound(every):
    errors, voiced = [], []
    for u in every["articulation"][::5]:
        wave, track = u.wave, u.tracks["f0"]
        for p in u.phones:
            if p.label in ("AA", "AE", "IY", "EY", "AO", "OW") and p.duration_s > 0.07:
                middle_s = (p.start_s + p.end_s) / 2
                piece = wave[round((middle_s - 0.03) * 16000) : round((middle_s + 0.03) * 16000)]
                f0_hz, strength = f0_by_autocorrelation(piece)
                voiced.append(strength > 0.5)
                errors.append(abs(f0_hz / track.values[round(middle_s * 100)] - 1))
    assert np.mean(voiced) > 0.9 and np.mean(np.array(errors) < 0.1) > 0.85


def test_tones_differ_in_pitch_only(every):
    utterances = every["tones"]
    tones = {u.info["tone"] for u in utterances}
    assert tones == {"level", "rising", "dipping", "falling"}
    groups = defaultdict(dict)
    for u in utterances:
        groups[u.info["voice"], u.text][u.info["tone"]] = u
    assert len({voice for voice, _ in groups}) >= 6
    for group in groups.values():
        assert set(group) == tones
        assert len({u.phones for u in group.values()}) == 1, "durations differ between tones"
    texts = {split: {u.text for u in utterances if u.split == split} for split in ("train", "test")}
    assert texts["train"] and texts["test"] and not texts["train"] & texts["test"]


def contour(f0_hz):
    """Which tone a contour has, by its ends and its lowest point."""
    semitones = 12 * np.log2(np.asarray(f0_hz) / f0_hz[0])
    if np.ptp(semitones) < 2:
        return "level"
    if semitones[-1] < -3:
        return "falling"
    return "dipping" if semitones.min() < -2 else "rising"


def test_f0_of_tones_is_that_of_the_sound(every):
    errors, named = [], []
    for u in every["tones"][::3]:
        wave, track = u.wave, u.tracks["f0"]
        assert track.rate_hz == 100 and track.unit == "Hz"
        assert abs(len(track.values) - 100 * u.duration_s) <= 1.5
        (vowel,) = [p for p in u.phones if p.label in VOWELS]
        times_s = np.linspace(vowel.start_s + 0.03, vowel.end_s - 0.03, 7)
        pieces = [wave[round((t - 0.025) * 16000) : round((t + 0.025) * 16000)] for t in times_s]
        measured = np.array([f0_by_autocorrelation(piece)[0] for piece in pieces])
        errors.extend(measured / track.values[np.round(times_s * 100).astype(int)] - 1)
        named.append(contour(track.values[track.values > 0]) == u.info["tone"])
    assert np.mean(np.abs(errors) < 0.05) > 0.95 and all(named)


def resonances_hz(piece, order=18):
    """Poles of a linear prediction of the piece, as frequencies in hertz (bandwidth < 600)."""
    piece = np.append(piece[0], piece[1:] - 0.97 * piece[:-1]) * np.hamming(len(piece))
    correlation = np.correlate(piece, piece, "full")[len(piece) - 1 :][: order + 1]
    matrix = correlation[np.abs(np.subtract.outer(range(order), range(order)))]
    filter_ = np.linalg.solve(matrix + 1e-6 * correlation[0] * np.eye(order), correlation[1:])
    roots = np.roots(np.append(1, -filter_))
    roots = roots[np.angle(roots) > 0]
    bandwidth = -np.log(np.abs(roots)) * 16000 / np.pi
    return np.sort(np.angle(roots[bandwidth < 600]) * 16000 / (2 * np.pi))


def continua_of(utterances):
    groups = defaultdict(list)
    for u in sorted(utterances, key=lambda u: u.info["step"]):
        groups[u.info["voice"], u.info["continuum"], u.info["context"]].append(u)
    return groups


def test_continua_are_monotone(every):
    groups = continua_of(every["continua"])
    for name, steps in groups.items():
        assert [u.info["step"] for u in steps] == list(range(11)), name
        values = np.array([u.info[steps[0].info["parameter"]] for u in steps])
        change = np.diff(values) * np.sign(values[-1] - values[0])
        assert change.min() > -10 and abs(values[-1] - values[0]) > 80, (name, values)
        first, last = steps[0], steps[-1]
        assert first.phones[first.info["target_phone"]].label == first.info["from"]
        assert last.phones[last.info["target_phone"]].label == first.info["to"]
        # Nothing else tells the steps apart: the same durations and words.
        times = {tuple((p.start_s, p.end_s) for p in u.phones) for u in steps}
        assert len(times) == 1, name


def test_f3_of_the_continua_is_in_the_sound(every):
    """Half-way between what Praat measures at the ends, the highest of the first three
    resonances by our own linear prediction falls too."""
    for (_, continuum, _), steps in continua_of(every["continua"]).items():
        if continuum != "l-r":
            continue
        energy = []
        for u in (steps[0], steps[5], steps[10]):
            p = u.phones[u.info["target_phone"]]
            third_s = p.duration_s / 3
            piece = u.wave[
                round((p.start_s + third_s) * 16000) : round((p.end_s - third_s) * 16000)
            ]
            near = resonances_hz(piece)
            energy.append(min(abs(near - u.info["f3_hz"])))
        assert np.median(energy) < 250


def test_contexts_of_the_continua_cover_every_case(every):
    for continuum in ("l-r", "ih-eh"):
        legal = {
            u.info["context"]: tuple(u.info["legal"])
            for u in every["continua"]
            if u.info["continuum"] == continuum
        }
        ends = {
            (u.info["from"], u.info["to"])
            for u in every["continua"]
            if u.info["continuum"] == continuum
        }
        ((left, right),) = ends
        assert sorted(legal.values()) == sorted([(left, right), (left,), (right,), ()])


def test_core_of_the_consonant_continuum_is_the_same_in_all_contexts(every):
    """What differs between contexts is what comes before, not the morphed sound itself."""
    groups = continua_of(every["continua"])
    alone = {voice: s for (voice, c, context), s in groups.items() if (c, context) == ("l-r", "")}
    for (voice, continuum, _), steps in groups.items():
        if continuum == "l-r":
            for u, core in zip(steps, alone[voice], strict=True):
                assert u.info["f3_hz"] == core.info["f3_hz"]
                durations = [
                    [p.duration_s for p in x.phones[x.info["target_phone"] : -1]] for x in (u, core)
                ]
                assert np.allclose(*durations, atol=2e-4)


def test_enough_homophones_are_spelled_right(every):
    """Of at least 40 pairs Whisper wrote each spelling at least once where it belongs, by voice."""
    spelled = defaultdict(set)
    for u in every["homophones"]:
        assert isinstance(u.info["whisper_right"], bool), u.id
        if u.info["whisper_right"]:
            spelled[u.info["voice"], u.info["pair"]].add(u.info["spelling"])
    kept = Counter(voice for (voice, _), spellings in spelled.items() if len(spellings) == 2)
    assert len(kept) == 2 and min(kept.values()) >= 40, kept


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


def test_silence_before_an_utterance_moves_sound_and_intervals():
    utterance = load_corpus("homophones")[0]
    late = corpus.after_silence(utterance, 0.5)
    assert not late.wave[:8000].any()
    np.testing.assert_array_equal(late.wave[8000:], utterance.wave)
    assert late.words[1].start_s == utterance.words[1].start_s + 0.5
    assert len(late.phones) == len(utterance.phones) and late.info == utterance.info


def test_an_utterance_of_integers_turned_to_floats_is_refused():
    loud = np.full(800, 3000.0, np.float32)
    with pytest.raises(ScaleAudioError, match="a1: its peak is 3000, expected samples in"):
        Utterance(id="a1", text="", audio=loud)
    assert Utterance(id="a1", text="", audio=loud / 32768).duration_s == 0.05
