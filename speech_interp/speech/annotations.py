"""Tiers of labels become the words, phones and syllables of an utterance, and go back to Praat.

The readers stand in `textgrid` and `annotation_files`. Labels are kept as they are, in any
alphabet, except that pauses are "SIL" and ARPABET loses its stress digits, as in the corpus.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from speech_interp.speech.corpus import PHONES, SILENCE, Interval, Utterance
from speech_interp.speech.textgrid import AnnotationError, Tiers

#: What tiers are called by Praat's users, the Montreal Forced Aligner and WebMAUS.
KNOWN_NAMES = {
    "words": ("words", "word", "ort-mau"),
    "phones": ("phones", "phone", "phonemes", "segments", "mau"),
    "syllables": ("syllables", "syllable"),
}
#: Labels of silence in words, where a language may have a word "pau", and in phones.
NO_WORD = ("", "<eps>", "<sil>", "<p:>", "sil", "sp")
NO_PHONE = (*NO_WORD, "pau")
_ARPABET = re.compile("([A-Z]{1,2})([012])")
_SLACK_S = 0.001  # overlaps by rounding
_BEYOND_S = 0.05  # how far labels may outlast the sound: one analysis window of an aligner


def with_tiers(
    utterance: Utterance, tiers: Tiers, names: Mapping[str, str] | None = None
) -> Utterance:
    """The utterance with its words, phones and syllables from `tiers`; times in seconds.

    `names` says which tier is what, {"words": "Wörter", "phones": "Laute"}, upper or lower case
    alike; without it, tiers with the names of aligners are taken. All other tiers, less their empty
    labels, are in `info["tiers"]`, under the name that `names` gives them or their own. The text,
    where there is none, is the words.

    Raises `AnnotationError`, with the tier, where a tier is missing, where words, phones or
    syllables are points, overlap, or outlast the sound by more than 50 ms.
    """
    chosen = _known(tiers) if names is None else {r: _named(tiers, n) for r, n in names.items()}
    parts: dict[str, Any] = {
        role: _usable(role, chosen[role], tiers[chosen[role]], utterance.duration_s)
        for role in KNOWN_NAMES
        if role in chosen
    }
    others = {role: name for role, name in chosen.items() if role not in KNOWN_NAMES}
    others |= {name: name for name in tiers if name not in chosen.values()}
    kept = {new: tuple(i for i in tiers[old] if i.label.strip()) for new, old in others.items()}
    text = utterance.text or " ".join(word.label for word in parts.get("words", ()))
    info = utterance.info | ({"tiers": kept} if kept else {})
    return replace(utterance, text=text, info=info, **parts)


def tiers_of(utterance: Utterance) -> Tiers:
    """All tiers of an utterance by name, for `textgrid.write_textgrid`; those without labels not.

    To see scores in Praat, add a tier: `tiers_of(u) | {"score": scores}`.
    """
    own = {role: getattr(utterance, role) for role in KNOWN_NAMES}
    return {n: tuple(i) for n, i in (own | utterance.info.get("tiers", {})).items() if i}


def _known(tiers: Tiers) -> dict[str, str]:
    chosen: dict[str, str] = {}
    for role, known in KNOWN_NAMES.items():
        for name in tiers:
            plain = _plain(name)
            # The Montreal Forced Aligner puts the speaker first where it knows one.
            if plain in known or plain.endswith(f" - {role}"):
                if role in chosen:
                    raise AnnotationError(
                        f"tiers {chosen[role]!r} and {name!r} both look like {role}; say which: "
                        f"tiers={{{role!r}: ...}}"
                    )
                chosen[role] = name
    if not chosen:
        raise AnnotationError(
            f"no tier is called words or phones, only {list(tiers)}; say which is what: "
            "tiers={'words': ..., 'phones': ...}"
        )
    return chosen


def _named(tiers: Tiers, wanted: str) -> str:
    if wanted in tiers:
        return wanted
    alike = [name for name in tiers if _plain(name) == _plain(wanted)]
    if len(alike) != 1:
        found = f"{len(alike)} tiers alike" if alike else "no such tier"
        raise AnnotationError(f"tier {wanted!r}: {found}, expected one of {list(tiers)}")
    return alike[0]


def _plain(name: str) -> str:
    """The same string for what looks the same: case, blanks and ways to compose an accent."""
    return unicodedata.normalize("NFC", name).casefold().strip()


def _usable(
    role: str, name: str, intervals: tuple[Interval, ...], duration_s: float
) -> tuple[Interval, ...]:
    """The intervals in order and within the sound, with the labels of `role`."""
    used: list[Interval] = []
    for i in sorted(intervals, key=lambda i: (i.start_s, i.end_s)):
        label = _label(role, i.label.strip())
        # Silence is not checked: Praat's tiers often end later than a sound that was cut.
        if label is None or (label == SILENCE and i.start_s >= duration_s):
            continue
        where = f"tier {name!r}: {i.label!r} at {i.start_s:.3f}-{i.end_s:.3f} s"
        if i.start_s == i.end_s:
            raise AnnotationError(f"{where} is a point, expected intervals for {role}")
        if i.start_s < -_SLACK_S or (i.end_s > duration_s + _BEYOND_S and label != SILENCE):
            raise AnnotationError(
                f"{where} is not within the sound, 0-{duration_s:.3f} s; is it of another file?"
            )
        if used and i.start_s < used[-1].end_s - _SLACK_S:
            raise AnnotationError(f"{where} begins before {used[-1].label!r} ends")
        # What overlaps by rounding is cut: no frame and no sample belongs to two.
        first = used[-1].end_s if used else 0.0
        start, end = max(first, i.start_s), min(i.end_s, duration_s)
        if start < end:
            used.append(Interval(label, start, end))
    return tuple(used)


def _label(role: str, label: str) -> str | None:
    """The label as the corpus has it; None for what is not kept."""
    if role == "words":
        return None if label.casefold() in NO_WORD else label
    if role == "syllables":
        return label or None
    if label.casefold() in NO_PHONE:
        return SILENCE
    arpabet = _ARPABET.fullmatch(label)
    if arpabet and arpabet[1] in PHONES:
        return "AX" if label == "AH0" else arpabet[1]
    return label
