"""Points stand where they belong and each plays its own sound."""

import re

import numpy as np
import pytest
from player_pages import EVIL, Page, sound_of
from sound_samples import tone

from speech_interp.show.player_parts import clean_text
from speech_interp.show.sound_board import Sample
from speech_interp.show.sound_map import sound_map

PLACES = np.array([[0.0, 0], [10, 0], [5, 30], [10, 29.5]])
HERTZ = (300, 400, 500, 600)


def four(**options):
    samples = [Sample(f"{hz}", tone(hz, 0.2), said=f"tone of {hz}") for hz in HERTZ]
    return sound_map(samples, PLACES, title="tones", x_name="pitch", y_name="height", **options)


def points(player):
    return [e for e in Page(player.html).all(role="gridcell") if "data-t" in e[1]]


def test_every_point_holds_its_own_sound():
    player = four()
    _, (wave, rate) = sound_of(player)
    for _, attributes, shown in points(player):
        start, end = map(float, attributes["data-t"].split())
        piece = wave[round(start * rate) : round(end * rate)]
        peak = np.abs(np.fft.rfft(piece)).argmax() * rate / len(piece)
        assert peak == pytest.approx(float(shown), abs=6)
        assert attributes["aria-label"] == f"tone of {shown}"
    assert repr(player) == "Player('tones', 4 sounds, 1.1 s)"


def test_points_stand_at_their_places_in_rows_from_the_top():
    found = {}
    for _, attributes, shown in points(four()):
        style = attributes["style"]
        found[shown] = [float(re.search(f"{k}:([0-9.]+)%", style)[1]) for k in ("left", "top")]
    assert list(found) == ["500", "600", "300", "400"]  # two above, from the left, two below
    assert found["300"] == [4, 96] and found["400"] == [96, 96]
    assert found["500"] == [50, 4] and found["600"][0] == 96 and 4 < found["600"][1] < 10
    assert [e[1]["aria-colindex"] for e in points(four())] == ["51", "100", "1", "100"]
    assert len(Page(four().html).all(role="row")) == 2
    grid = Page(four().html).all(role="grid")[0][1]
    assert grid["aria-label"] == "tones: pitch from left to right, height upwards"


def test_text_reads_on_every_colour():
    player = four(colours=["#000000", "#ffffff", "#0072b2", "#ffff00"])
    styles = {e[2]: e[1]["style"] for e in points(player)}
    assert "background:#000000;color:#fff" in styles["300"]
    assert "background:#ffff00;color:#000" in styles["600"]


def test_every_text_is_escaped():
    samples = [Sample(e, tone(300, 0.05), said=e) for e in EVIL]
    places = np.arange(2.0 * len(EVIL)).reshape(-1, 2)
    player = sound_map(samples, places, title=EVIL[0], x_name=EVIL[1], y_name=EVIL[2])
    assert sorted(e[1]["aria-label"] for e in points(player)) == sorted(map(clean_text, EVIL))
    assert not [e for e in Page(player.html).elements if e[0] in ("img", "b")]


def test_errors_name_what_came():
    with pytest.raises(ValueError, match=r"shape \(2, 2\), expected finite \(1, 2\)"):
        sound_map([Sample("x", tone(300, 0.1))], PLACES[:2], title="", x_name="", y_name="")
    with pytest.raises(ValueError, match="colours name 1 points, expected 4"):
        four(colours=["#000000"])
