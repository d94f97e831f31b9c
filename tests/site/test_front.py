"""The gallery shows the answers of all chapters in their order; the site map is whole."""

import re
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup
from PIL import Image

ROOT = Path(__file__).parents[2]
SITE = ROOT / "_build" / "html"
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
PAGES = [TOC["root"], *(entry["file"] for part in TOC["parts"] for entry in part["chapters"])]
BASE = yaml.safe_load((ROOT / "_config.yml").read_text())["html"]["baseurl"].rstrip("/")

if not SITE.is_dir():
    pytest.exit("no built site: run `make book` first", returncode=1)


def test_gallery_shows_every_answer_and_leads_to_its_chapter():
    page = BeautifulSoup((SITE / "gallery.html").read_text(encoding="utf-8"), "html.parser")
    links = [link["href"] for link in page.select("figure.answer a")]
    assert links == [f"{p}.html" for p in PAGES if p.startswith("notebooks/")]
    for figure in page.select("figure.answer"):
        with Image.open(SITE / figure.find("img")["src"]) as picture:
            assert min(picture.size) > 200
        assert len(figure.find("img")["alt"]) > 40 and len(figure.find("figcaption").text) > 20


def test_site_map_names_exactly_the_pages_of_the_book():
    text = (SITE / "sitemap.xml").read_text(encoding="utf-8")
    assert sorted(re.findall("<loc>(.*?)</loc>", text)) == sorted(f"{BASE}/{p}.html" for p in PAGES)


def test_a_reader_who_looks_for_a_gpu_finds_a_page():
    text = (SITE / "computed.html").read_text(encoding="utf-8")
    assert "GPU" in BeautifulSoup(text, "html.parser").find("article").text


@pytest.mark.parametrize("name", [p for p in PAGES if p.startswith("notebooks/")])
def test_every_chapter_says_under_its_title_when_it_was_computed(name):
    """In the words of the table of all chapters, which reads the record of the same run."""
    html = {n: (SITE / f"{n}.html").read_text(encoding="utf-8") for n in (name, "computed")}
    lines = BeautifulSoup(html[name], "html.parser").select("h1 + .last-computed")
    table = BeautifulSoup(html["computed"], "html.parser").find("table")
    rows = [row for row in table.select("tr") if row.find("a", href=f"{name}.html")]
    assert len(lines) == len(rows) == 1
    time = rows[0].select("td")[-1].select("p")[-1].text
    seconds, day = re.fullmatch(r"(\d+ s), (\d+ \w+ \d{4})", time).groups()
    assert f"Computed on {day} in {seconds} with " in lines[0].text
    for model in {item.find("strong").text for item in rows[0].select("li")}:
        assert f"{model} (" in lines[0].text
    assert lines[0].find("a")["href"].endswith("computed.html")
