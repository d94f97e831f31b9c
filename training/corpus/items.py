"""What each subset says, in which voices: one `Item` an utterance."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from training.corpus.voices import VOICES

TEXT = Path(__file__).parent / "text"
#: The voices of `sentences`, `stress_pairs` and `keywords`.
EVERY_VOICE = tuple(VOICES)


@dataclass
class Item:
    """An utterance to make: what is said how, and what is known about it."""

    id: str
    subset: str
    text: str
    voice: str
    said: str = ""  # `text` with words of `pronunciations` in it; empty: as `text`
    split: str = ""
    rate: float = 1.0
    pitch: float | None = None
    pronunciations: dict = field(default_factory=dict)
    info: dict = field(default_factory=dict)

    def __post_init__(self):
        self.said = self.said or self.text
        voice = VOICES[self.voice]
        self.speaker, self.sex, self.synthesiser = voice.speaker, voice.sex, voice.synthesiser
        self.info = {"voice": self.voice, "technique": voice.technique} | self.info


def lines(name):
    """The lines of a text file, without comments and blank lines."""
    text = (TEXT / f"{name}.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def sentences():
    """Every sentence in every voice; each fourth sentence is for testing, in all voices."""
    for voice in EVERY_VOICE:
        for number, text in enumerate(lines("sentences")):
            yield Item(
                id=f"sentences-{voice}-{number:03d}",
                subset="sentences",
                text=text,
                voice=voice,
                split="test" if number % 4 == 3 else "train",
                info={"sentence": number, "question": text.endswith("?")},
            )


def slug(text):
    return re.sub(r"[^a-z]+", "-", text.lower()).strip("-")


def homophones():
    """Four sentences a pair, two for each spelling, with the words that decide and are decided."""
    pair = ""
    number = 0
    for line in lines("homophones"):
        if "*" not in line:
            pair, number = line, 0
            continue
        words = line.split()
        target = next(i for i, word in enumerate(words) if word.startswith("*"))
        cue = next(i for i, word in enumerate(words) if word.startswith("_"))
        spelling = re.sub(r"[^a-z]", "", words[target].lower())
        if spelling not in pair.split("/"):
            raise ValueError(f"{line!r}: {spelling!r} is not one of {pair}")
        for voice in HOMOPHONE_VOICES:
            yield Item(
                id=f"homophones-{voice}-{slug(pair)}-{number}",
                subset="homophones",
                text=re.sub(r"[*_]", "", line),
                voice=voice,
                info={"pair": pair, "spelling": spelling, "target": target, "cue": cue},
            )
        number += 1


#: Neither says which reading follows, and the word stands in the middle or at the end.
CARRIERS = ("They wrote {} on the wall.", "The last word was {}.")


def stress_pairs():
    """Noun and verb in the same carriers; which one is known from its stress only."""
    for voice in EVERY_VOICE:
        for line in lines("stress_pairs"):
            word, readings = line.split(": ")
            for reading, phones in zip(("noun", "verb"), readings.split("; "), strict=True):
                invented = f"{word}q{reading[0]}"  # no lexicon knows it, so ours is obeyed
                carrier = sum(map(ord, word)) % len(CARRIERS)
                text = CARRIERS[carrier].format(word)
                yield Item(
                    id=f"stress-{voice}-{word}-{reading}",
                    subset="stress_pairs",
                    text=text,
                    said=CARRIERS[carrier].format(invented),
                    voice=voice,
                    pronunciations=dict([*ALL_READINGS.items()]),
                    info={
                        "pair": word,
                        "reading": reading,
                        "stressed_syllable": [p[-1] for p in phones.split() if p[-1] in "01"].index(
                            "1"
                        ),
                        "target": CARRIERS[carrier].split().index("{}" if carrier == 0 else "{}."),
                    },
                )


ALL_READINGS = {
    f"{line.split(': ')[0]}q{reading}": phones
    for line in lines("stress_pairs")
    for reading, phones in zip("nv", line.split(": ")[1].split("; "), strict=True)
}
HOMOPHONE_VOICES = ("joe-piper", "slt-flite")
KEYWORDS = ("yes", "no", "up", "down", "left", "right", "stop", "go", "music", "seven")
RENDITIONS = tuple((ending, rate) for ending in ".?" for rate in (0.85, 1.0, 1.2))
#: Speakers, not voices, are split: kal and slt each speak through two synthesisers. Both sides have
#: both sexes; of the two women one is on each side. Formant synthesis is in the test only.
TEST_SPEAKERS = ("rms", "espeak-m", "espeak-f")


def keywords():
    """Ten words alone, stated and asked, at three rates, split by speaker."""
    for voice in EVERY_VOICE:
        for word in KEYWORDS:
            for rendition, (ending, rate) in enumerate(RENDITIONS):
                yield Item(
                    id=f"keywords-{voice}-{word}-{rendition}",
                    subset="keywords",
                    text=word.capitalize() + ending,
                    voice=voice,
                    rate=rate,
                    split="test" if VOICES[voice].speaker in TEST_SPEAKERS else "train",
                    info={
                        "word": word,
                        "rendition": rendition,
                        "rate": rate,
                        "asked": ending == "?",
                    },
                )
