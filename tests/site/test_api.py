"""Every public name of the package is on the built page of its wing, with its source."""

import ast
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).parents[2]
SITE = ROOT / "_build" / "html"
WINGS = sorted(path.parent.name for path in ROOT.glob("speech_interp/*/__init__.py"))

if not SITE.is_dir():
    pytest.exit("no built site: run `make book` first", returncode=1)


@pytest.mark.parametrize("wing", WINGS)
def test_every_public_name_is_on_the_page_of_its_wing(wing):
    html = (SITE / "api" / f"{wing}.html").read_text(encoding="utf-8")
    page = BeautifulSoup(html, "html.parser")
    count = 0
    for path in (ROOT / "speech_interp" / wing).glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_":
                name = f"speech_interp.{wing}.{path.stem}.{node.name}"
                place = page.find(id=name)
                assert place, name
                assert "~" not in place.text, "a signature that Sphinx could not read"
                source = place.parent.find("a", string="Source")["href"]
                assert f"/speech_interp/{wing}/{path.stem}.py#L" in source
                count += 1
    assert count > 5


def test_signatures_show_axes_and_chapters_are_named():
    html = (SITE / "api" / "methods.html").read_text(encoding="utf-8")
    entry = BeautifulSoup(html, "html.parser").find(id="speech_interp.methods.cka.cka_matrix")
    assert "item unit" in entry.text
    assert entry.parent.find("a", href=lambda h: h and "notebooks/cka.html" in h)
