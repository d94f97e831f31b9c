"""TextGrids of every form and encoding say what was written into them by hand, or by praatio."""

import re

import pytest

from speech_interp.speech.annotations import tiers_of
from speech_interp.speech.corpus import Interval, load_corpus
from speech_interp.speech.textgrid import AnnotationError, read_textgrid, write_textgrid

# Praat's two forms of one grid, typed by hand. Labels that look like the syntax are on purpose.
LONG = '''File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0 
xmax = 2.5 
tiers? <exists> 
size = 3 
item []: 
    item [1]:
        class = "IntervalTier" 
        name = "Wörter" 
        xmin = 0 
        xmax = 2.5 
        intervals: size = 3 
        intervals [1]:
            xmin = 0 
            xmax = 0.5 
            text = "" 
        intervals [2]:
            xmin = 0.5 
            xmax = 1.1 
            text = "he said ""hi"" ! xmin = 3 text = ""x""" 
        intervals [3]:
            xmin = 1.1 
            xmax = 1.5 
            text = "zwei
Zeilen ɕ" 
    item [2]:
        class = "TextTier" 
        name = "TÖNE" 
        xmin = 0 
        xmax = 2.5 
        points: size = 2 
        points [1]:
            number = 7e-1 
            mark = "H*" 
        points [2]:
            number = 0.9 
            mark = "" 
    item [3]:
        class = "IntervalTier" 
        name = "Wörter" 
        xmin = 0 
        xmax = 2.5 
        intervals: size = 0 
'''
SHORT = '''File type = "ooTextFile"
"TextGrid"

0
2.5
<exists>
3
"IntervalTier"
"Wörter"
0 2.5 ! a comment with 7 and "a string"
3
0
0.5
""
0.5
1.1
"he said ""hi"" ! xmin = 3 text = ""x"""
1.1
1.5
"zwei
Zeilen ɕ"
"TextTier"
"TÖNE"
0
2.5
2
0.7
"H*"
0.9
""
"IntervalTier"
"Wörter"
0
2.5
0
'''
TIERS = {
    "Wörter": (
        Interval("", 0.0, 0.5),
        Interval('he said "hi" ! xmin = 3 text = "x"', 0.5, 1.1),
        Interval("zwei\nZeilen ɕ", 1.1, 1.5),  # the tier does not reach the end
    ),
    "TÖNE": (Interval("H*", 0.7, 0.7), Interval("", 0.9, 0.9)),
    "Wörter (2)": (),
}
ENCODERS = {
    "utf-8": str.encode,
    "utf-8 with a mark": lambda text: text.encode("utf-8-sig"),
    "utf-16 with a mark": lambda text: text.encode("utf-16"),
    "big endian with a mark": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "little endian": lambda text: text.encode("utf-16-le"),
    "big endian": lambda text: text.encode("utf-16-be"),
    "lines of Windows": lambda text: text.replace("\n", "\r\n").encode(),
    "lines of old Macs": lambda text: text.replace("\n", "\r").encode(),
}


@pytest.mark.parametrize("form", [LONG, SHORT], ids=["long", "short"])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_form_and_encoding(tmp_path, form, encoder):
    path = tmp_path / "a.TextGrid"
    path.write_bytes(ENCODERS[encoder](form))
    assert read_textgrid(path) == TIERS
    assert list(read_textgrid(path)) == list(TIERS)


def test_older_encodings_are_asked_for(tmp_path):
    path = tmp_path / "old.TextGrid"
    path.write_bytes(LONG.replace("ɕ", "").encode("latin-1"))
    with pytest.raises(AnnotationError, match=r"old\.TextGrid: byte 174 is not utf-8.*latin-1"):
        read_textgrid(path)
    assert "Wörter" in read_textgrid(path, encoding="latin-1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: "hello", "the file ends, expected a string"),
        (lambda t: t.replace("TextGrid", "Pitch 1"), 'line 2: got "Pitch 1", expected "ooText'),
        (lambda t: t.replace("TextTier", "Tier"), 'line 29: got "Tier", expected "IntervalTier"'),
        (lambda t: t.replace("xmax = 0.5", "xmax = a"), 'line 18: got "", expected a number'),
        (lambda t: t.replace("xmax = 1.1", "xmax = 0.1"), r"line 21: .*expected an end at 0\.5 s"),
        (lambda t: t.replace("size = 0", "size = 1"), "the file ends, expected a number"),
        (lambda t: t.replace("size = 3 \n        int", "size = -3 \n int"), "line 14: .*how many"),
        (lambda t: t[:600], "expected"),
    ],
)
def test_errors_name_the_line(tmp_path, change, message):
    path = tmp_path / "bad.TextGrid"
    path.write_text(change(LONG), encoding="utf-8")
    with pytest.raises(AnnotationError, match=rf"bad\.TextGrid.*{message}"):
        read_textgrid(path)


