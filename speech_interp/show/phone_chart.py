"""`phone_chart`: the phones of English where they are made in the mouth, each in a word to hear."""

from collections.abc import Sequence

from speech_interp.show.player import Player
from speech_interp.show.sound_board import Sample, Table, sound_board
from speech_interp.speech.audio import RATE_HZ
from speech_interp.speech.corpus import PHONES, Interval, Utterance, ipa
from speech_interp.states.phone_alignment import pronunciations_of

# Rows of a chart, cells in the order of its columns; "-" is a sound that English has not.
CONSONANTS = {
    "plosive, voiceless": "P - - T - - K -",
    "plosive, voiced": "B - - D - - G -",
    "affricate, voiceless": "- - - - CH - - -",
    "affricate, voiced": "- - - - JH - - -",
    "fricative, voiceless": "- F TH S SH - - HH",
    "fricative, voiced": "- V DH Z ZH - - -",
    "nasal": "M - - N - - NG -",
    "approximant": "W - - R - Y - -",
    "lateral": "- - - L - - - -",
}
PLACES = "lips,lip and teeth,teeth,ridge,behind ridge,palate,velum,glottis".split(",")
VOWELS = {
    "close": "IY - - UW",
    "near-close": "IH - - UH",
    "mid": "- AX - -",
    "open-mid": "EH ER AH AO",
    "near-open": "AE - - -",
    "open": "- - AA -",
}
BACKNESS = ["front", "central", "back", "back, rounded"]
DIPHTHONGS = {"towards [ɪ]": "EY AY OY", "towards [ʊ]": "- AW OW"}
STARTS = ["from mid front", "from open", "from mid back"]
CHARTS = {
    "Consonants: how and where": (CONSONANTS, PLACES),
    "Vowels: height and place of the tongue": (VOWELS, BACKNESS),
    "Vowels that move": (DIPHTHONGS, STARTS),
}
MARGIN_S = 0.01


def examples(utterances: Sequence[Utterance]) -> dict[str, tuple[Utterance, Interval, Interval]]:
    """For each phone the word that shows it best: utterance, word, phone.

    Words of three phones first, then longer ones, then shorter, which are mostly reduced; among
    equals the word of which the phone takes the largest share. Only words said as they mostly are:
    "the" before a vowel is no example of [i].
    """
    usual = pronunciations_of(utterances)
    best: dict[str, tuple] = {}
    for utterance in utterances:
        for word in utterance.words:
            inside = [
                p for p in utterance.phones if word.start_s <= p.start_s and p.end_s <= word.end_s
            ]
            if tuple(p.label for p in inside) != usual[word.label.lower()]:
                continue
            for phone in inside:
                size = len(inside) if len(inside) > 2 else 99
                rank = (size, -phone.duration_s / word.duration_s)
                if phone.label not in best or rank < best[phone.label][0]:
                    best[phone.label] = (rank, utterance, word, phone)
    return {label: tuple(found) for label, (_, *found) in best.items() if label in PHONES}


def phone_chart(utterances: Sequence[Utterance], *, title: str) -> Player:
    """Tables of all phones that occur in `utterances`; a click plays a word with the phone."""
    found = {label: _sample(label, *example) for label, example in examples(utterances).items()}
    tables = []
    for name, (rows, columns) in CHARTS.items():
        cells = [[found.get(label) for label in row.split()] for row in rows.values()]
        slant_px = 12 if rows is VOWELS else 0  # the mouth is shorter at the bottom
        tables.append(Table(name, list(rows), columns, cells, slant_px))
    return sound_board(tables, title=title, rate_hz=RATE_HZ)


def _sample(label: str, utterance: Utterance, word: Interval, phone: Interval) -> Sample:
    first = max(0, round((word.start_s - MARGIN_S) * RATE_HZ))
    wave = utterance.wave[first : round((word.end_s + MARGIN_S) * RATE_HZ)]
    return Sample(ipa(label), wave, word.label, f"{ipa(label)} as in {word.label}")
