"""Files of labels, typed by hand as their programs write them, and the times that stand in them."""

import pandas as pd
import pytest

from speech_interp.speech.annotation_files import (
    read_audacity,
    read_ctm,
    read_elan,
    read_table,
    read_tiers,
)
from speech_interp.speech.corpus import Interval
from speech_interp.speech.textgrid import AnnotationError

EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2026-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0">
  <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>
  <TIME_ORDER>
    <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="100"/>
    <TIME_SLOT TIME_SLOT_ID="ts2"/>
    <TIME_SLOT TIME_SLOT_ID="ts3"/>
    <TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="700"/>
    <TIME_SLOT TIME_SLOT_ID="ts5" TIME_VALUE="1000"/>
  </TIME_ORDER>
  <TIER LINGUISTIC_TYPE_REF="gloss" PARENT_REF="Wort" TIER_ID="glosse">
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="b1" ANNOTATION_REF="a2">
      <ANNOTATION_VALUE>house</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="b2" ANNOTATION_REF="a2" PREVIOUS_ANNOTATION="b1">
      <ANNOTATION_VALUE>PL</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER LINGUISTIC_TYPE_REF="word" TIER_ID="Wort">
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a3" TIME_SLOT_REF1="ts4" TIME_SLOT_REF2="ts5">
      <ANNOTATION_VALUE>da &amp; dort</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
      <ANNOTATION_VALUE>die</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3">
      <ANNOTATION_VALUE>Häuser</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER LINGUISTIC_TYPE_REF="word" TIER_ID="leer"/>
</ANNOTATION_DOCUMENT>
"""


def close(found, expected):
    assert [i.label for i in found] == [label for label, _, _ in expected]
    for interval, (_, start, end) in zip(found, expected, strict=True):
        assert (interval.start_s, interval.end_s) == pytest.approx((start, end), abs=1e-9)


def test_elan(tmp_path):
    path = tmp_path / "a.eaf"
    path.write_text(EAF, encoding="utf-8")
    tiers = read_elan(path)
    assert list(tiers) == ["glosse", "Wort", "leer"] and tiers["leer"] == ()
    # 100 and 700 ms with two slots between them: 300 and 500.
    close(tiers["Wort"], [("die", 0.1, 0.3), ("Häuser", 0.3, 0.5), ("da & dort", 0.7, 1.0)])
    close(tiers["glosse"], [("house", 0.3, 0.4), ("PL", 0.4, 0.5)])
    assert read_tiers(path) == tiers


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: "no xml", "not the XML that ELAN writes"),
        (lambda t: "<TextGrid/>", "got <TextGrid>, expected <ANNOTATION_DOCUMENT>"),
        (lambda t: t.replace('REF="a2"', 'REF="a9"'), "tier 'glosse': refers to 'a9'"),
        (lambda t: t.replace('REF2="ts5"', 'REF2="ts9"'), "tier 'Wort': a3 names no time slot"),
        (lambda t: t.replace(' TIME_VALUE="100"', ""), "time slot ts1 has no time"),
    ],
)
def test_elan_errors(tmp_path, change, message):
    path = tmp_path / "a.eaf"
    path.write_text(change(EAF), encoding="utf-8")
    with pytest.raises(AnnotationError, match=rf"a\.eaf.*{message}"):
        read_elan(path)


def test_ctm(tmp_path):
    path = tmp_path / "a.ctm"
    path.write_text(";; made by hand\nr2 1 0.50 0.25 zwei 0.9\nr1 A 0.3 0.1 b\nr1 A 0.1 0.2 a\n\n")
    found = read_ctm(path, tier="phones")
    assert list(found) == ["r2", "r1"]
    close(found["r2"]["phones"], [("zwei", 0.5, 0.75)])
    close(found["r1"]["phones"], [("a", 0.1, 0.3), ("b", 0.3, 0.4)])
    path.write_text("r1 A 0.1 0.2 a\nr1 A 0.1 word\n")
    with pytest.raises(AnnotationError, match=r"a\.ctm, line 2: got 'r1 A 0\.1 word', expected"):
        read_ctm(path)


def test_audacity(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(
        "0,5\t0,75\tzwei Wörter\n\\\t100,0\t900,0\n1.5\t1.5\t\n2\t3\n", encoding="utf-8"
    )
    expected = (
        Interval("zwei Wörter", 0.5, 0.75), Interval("", 1.5, 1.5), Interval("", 2, 3),
    )  # fmt: skip
    assert read_audacity(path) == expected
    assert read_tiers(path) == {"labels": expected}
    path.write_text("1.5\t1.6\ta\nHello there.\n")
    with pytest.raises(AnnotationError, match=r"a\.txt, line 2: got 'Hello there\.'"):
        read_audacity(path)


ROWS = [
    {"datei": "x/b.wav", "von": 0.5, "bis": 0.75, "laut": "ts", "art": "phones"},
    {"datei": "a.wav", "von": 0.25, "bis": 0.5, "laut": "b", "art": "phones"},
    {"datei": "a.wav", "von": 0.0, "bis": 0.25, "laut": "a", "art": "phones"},
    {"datei": "a.wav", "von": 0.0, "bis": 0.5, "laut": "ab", "art": "words"},
]
NAMES = {"file": "datei", "start": "von", "end": "bis", "label": "laut", "tier": "art"}


@pytest.mark.parametrize("kind", ["pandas", "csv", "semicolons", "tsv", "parquet"])
def test_tables(tmp_path, kind):
    table, path = pd.DataFrame(ROWS), tmp_path / f"t.{kind}"
    if kind == "parquet":
        table.to_parquet(path)
    elif kind != "pandas":
        table.to_csv(path, index=False, sep={"csv": ",", "semicolons": ";", "tsv": "\t"}[kind])
    assert read_table(table if kind == "pandas" else path, **NAMES) == {
        "b": {"phones": (Interval("ts", 0.5, 0.75),)},
        "a": {
            "phones": (Interval("a", 0.0, 0.25), Interval("b", 0.25, 0.5)),
            "words": (Interval("ab", 0.0, 0.5),),
        },
    }


def test_tables_that_lack_something(tmp_path):
    table = pd.DataFrame(ROWS)
    with pytest.raises(AnnotationError, match=r"the table: no column 'file', only \['datei'"):
        read_table(table)
    table.loc[1, "bis"] = float("nan")
    with pytest.raises(AnnotationError, match=r"the table, row 2: got 0\.25 and nan, expected"):
        read_table(table, **NAMES)
    table = pd.DataFrame(ROWS)
    table.loc[0, "laut"] = None
    found = read_table(table, **(NAMES | {"tier": None}), default_tier="x")
    assert found["b"] == {"x": (Interval("", 0.5, 0.75),)}
    path = tmp_path / "t.csv"
    path.write_text("datei,von,bis,laut\na,eins,2,x\n")
    with pytest.raises(AnnotationError, match=r"t\.csv, row 1: got 'eins' and '2'"):
        read_table(path, **(NAMES | {"tier": None}))


def test_other_files_are_refused(tmp_path):
    with pytest.raises(AnnotationError, match=r"a\.docx: expected a file that ends in one of"):
        read_tiers(tmp_path / "a.docx")
