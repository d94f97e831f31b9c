"""The built site, read as files: every chapter is there, whole, and can be heard and read."""

import base64
import io
import re
from functools import cache
from pathlib import Path

import pytest
import soundfile as sf
import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).parents[2]
SITE = ROOT / "_build" / "html"
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
PAGES = [TOC["root"], *(entry["file"] for part in TOC["parts"] for entry in part["chapters"])]
CHAPTERS = [page for page in PAGES if page.startswith("notebooks/")]

if not SITE.is_dir():
    pytest.exit("no built site: run `make book` first", returncode=1)


@cache
def page(name: str) -> BeautifulSoup:
    return BeautifulSoup((SITE / f"{name}.html").read_text(encoding="utf-8"), "html.parser")


@pytest.mark.parametrize("name", PAGES)
def test_page_is_there_and_says_what_it_is(name):
    assert len(page(name).find("h1").text) > 5


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_code_cell_ran_without_an_error(name):
    outputs = page(name).select(".cell_output")
    assert outputs
    for output in outputs:
        assert not output.select(".traceback, .stderr"), output.text[:300]
        assert not re.search(r"\b\w+(Error|Warning): ", output.text), output.text[:300]


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_player_has_a_playable_source(name):
    sources = re.findall(r"data:audio/mpeg;base64,([A-Za-z0-9+/=]+)", str(page(name)))
    assert sources
    for source in sources:
        wave, rate_hz = sf.read(io.BytesIO(base64.b64decode(source)))
        assert rate_hz == 16000 and len(wave) > 400 and abs(wave).max() > 0.01


@pytest.mark.parametrize("name", PAGES)
def test_every_picture_has_words_for_those_who_cannot_see_it(name):
    for image in page(name).select("article img"):
        assert len(image.get("alt", "")) > 10 and not image["alt"].startswith("../"), image
    for drawing in page(name).select("article svg[role=img]"):
        assert drawing.get("aria-label") or drawing.find("title"), str(drawing)[:200]


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_chapter_says_which_checkpoints_computed_it(name):
    text = page(name).text
    assert re.search(r"(original weights from|STAND-IN|weights from local folder)", text)


@pytest.mark.parametrize("name", PAGES)
def test_no_number_is_missing(name):
    article = page(name).find("article").text
    assert "{glue" not in article and "nan %" not in article


@pytest.mark.parametrize("name", PAGES)
def test_no_hole_where_a_number_should_be(name):
    """A number that cannot be formatted leaves nothing behind but the spaces around it."""
    article = BeautifulSoup(str(page(name).find("article")), "html.parser")
    for cell in article.select(".cell, pre, svg"):
        cell.extract()
    for element in article.select("p, td, li"):
        if not element.find(["p", "td", "li"]):
            text = re.sub(r"<[^>]+>", "", element.decode_contents()).replace("\n", " ")
            assert not re.search(r"\S  +\S|\( |^ +\S", text), text
