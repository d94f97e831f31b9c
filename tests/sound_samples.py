"""Utterances for the tests of what is seen and heard, made without the corpus."""

from dataclasses import dataclass

import numpy as np

from speech_interp.show.sound_board import Sample, Table


@dataclass(frozen=True)
class Span:
    label: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Sentence:
    wave: np.ndarray
    words: tuple = ()
    phones: tuple = ()
    text: str = "two words here"
    rate_hz: int = 16_000


def clicks(times_s, duration_s, rate_hz=16_000):
    wave = np.zeros(round(duration_s * rate_hz), np.float32)
    wave[np.rint(np.asarray(times_s) * rate_hz).astype(int)] = 0.9
    return wave


def hum(duration_s, rate_hz=16_000, seed=0):
    """Noise under a slow envelope: as hard for MP3 as speech, with as clear a shape."""
    rng = np.random.default_rng(seed)
    size = round(duration_s * rate_hz)
    knots = rng.uniform(0, 0.4, size=max(2, round(duration_s * 8)))
    envelope = np.interp(np.arange(size) / size, np.linspace(0, 1, len(knots)), knots)
    return np.clip(rng.normal(size=size) * envelope, -1, 1).astype(np.float32)


def sentence(labels=("two", "words", "here"), duration_s=1.5):
    """Words that fill the time evenly after a pause, each of two phones."""
    edges = np.linspace(0.2, duration_s, len(labels) + 1)
    words = tuple(Span(w, *map(float, edges[i : i + 2])) for i, w in enumerate(labels))
    phones = [Span("SIL", 0.0, 0.2)]
    for word in words:
        middle = (word.start_s + word.end_s) / 2
        phones += [Span("T", word.start_s, middle), Span("UW", middle, word.end_s)]
    return Sentence(hum(duration_s), words, tuple(phones), " ".join(labels))


def tone(hertz, seconds=0.3, rate_hz=16_000):
    times_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return (0.5 * np.sin(2 * np.pi * hertz * times_s)).astype(np.float32)


def two_tables():
    """Tables of a sound board, each sound of another pitch."""
    first = Table("plosives", ["voiceless", "voiced"], ["lips", "teeth", "back"], [
        [Sample("p", tone(300), "pea", "p as in pea"), None, Sample("k", tone(400), "key")],
        [Sample("b", tone(500)), Sample("d", tone(600, 0.5)), None],
    ])  # fmt: skip
    second = Table("vowels", ["high"], ["front"], [[Sample("i", tone(700))]])
    return [first, second]
