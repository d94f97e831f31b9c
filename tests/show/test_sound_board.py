import re

import numpy as np
import pytest
from player_pages import EVIL, Page, sound_of
from sound_samples import hum, tone, two_tables

from speech_interp.show.sound_board import Sample, Table, sound_board


def test_every_button_holds_its_own_sound():
    player = sound_board(two_tables(), title="chart")
    _, (wave, rate) = sound_of(player)
    keys = [e for e in Page(player.html).all(role="gridcell") if "data-t" in e[1]]
    assert [e[2] for e in keys] == ["ppea", "kkey", "b", "d", "i"]
    for (_, attributes, _), hertz, seconds in zip(
        keys, [300, 400, 500, 600, 700], [0.3, 0.3, 0.3, 0.5, 0.3], strict=True
    ):
        start, end = map(float, attributes["data-t"].split())
        assert end - start == pytest.approx(seconds, abs=1e-3)
        piece = wave[round(start * rate) : round(end * rate)]
        assert np.abs(np.fft.rfft(piece)).argmax() * rate / len(piece) == pytest.approx(
            hertz, abs=5
        )
        assert np.sqrt(np.mean(piece**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)
    assert repr(player) == "Player('chart', 5 sounds, 2.1 s)"


def test_rows_columns_and_names_are_read_out():
    html = sound_board(two_tables(), title="chart").html
    page, rows = Page(html), re.findall(r"<tr.*?</tr>", html)
    grids = [e[1]["aria-label"] for e in page.elements if e[0] == "table"]
    assert grids == ["plosives", "vowels"]
    assert [e[2] for e in page.all(role="rowheader")] == ["voiceless", "voiced", "high"]
    assert [e[2] for e in page.all(role="columnheader")] == ["lips", "teeth", "back", "front"]
    keys = [e[1] for e in page.all(role="gridcell") if "data-t" in e[1]]
    assert [k["aria-label"] for k in keys] == ["p as in pea", "k key", "b", "d", "i"]
    assert [k["aria-colindex"] for k in keys] == ["2", "4", "2", "3", "2"]
    widths = [len(re.findall(r"<t[hd] ", row)) for row in rows]
    assert widths == [4, 4, 4, 2, 2]


def test_slanted_rows_begin_further_right_and_end_where_they_did():
    key = Sample("x", tone(300, 0.05))
    table = Table("t", ["1", "2", "3"], ["a", "b", "c"], [[key] * 3] * 3, slant_px=10)
    keys = Page(sound_board([table], title="t").html).all(**{"class": "si-key"})
    moved = [float((re.findall(r"X\((\d+)px", e[1].get("style", "")) or [0])[0]) for e in keys]
    assert moved == [0, 0, 0, 10, 5, 0, 20, 10, 0]


def test_small_and_from_nowhere_else():
    html = sound_board(two_tables(), title="chart").html
    page = Page(html)
    assert sum(len(e[2].encode()) for e in page.elements if e[0] in ("script", "style")) < 17_000
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"base64,[^\"]+", "", html))
    assert "controls" in next(e for e in page.elements if e[0] == "audio")[1]


def test_every_text_is_escaped():
    evil = [Sample(e, tone(300, 0.05), e, e) for e in EVIL]
    page = Page(sound_board([Table(EVIL[0], [EVIL[1]], EVIL, [evil])], title=EVIL[2]).html)
    keys = [e for e in page.all(role="gridcell") if "data-t" in e[1]]
    assert [e[1]["aria-label"] for e in keys[:5]] == EVIL[:5]
    assert not [e for e in page.elements if e[0] in ("img", "b")]


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ([], "no sample in any"),
        ([Table("t", ["a"], ["b"], [[None]])], "no sample in any"),
        ([Table("t", ["a"], ["b"], [])], "t: expected 1 rows of 1 cells; got 0 rows"),
        ([Table("t", ["a"], ["b"], [[None, None]])], r"got 1 rows of \[2\]"),
        ([Table("t", ["a"], ["b"], [[Sample("x", np.zeros(0, np.float32))]])], "x: .*at least one"),
        (
            [Table("t", ["a"], ["b"], [[Sample("x", np.full(9, np.nan, np.float32))]])],
            "x: .*finite",
        ),
        ([Table("t", ["a"], ["b"], [[Sample("x", hum(301))]])], "at most 300 s; got 301"),
    ],
)
def test_errors_say_what_came_and_what_was_expected(tables, message):
    with pytest.raises(ValueError, match=message):
        sound_board(tables, title="t")
