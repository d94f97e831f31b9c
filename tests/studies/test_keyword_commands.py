"""Commands hold what they say, where they say it."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from speech_interp.speech.corpus import Interval, Utterance
from speech_interp.studies import keyword_commands


def keyword(word, voice, count, seed):
    wave = np.random.default_rng(seed).normal(0, 0.1, count).astype(np.float32)
    end_s = count / 16_000 - 0.1
    spans = (Interval(word, 0.1, end_s),)
    phones = (Interval("AA", 0.1, 0.2), Interval("B", 0.2, end_s), Interval("SIL", end_s, 9.0))
    info = {"word": word, "voice": voice}
    return Utterance(word, word, words=spans, phones=phones, info=info, audio=wave)


def keyword_set():
    words = [(w, v) for w in ("left", "right", "stop", "go", "yes") for v in ("x", "y")]
    return [keyword(w, v, 8000 + 100 * k, k) for k, (w, v) in enumerate(words)]


def test_commands_hold_one_deciding_word_where_they_say():
    made = keyword_commands.make_commands(keyword_set(), ["left", "right"], count=12, seed=1)
    assert {len(u.wave) for u in made} == {25_600}
    assert [u.info["class"] for u in made] == [0, 1] * 6
    assert len({u.info["target"] for u in made}) > 1
    for u in made:
        labels = [w.label for w in u.words]
        assert labels[u.info["target"]] == ("left", "right")[u.info["class"]]
        assert sum(label in ("left", "right") for label in labels) == 1
        assert {part.split("-")[0] for part in u.id.split("+")} == set(labels)
    again = keyword_commands.make_commands(keyword_set(), ["left", "right"], count=12, seed=1)
    assert [u.text for u in made] == [u.text for u in again]
    with pytest.raises(ValueError, match=r"duration_s is 1.0: 3 words do not fit"):
        keyword_commands.make_commands(keyword_set(), ["left"], count=1, duration_s=1.0)


def test_a_burst_keeps_all_else_that_is_known_of_the_utterance():
    plain = replace(keyword_set()[0], synthesiser="flite", subset="keywords", split="test")
    marked = keyword_commands.add_burst(plain, Interval("burst", 0.1, 0.2))
    as_before = replace(marked, id=plain.id, info=plain.info, audio=plain.audio)
    assert as_before.audio is plain.audio and repr(as_before) == repr(plain)


def test_joined_words_are_the_sound_of_the_words():
    parts = keyword_set()[:3]
    joined = keyword_commands.join(parts, duration_s=2.0)
    for part, word in zip(parts, joined.words, strict=True):
        start, own = round(word.start_s * 16_000), round(part.words[0].start_s * 16_000)
        assert (joined.wave[start : start + 4000] == part.wave[own : own + 4000]).all()
    assert [p.label for p in joined.phones] == ["AA", "B"] * 3
    assert joined.phones[2].start_s == pytest.approx(joined.words[1].start_s)
    gaps = [b.start_s - a.end_s for a, b in itertools.pairwise(joined.words)]
    assert gaps[0] == pytest.approx(gaps[1], abs=1e-3)
    with pytest.raises(ValueError, match="too long"):
        keyword_commands.join(parts, duration_s=0.5)


def test_a_burst_is_where_and_as_loud_as_asked():
    plain = keyword_commands.join(keyword_set()[:2], duration_s=1.6)
    marked = keyword_commands.add_burst(
        plain, Interval("burst", 0.5, 0.6), frequency_hz=2000, level=2
    )
    added = marked.wave - plain.wave
    assert not added[:8000].any() and not added[9600:].any()
    assert loudest_hz(added[8000:9600]) == pytest.approx(2000, rel=0.02)
    assert np.abs(added).max() == pytest.approx(2 * np.sqrt(2) * plain.wave.std(), rel=0.02)
    assert marked.info["burst"].start_s == 0.5 and "burst" not in plain.info


def loudest_hz(wave):
    return np.abs(np.fft.rfft(wave)).argmax() * 16_000 / len(wave)
