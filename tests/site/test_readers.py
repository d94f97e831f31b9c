"""Notebooks for readers, as the built site offers them: plain, and at one with their pages."""

import json
import re
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).parents[2]
SITE = ROOT / "_build" / "html"
FILES = sorted(SITE.glob("_sources/notebooks/*.ipynb"))
ADDRESS = yaml.safe_load((ROOT / "_config.yml").read_text())["html"]["baseurl"]

if not FILES:
    pytest.exit("no built site: run `make book` first", returncode=1)

chapter = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def texts(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    found = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    return [re.sub(r"```\n.*?```", "", text, flags=re.DOTALL) for text in found]


def test_every_chapter_has_one():
    assert {p.stem for p in FILES} == {p.stem for p in SITE.glob("notebooks/*.html")}


@chapter
def test_no_role_and_no_directive_is_left(path):
    for text in texts(path):
        assert not re.search(r"\{[a-z][\w:-]*\}`|^\s*(:{3,}|`{3,}\{)|^\([\w-]+\)=$", text, re.M), (
            text
        )


@chapter
def test_every_link_leaves_the_notebook_and_those_to_the_site_arrive(path):
    for text in texts(path):
        text = re.sub(r"`[^`]*`|\$[^$\n]*\$", "", text)
        for target in re.findall(r"""\]\(([^)]*)\)|<img src="([^"]*)""", text):
            target = "".join(target)
            assert target.startswith("https://") or target.startswith("http://"), target
            if target.startswith(ADDRESS):
                file, _, anchor = target.removeprefix(ADDRESS).partition("#")
                assert (SITE / file).is_file(), target
                assert not anchor or f'id="{anchor}"' in (SITE / file).read_text(), target


@chapter
def test_numbers_and_citations_are_those_of_the_page(path):
    html = (SITE / "notebooks" / f"{path.stem}.html").read_text(encoding="utf-8")
    article = BeautifulSoup(html, "html.parser").find("article")
    page = " ".join(article.text.split())
    source = "\n".join(texts(path))
    for number in article.select("span.pasted-text"):
        text = number.text.strip()
        if re.fullmatch(r"-?[\d.]+", text):
            assert text in source
    cited = re.findall(r"\[([^\]]*?),? \(?(\d{4})\)?\]\(http", source)
    assert cited
    for names, year in cited:
        assert re.search(rf"{re.escape(names)},? \(?{year}", page), (names, year)


@chapter
def test_nothing_has_run_and_the_run_of_the_site_is_named_once(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert not any(cell.get("outputs") for cell in notebook["cells"])
    assert sum("those of the page, computed on" in text for text in texts(path)) == 1
