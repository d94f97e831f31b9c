"""Tiers become words, phones, syllables and others; what cannot be meant is refused by name."""

import re

import numpy as np
import pytest

from speech_interp.speech.annotations import tiers_of, with_tiers
from speech_interp.speech.corpus import Interval, Utterance, load_corpus, phone_symbol
from speech_interp.speech.textgrid import AnnotationError, read_textgrid, write_textgrid

SOUND = Utterance(id="a", text="", audio=np.zeros(16000, np.float32))  # one second


def tier(*labels, step=0.25):
    return tuple(Interval(label, k * step, (k + 1) * step) for k, label in enumerate(labels))


def labels(intervals):
    return [i.label for i in intervals]


def test_what_the_montreal_forced_aligner_writes():
    aligned = {
        "words": tier("", "about", "<eps>", "<unk>"),
        "phones": tier("sil", "AH0", "B", "AW1"),
    }
    found = with_tiers(SOUND, aligned)
    assert labels(found.words) == ["about", "<unk>"] and found.text == "about <unk>"
    assert labels(found.phones) == ["SIL", "AX", "B", "AW"]
    assert found.words[0] == Interval("about", 0.25, 0.5)
    assert found.syllables == () and found.info == {}
    spoken = {f"anna - {name}": intervals for name, intervals in aligned.items()}
    assert with_tiers(SOUND, spoken).phones == found.phones


def test_labels_of_any_language_stay():
    ipa = tier("tʰ", "ɕ", "a˥˩", "")
    found = with_tiers(SOUND, {"phones": ipa, "words": tier("pau", "天", "AH0", "sp")})
    assert labels(found.phones) == ["tʰ", "ɕ", "a˥˩", "SIL"]
    assert labels(found.words) == ["pau", "天", "AH0"]  # a word of Portuguese, and one like a phone
    assert [phone_symbol(p.label) for p in found.phones[:3]] == ["tʰ", "ɕ", "a˥˩"]
    lower = with_tiers(SOUND, {"phones": tier("ah0", "X1", "AH2", "p2")})
    assert labels(lower.phones) == ["ah0", "X1", "AH", "p2"]


def test_tiers_by_name_in_any_case_and_way_of_writing():
    own = {
        "WO\u0308RTER": tier("ja", "", "ja"), " Laute": tier("j", "a", "", "j"),
        "Silben": tier("ja"), "Ton": (Interval("H*", 0.1, 0.1), Interval(" ", 0.2, 0.2)),
        "Notiz": tier("laut"),
    }  # fmt: skip
    names = {"words": "Wörter", "phones": "laute", "syllables": "Silben", "tone": "TON"}
    found = with_tiers(SOUND, own, names)
    assert (labels(found.words), labels(found.syllables)) == (["ja", "ja"], ["ja"])
    assert labels(found.phones) == ["j", "a", "SIL", "j"]
    assert found.info == {"tiers": {"tone": (Interval("H*", 0.1, 0.1),), "Notiz": tier("laut")}}
    nothing = with_tiers(SOUND, own, {})
    assert nothing.words == () and list(nothing.info["tiers"]) == list(own)


def test_a_text_that_is_known_stays():
    said = Utterance(id="a", text="Ja!", audio=SOUND.audio, info={"age": 3})
    found = with_tiers(said, {"words": tier("ja"), "x": tier("y")})
    assert found.text == "Ja!" and found.info == {"age": 3, "tiers": {"x": tier("y")}}


@pytest.mark.parametrize(
    ("tiers", "names", "message"),
    [
        ({"a": ()}, None, "no tier is called words or phones, only ['a']"),
        ({"a - words": (), "words": ()}, None, "'a - words' and 'words' both look like words"),
        ({"a": ()}, {"words": "b"}, "tier 'b': no such tier, expected one of ['a']"),
        ({"B": (), "b ": ()}, {"words": "b"}, "tier 'b': 2 tiers alike, expected one of"),
        ({"words": (Interval("x", 0.5, 0.5),)}, None, "'x' at 0.500-0.500 s is a point"),
        ({"phones": (Interval("x", 0.5, 1.1),)}, None, "not within the sound, 0-1.000 s"),
        ({"phones": (Interval("x", -0.5, 1),)}, None, "not within the sound, 0-1.000 s"),
        (
            {"phones": (Interval("x", 0, 0.5), Interval("y", 0.4, 0.6))}, None,
            "tier 'phones': 'y' at 0.400-0.600 s begins before 'x' ends",
        ),
    ],
)  # fmt: skip
def test_tiers_that_cannot_be_meant(tiers, names, message):
    with pytest.raises(AnnotationError, match=re.escape(message)):
        with_tiers(SOUND, tiers, names)


def test_the_last_label_may_outlast_the_sound_a_little():
    late = (Interval("a", 0.5, 1.04), Interval("", 1.04, 9.0))
    found = with_tiers(SOUND, {"words": late, "phones": late})
    assert found.words == (Interval("a", 0.5, 1.0),)
    assert found.phones == (Interval("a", 0.5, 1.0),)
    pause = (Interval("a", 0.0, 0.9), Interval("", 0.9, 9.0))
    assert with_tiers(SOUND, {"phones": pause}).phones[1] == Interval("SIL", 0.9, 1.0)


def test_an_utterance_of_the_corpus_goes_to_praat_and_back(tmp_path):
    ours = next(u for u in load_corpus("sentences") if u.words and u.phones)
    tones = (Interval("H*", 0.2, 0.2),)
    write_textgrid(
        tmp_path / "a.TextGrid", tiers_of(ours) | {"tones": tones}, end_s=ours.duration_s
    )
    plain = Utterance(id=ours.id, text=ours.text, audio=ours.audio)
    back = with_tiers(plain, read_textgrid(tmp_path / "a.TextGrid"))
    assert back.info["tiers"] == {"tones": tones}
    assert tiers_of(back)["tones"] == tones
    for role in ("words", "phones", "syllables"):
        theirs = [i for i in getattr(back, role) if i.label != "SIL"]
        expected = [i for i in getattr(ours, role) if i.label != "SIL"]
        assert labels(theirs) == labels(expected) and len(theirs) > 3
        for a, b in zip(theirs, expected, strict=True):
            assert (a.start_s, a.end_s) == pytest.approx((b.start_s, b.end_s), abs=1e-6)


def test_what_overlaps_by_rounding_is_cut():
    words = (Interval("a", 0.1, 0.3004), Interval("b", 0.3, 0.5))
    found = with_tiers(SOUND, {"words": words}).words
    assert found == (Interval("a", 0.1, 0.3004), Interval("b", 0.3004, 0.5))