def test_binary_grids_and_grids_without_tiers(tmp_path):
    path = tmp_path / "b.TextGrid"
    path.write_bytes(b"ooBinaryFile\x08TextGrid\x00\xff")
    with pytest.raises(AnnotationError, match="Save as text file"):
        read_textgrid(path)
    path.write_text(LONG.split("size")[0].replace("<exists>", "<absent>"), encoding="utf-8")
    assert read_textgrid(path) == {}


def test_what_is_written_reads_back(tmp_path):
    path = tmp_path / "a.TextGrid"
    phones = (Interval('"', 0.25, 1 / 3), Interval("ɕ\n2", 1 / 3, 0.5), Interval("SIL", 0.7, 1.0))
    points = (Interval("L-", 0.1, 0.1), Interval("H*", 0.6, 0.6))
    write_textgrid(path, {"phones": phones, "tones": points, "none": ()}, end_s=1.2)
    assert read_textgrid(path) == {
        "phones": (
            Interval("", 0.0, 0.25), *phones[:2], Interval("", 0.5, 0.7), phones[2],
            Interval("", 1.0, 1.2),
        ),
        "tones": points,
        "none": (Interval("", 0.0, 1.2),),
    }  # fmt: skip


def test_rounding_leaves_no_cracks(tmp_path):
    """Praat reads a crack of 10 ns as an interval of its own, and may refuse an overlap."""
    path = tmp_path / "a.TextGrid"
    apart = (Interval("a", 1e-8, 0.3), Interval("b", 0.3 + 1e-8, 0.6), Interval("c", 0.6 - 1e-8, 1))
    write_textgrid(path, {"phones": apart}, end_s=1 + 1e-8)
    edges = [(i.start_s, i.end_s) for i in read_textgrid(path)["phones"]]
    assert edges == [(0, 0.3), (0.3, 0.6), (0.6, 1 + 1e-8)]


def test_praatio_reads_what_is_written(tmp_path):
    praatio = pytest.importorskip("praatio.textgrid", reason="praatio is not installed")
    path = tmp_path / "a.TextGrid"
    write_textgrid(path, TIERS, end_s=2.5)
    grid = praatio.openTextgrid(str(path), includeEmptyIntervals=True)
    assert grid.tierNames == tuple(TIERS) and grid.maxTimestamp == 2.5
    words = [tuple(entry) for entry in grid.getTier("Wörter").entries]
    spelled = [(i.start_s, i.end_s, i.label) for i in TIERS["Wörter"]]
    assert words == [*spelled, (1.5, 2.5, "")]
    points = [tuple(entry) for entry in grid.getTier("TÖNE").entries]
    assert points == [(0.7, "H*"), (0.9, "")]


@pytest.mark.parametrize("form", ["long_textgrid", "short_textgrid"])
def test_what_praatio_writes(tmp_path, form):
    praatio = pytest.importorskip("praatio.textgrid", reason="praatio is not installed")
    grid = praatio.Textgrid(0, 2)
    grid.addTier(praatio.IntervalTier("phones", [(0.5, 0.9, 'a"b'), (0.9, 1.25, "ɕ")], 0, 2))
    grid.addTier(praatio.PointTier("tones", [(0.75, "H*")], 0, 2))
    path = tmp_path / "theirs.TextGrid"
    grid.save(str(path), format=form, includeBlankSpaces=True)
    assert read_textgrid(path) == {
        "phones": (
            Interval("", 0, 0.5), Interval('a"b', 0.5, 0.9), Interval("ɕ", 0.9, 1.25),
            Interval("", 1.25, 2),
        ),
        "tones": (Interval("H*", 0.75, 0.75),),
    }  # fmt: skip


def test_intervals_that_no_grid_holds(tmp_path):
    path = tmp_path / "a.TextGrid"
    overlap = (Interval("a", 0, 0.5), Interval("b", 0.4, 0.6))
    message = "tier 'phones': 'b' begins at 0.400 s, before 'a' ends at 0.500 s"
    with pytest.raises(AnnotationError, match=re.escape(message)):
        write_textgrid(path, {"phones": overlap}, end_s=1)
    for beyond in (Interval("a", 0.5, 1.2), Interval("a", -0.1, 0.2), Interval("a", 2, 2)):
        with pytest.raises(AnnotationError, match=r"tier 'x': 'a' lies at .* s, expected within"):
            write_textgrid(path, {"x": [beyond]}, end_s=1)
    assert not path.exists()


def test_our_own_utterances_outlast_their_sound_by_rounding_only(tmp_path):
    """Times of the corpus have four digits, a sound ends where its last sample does."""
    for u in load_corpus("sentences")[::40]:
        write_textgrid(tmp_path / "u.TextGrid", tiers_of(u), end_s=u.duration_s)
        back = read_textgrid(tmp_path / "u.TextGrid")["phones"]
        named = [(i.label, i.start_s) for i in back if i.label]
        assert [label for label, _ in named] == [p.label for p in u.phones]
        assert [t for _, t in named] == pytest.approx([p.start_s for p in u.phones], abs=1e-4)
        assert back[-1].end_s == u.duration_s
