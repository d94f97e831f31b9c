"""Reference spaces of speech: how phones are made, what an utterance says, where the tongue is."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from speech_interp.methods.rsa_distances import RDM, table_rdm
from speech_interp.speech.corpus import PHONES, SILENCE, Utterance

VOWELS = "AA AE AH AO AW AX AY EH ER EY IH IY OW OY UH UW"
#: Which phones have a feature, and which have its opposite; it is without meaning for the others.
#: English as spoken in America. Diphthongs are what they begin as, and say where they move to.
FEATURES = {
    "syllabic": (VOWELS, "*"),
    "consonantal": ("P B T D K G CH JH F V TH DH S Z SH ZH M N NG L", "*"),
    "sonorant": (f"M N NG L R W Y {VOWELS}", "*"),
    "continuant": (f"F V TH DH S Z SH ZH HH L R W Y {VOWELS}", "*"),
    "delayed": ("CH JH F V TH DH S Z SH ZH HH", "P B T D K G"),
    "nasal": ("M N NG", "*"),
    "lateral": ("L", "*"),
    "voiced": (f"B D G JH V DH Z ZH M N NG L R W Y {VOWELS}", "*"),
    "aspirate": ("HH", "*"),
    "labial": ("P B F V M W", "*"),
    "labiodental": ("F V", "P B M W"),
    "coronal": ("T D CH JH TH DH S Z SH ZH N L R", "*"),
    "anterior": ("T D TH DH S Z N L", "CH JH SH ZH R"),
    "distributed": ("CH JH TH DH SH ZH", "T D S Z N L R"),
    "strident": ("CH JH S Z SH ZH", "T D TH DH N L R"),
    "dorsal": (f"K G NG W Y {VOWELS}", "*"),
    "high": ("K G NG W Y IY IH UW UH", "AA AE AH AO AW AX AY EH ER EY OW OY"),
    "low": ("AA AE AW AY", "K G NG W Y AH AO AX EH ER EY IH IY OW OY UH UW"),
    "front": ("Y IY IH EY EH AE", "K G NG W AA AH AO AW AX AY ER OW OY UH UW"),
    "back": ("K G NG W AA AH AO OW OY UH UW", "Y IY IH EY EH AE AW AX AY ER"),
    "round": ("W AO OW OY UH UW", "P B F V M Y AA AE AH AW AX AY EH ER EY IH IY"),
    "tense": ("IY EY AA AO OW UW AY AW OY ER", "IH EH AE AH AX UH"),
    "rhotic": ("R ER", "L W Y AA AE AH AO AW AX AY EH EY IH IY OW OY UH UW"),
    "to the front": ("EY AY OY", "AA AE AH AO AW AX EH ER IH IY OW UH UW"),
    "to the back": ("AW OW", "AA AE AH AO AX AY EH ER EY IH IY OY UH UW"),
}


def phone_features(labels: Sequence[str] | ndarray) -> Float[ndarray, "item feature"]:
    """Return 1 where a phone has a feature, -1 where its opposite, 0 where neither makes sense.

    `labels`: ARPABET without stress digits. Raises ValueError for what is no phone of the corpus.
    """
    if unknown := sorted(set(map(str, labels)) - set(PHONES)):
        raise ValueError(f"labels hold {unknown[0]!r}, expected phones of the corpus: {PHONES}")
    return np.array([[_value(phone, *sides) for sides in FEATURES.values()] for phone in labels])


def feature_rdm(labels: Sequence[str] | ndarray) -> RDM:
    """Return for all pairs of items in how many features their phones differ, as a share.

    A feature that one phone has not and the other has, or has the opposite of, counts half.
    """
    kinds, kind = np.unique(np.asarray(labels), return_inverse=True)
    features = phone_features(kinds)
    return table_rdm(np.abs(features[:, None] - features).mean(-1) / 2, kind)


def phone_strings(utterances: Sequence[Utterance]) -> list[tuple[str, ...]]:
    """Return the phones of each utterance in their order, without silences."""
    return [tuple(p.label for p in u.phones if p.label != SILENCE) for u in utterances]


def edit_rdm(strings: Sequence[Sequence[str]]) -> RDM:
    """Return the edit distance of all pairs of strings, divided by the length of the longer one.

    Edits are insertion, deletion and exchange of one symbol [chrupala-etal-2020-analyzing]. Raises
    ValueError for an empty string.
    """
    kinds = sorted({tuple(string) for string in strings})
    if not all(kinds):
        raise ValueError("strings hold an empty one, expected at least one symbol in each")
    symbols = {symbol: k for k, symbol in enumerate(sorted({s for kind in kinds for s in kind}))}
    lengths = np.array([len(kind) for kind in kinds])
    coded = np.full((len(kinds), lengths.max()), -1)
    for row, kind in zip(coded, kinds, strict=True):
        row[: len(kind)] = [symbols[s] for s in kind]
    edits = np.stack(
        [_edits(row[:n], coded, lengths) for row, n in zip(coded, lengths, strict=True)]
    )
    number = {kind: k for k, kind in enumerate(kinds)}
    table = edits / np.maximum(lengths[:, None], lengths)
    return table_rdm(table, np.array([number[tuple(string)] for string in strings]))


def track_means(
    utterances: Sequence[Utterance], channels: Sequence[str]
) -> Float[ndarray, "item channel"]:
    """Return where the articulators are on average during each phone, in the order of `collect`.

    Silences are left out. For each speaker scaled to mean 0 and variance 1 over phones. Raises
    ValueError for a missing track.
    """
    means, speakers = [], []
    for u in utterances:
        if lacking := [name for name in channels if name not in u.tracks]:
            raise ValueError(f"{u.id} has no track {lacking[0]!r}, only {sorted(u.tracks)}")
        for phone in u.phones:
            if phone.label == SILENCE:
                continue
            row = []
            for track in (u.tracks[name] for name in channels):
                first, last = (round(s * track.rate_hz) for s in (phone.start_s, phone.end_s))
                first = min(first, len(track.values) - 1)
                row.append(track.values[first : max(last, first + 1)].mean())
            means.append(row)
            speakers.append(u.speaker)
    values, of_speaker = np.array(means, dtype=float), np.array(speakers)
    for speaker in np.unique(of_speaker):
        own = of_speaker == speaker
        values[own] = (values[own] - values[own].mean(0)) / values[own].std(0)
    return values


def _value(phone: str, having: str, opposite: str) -> float:
    if phone in having.split():
        return 1.0
    return -1.0 if opposite == "*" or phone in opposite.split() else 0.0


def _edits(one: ndarray, others: ndarray, lengths: ndarray) -> ndarray:
    """Return the edit distance of one string to many, a row of the usual table at a time.

    An insertion depends on the entry at its left: entry j is the least of what stands at k <= j
    plus j - k, which a running minimum of (entry - place) finds for all j at once.
    """
    places = np.arange(others.shape[1] + 1)
    row = np.tile(places, (len(others), 1))
    for symbol in one:
        best = row + 1
        best[:, 1:] = np.minimum(best[:, 1:], row[:, :-1] + (others != symbol))
        row = np.minimum.accumulate(best - places, axis=1) + places
    return row[np.arange(len(others)), lengths]
