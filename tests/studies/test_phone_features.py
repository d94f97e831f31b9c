"""Phones have the features that textbooks give them; edit distances are those of recursion."""

from functools import cache

import numpy as np
import pytest

from speech_interp import load_corpus
from speech_interp.methods.rsa_distances import square
from speech_interp.speech.corpus import PHONES, SILENCE, Interval, Track, Utterance
from speech_interp.studies.phone_features import (
    FEATURES,
    edit_rdm,
    feature_rdm,
    phone_features,
    phone_strings,
    track_means,
)

# Natural classes, as (feature, sign) that all members and no others have.
CLASSES = {
    "P B M": "+labial -labiodental -dorsal",
    "P T K CH": "-sonorant -continuant -voiced",
    "B D G JH": "-sonorant -continuant +voiced",
    "S Z SH ZH": "+strident +continuant",
    "CH JH": "+strident -continuant",
    "TH DH": "+distributed +anterior",
    "F V": "+labiodental",
    "L R W Y": "+sonorant -syllabic -nasal",
    "M N NG": "+nasal",
    "IY IH UW UH": "+syllabic +high",
    "IY IH EY EH AE": "+syllabic +front",
    "UW UH OW AO OY": "+syllabic +round",
    "AE AA AW AY": "+low",
    "IY UW": "+syllabic +high +tense",
    "AY AW OY EY OW": "+syllabic moves",
    "R ER": "+rhotic",
    "HH": "+aspirate",
}
SIGNS = {"+": 1, "-": -1}


@pytest.mark.parametrize("members", CLASSES)
def test_natural_classes(members):
    features = phone_features(PHONES)
    chosen = np.ones(len(PHONES), dtype=bool)
    names = list(FEATURES)
    for term in CLASSES[members].split():
        if term == "moves":
            moving = [names.index(n) for n in ("to the front", "to the back")]
            chosen &= (features[:, moving] == 1).any(1)
        else:
            chosen &= features[:, names.index(term[1:])] == SIGNS[term[0]]
    assert {p for p, k in zip(PHONES, chosen, strict=True) if k} == set(members.split())


def test_no_phone_is_on_both_sides_and_all_are_different():
    for having, opposite in FEATURES.values():
        assert not set(having.split()) & set(opposite.split())
        assert set(having.split()) | set(opposite.split()) - {"*"} <= set(PHONES)
    table = feature_rdm(PHONES)
    assert table.min() > 0 and table.max() <= 1


def test_voicing_is_one_feature():
    for pair in ("P B", "T D", "K G", "CH JH", "F V", "TH DH", "S Z", "SH ZH"):
        one, other = phone_features(pair.split())
        assert [n for n, a, b in zip(FEATURES, one, other, strict=True) if a != b] == ["voiced"]


def test_distances_of_phones_are_counted_by_hand():
    """Opposites count one, a feature that only one of the two can have counts half."""
    labels = ["P", "B", "P", "AA"]
    whole = square(feature_rdm(labels))
    assert whole[0, 2] == 0 and whole[0, 1] == pytest.approx(1 / len(FEATURES))
    a, b = phone_features(["B", "AA"])
    by_hand = sum(1.0 if x * y < 0 else 0.5 * (x != y) for x, y in zip(a, b, strict=True))
    assert whole[1, 3] == pytest.approx(by_hand / len(FEATURES))
    assert whole[0, 1] < whole[1, 3]


def test_all_labels_of_the_corpus_are_known():
    for subset in ("sentences", "articulation"):
        labels = {p.label for u in load_corpus(subset) for p in u.phones} - {SILENCE}
        assert len(phone_features(sorted(labels))) == len(labels)
    with pytest.raises(ValueError, match="'SIL', expected phones"):
        phone_features(["AA", "SIL"])


def recursive_edits(a, b):
    @cache
    def edits(i, j):
        if not i or not j:
            return i + j
        exchanged = edits(i - 1, j - 1) + (a[i - 1] != b[j - 1])
        return min(edits(i - 1, j) + 1, edits(i, j - 1) + 1, exchanged)

    return edits(len(a), len(b))


def test_edit_distances_are_those_of_recursion():
    rng = np.random.default_rng(0)
    strings = [rng.choice(list("abcd"), size=rng.integers(1, 9)).tolist() for _ in range(14)]
    strings.append(strings[3])
    expected = [
        recursive_edits(a, b) / max(len(a), len(b))
        for i, a in enumerate(strings)
        for b in strings[i + 1 :]
    ]
    np.testing.assert_allclose(edit_rdm(strings), expected)
    words = [list("kitten"), list("sitting"), list("kitten")]
    np.testing.assert_allclose(edit_rdm(words), [3 / 7, 0, 3 / 7])
    with pytest.raises(ValueError, match="empty"):
        edit_rdm([["a"], [], ["b"]])


def spoken(speaker, slope):
    values = slope * np.arange(100, dtype=np.float32)
    phones = (
        ("SIL", 0, 0.1),
        ("AA", 0.1, 0.5),
        ("SIL", 0.5, 0.6),
        ("S", 0.6, 0.8),
        ("T", 0.8, 1.2),
    )
    return Utterance(
        id=speaker, text="", speaker=speaker, tracks={"jaw": Track(values, 100.0, "mm")},
        phones=tuple(Interval(*p) for p in phones), audio=np.zeros(16_000, np.float32),
    )  # fmt: skip


def test_places_of_articulators_are_means_over_phones_in_units_of_the_speaker():
    both = [spoken("a", 1), spoken("b", 7)]
    assert phone_strings(both) == [("AA", "S", "T")] * 2
    got = track_means(both, ["jaw"])[:, 0]
    middles = np.array([29.5, 69.5, 89.5])  # frames 10 to 49, 60 to 79, 80 to 99
    np.testing.assert_allclose(got, np.tile((middles - middles.mean()) / middles.std(), 2))
    with pytest.raises(ValueError, match="no track 'lips', only"):
        track_means(both, ["lips"])
