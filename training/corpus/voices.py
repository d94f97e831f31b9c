"""Every voice of the corpus behind one function: `speak(text, voice)`.

Speakers and techniques are crossed where they can be: kal is spoken by two diphone engines, slt
by two statistical ones. Kokoro was tried and left out: the sound did not bear out its phone
times, as `test_alignment_against_the_sound` asks.
"""

import functools
from dataclasses import dataclass

from training.corpus import espeak, festival, flite, neural
from training.corpus.speech import Speech, VoiceError
from training.corpus.timing import FUNCTION_WORDS, plan


@dataclass(frozen=True)
class Voice:
    """A speaker as one synthesiser renders it; `sex` is as perceived, "f" or "m"."""

    name: str
    speaker: str
    sex: str
    synthesiser: str
    technique: str
    engine_name: str


VOICES = {
    voice.name: voice
    for voice in [
        Voice("kal-flite", "kal", "m", "flite", "diphone", "kal16"),
        Voice("awb-flite", "awb", "m", "flite", "statistical", "awb"),
        Voice("rms-flite", "rms", "m", "flite", "statistical", "rms"),
        Voice("slt-flite", "slt", "f", "flite", "statistical", "slt"),
        Voice("kal-festival", "kal", "m", "festival", "diphone", "kal_diphone"),
        Voice("ked-festival", "ked", "m", "festival", "diphone", "ked_diphone"),
        Voice("slt-festival", "slt", "f", "festival", "hmm", "slt_hts"),
        Voice("en-us-espeak", "espeak-m", "m", "espeak-ng", "formant", "en-us"),
        Voice("f2-espeak", "espeak-f", "f", "espeak-ng", "formant", "en-us+f2"),
        Voice("joe-piper", "joe", "m", "piper", "neural", "joe"),
    ]
}


def speak(text, voice, *, rate=1.0, pitch=None, pronunciations=None) -> Speech:
    """`text` in a voice of `VOICES`, with the times of its words, syllables and phones.

    `pronunciations` says words of your own: {"permitx": "p er1 m ih0 t"}. `rate` 1.2 is faster.
    `pitch` is in hertz for flite and a setting from 0 to 99 for espeak-ng; the others have none.
    Raises VoiceError where a voice or its tool is missing.
    """
    return speak_all([text], voice, rate=rate, pitch=pitch, pronunciations=pronunciations)[0]


def speak_all(texts, voice, *, rate=1.0, pitch=None, pronunciations=None) -> list[Speech]:
    """`speak` for many texts: much faster for Festival, which starts once."""
    if voice not in VOICES:
        raise VoiceError(f"voice {voice!r} is unknown, expected one of {sorted(VOICES)}")
    spec = VOICES[voice]
    if pitch is not None and spec.synthesiser not in ("flite", "espeak-ng"):
        raise VoiceError(f"voice {voice!r} has no pitch option, re-pitch it with WORLD")
    if spec.synthesiser == "festival":
        spoken = festival.speak_all(
            texts, spec.engine_name, rate=rate, pronunciations=pronunciations
        )
    else:
        if pronunciations:
            flite.add_pronunciations(pronunciations)
        spoken = [_speak(text, spec, rate, pitch) for text in texts]
    return [_unstress(speech) for speech in spoken]


def _speak(text, spec, rate, pitch):
    if spec.synthesiser == "flite":
        return flite.speak(text, spec.engine_name, rate=rate, pitch=pitch)
    words = _planned(text)
    ending = text.strip()[-1] if text.strip()[-1] in "?!" else "."
    if spec.synthesiser == "espeak-ng":
        return espeak.speak(words, spec.engine_name, ending=ending, rate=rate, pitch=pitch)
    return neural.speak_joe(words, ending=ending, rate=rate)


@functools.lru_cache(4096)
def _planned(text):
    return plan(text, flite.pronounce)


def _unstress(speech):
    """The lexicon stresses function words; running speech does not."""
    by_start = {word.start_s: word for word in speech.words}
    for i, syllable in enumerate(speech.syllables):
        word = by_start.get(syllable.start_s)
        if word and word.end_s == syllable.end_s and word.label.lower() in FUNCTION_WORDS:
            speech.syllables[i] = syllable._replace(label="0")
    return speech
