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
