import re
from dataclasses import replace

import numpy as np
import pytest
from player_pages import Page, sound_of

from speech_interp.show.phone_chart import CHARTS, examples, phone_chart
from speech_interp.speech.corpus import PHONES, Interval, Utterance, ipa, load_corpus


def test_every_phone_of_the_corpus_has_one_place():
    places = [
        label for rows, _ in CHARTS.values() for row in rows.values() for label in row.split()
    ]
    assert sorted(p for p in places if p != "-") == sorted(PHONES)
    for rows, columns in CHARTS.values():
        assert all(len(row.split()) == len(columns) for row in rows.values())


def said(words):
    """An utterance of words, each a list of (phone, seconds)."""
    at, phones, spans = 0.0, [], []
    for number, word in enumerate(words):
        start = at
        for label, seconds in word:
            phones.append(Interval(label, at, at + seconds))
            at += seconds
        spans.append(Interval(f"w{number}", start, at))
    wave = np.random.default_rng(0).normal(scale=0.1, size=round(16000 * at)).astype(np.float32)
    return Utterance(id="u", text="", words=tuple(spans), phones=tuple(phones), audio=wave)


def test_words_of_three_phones_show_a_phone_best_then_the_longest_share():
    utterance = said([
        [("S", 0.3), ("IY", 0.1), ("T", 0.1)],
        [("S", 0.1), ("IY", 0.3)],
        [("S", 0.2), ("EY", 0.1), ("L", 0.1)],
        [("S", 0.2), ("OW", 0.3), ("L", 0.1), ("D", 0.1)],
        [("M", 0.1), ("UW", 0.2)],
    ])  # fmt: skip
    found = examples([utterance])
    assert {label: word.label for label, (_, word, _) in found.items()} == {
        "S": "w0", "IY": "w0", "T": "w0", "EY": "w2", "L": "w2", "OW": "w3", "D": "w3",
        "M": "w4", "UW": "w4",
    }  # fmt: skip


def test_words_said_as_they_mostly_are_not_show_nothing():
    the = [("DH", 0.1), ("AX", 0.1)]
    utterance = said([the, the, [("DH", 0.05), ("IY", 0.3)]])
    words = tuple(Interval("the", w.start_s, w.end_s) for w in utterance.words)
    found = examples([replace(utterance, words=words)])
    assert set(found) == {"DH", "AX"}


def test_a_click_plays_the_word():
    utterance = said([[("S", 0.2), ("IY", 0.3)], [("T", 0.1), ("UW", 0.2)]])
    player = phone_chart([utterance], title="chart")
    keys = {e[1]["aria-label"]: e[1]["data-t"] for e in Page(player.html).all(role="gridcell")
            if "data-t" in e[1]}  # fmt: skip
    assert set(keys) == {"s as in w0", "i as in w0", "t as in w1", "u as in w1"}
    start, end = map(float, keys["t as in w1"].split())
    assert end - start == pytest.approx(0.3 + 0.01, abs=1e-3)  # the wave ends with the word


def test_chart_of_the_corpus():
    utterances = [u for u in load_corpus("sentences") if u.info["voice"] == "slt-flite"]
    player = phone_chart(utterances, title="chart")
    labels = re.findall(r'aria-label="(\S+) as in', player.html)
    assert sorted(labels) == sorted(map(ipa, PHONES))
    encoded, (wave, rate) = sound_of(player)
    assert len(wave) / rate < 25 and len(encoded) < 180_000
