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
                rate=_rate(voice),
                split="test" if number % 4 == 3 else "train",
                info={"sentence": number, "question": text.endswith("?")},
            )


def _rate(voice):
    """Kokoro's Japanese speakers drawl in English."""
    return 1.15 if voice.endswith("kokoro") else 1.0


def slug(text):
    return re.sub(r"[^a-z]+", "-", text.lower()).strip("-")
