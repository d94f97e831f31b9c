"""The bibliography: every citation resolves, every entry is of use, nothing is doubtful."""

import json
import re
from pathlib import Path

import pytest
from pybtex.database import parse_file

ROOT = Path(__file__).parents[1]
BIBLIOGRAPHY = ROOT / "references.bib"
ENTRIES = parse_file(str(BIBLIOGRAPHY)).entries
READING_LIST = (ROOT / "reading_list.md").read_text(encoding="utf-8")
CITE_ROLE = re.compile(r"\{cite:\w+\}`([^`]+)`")
SOURCE_KEY = re.compile(r"\[([A-Za-z][\w:-]*\d{4}[\w:-]*)\]")  # in docstrings: [kornblith2019]


def pages():
    """Every page of the book as (name, text): Markdown whole, notebooks by their text cells."""
    found = []
    for path in sorted(ROOT.glob("*.md")):
        found.append((path.name, path.read_text(encoding="utf-8")))
    for path in sorted(ROOT.glob("notebooks/*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
        found.append((path.name, text))
    return found


PAGES = pages()


def cited_in(text):
    return {key.strip() for keys in CITE_ROLE.findall(text) for key in keys.split(",")}


def test_pages_cite_something():
    assert sum(len(cited_in(text)) for _, text in PAGES) > 40


@pytest.mark.parametrize(("name", "text"), PAGES, ids=[name for name, _ in PAGES])
def test_every_citation_resolves(name, text):
    assert not cited_in(text) - set(ENTRIES)


@pytest.mark.parametrize(("name", "text"), PAGES, ids=[name for name, _ in PAGES])
def test_a_page_that_cites_lists_its_references(name, text):
    if cited_in(text) and name != "reading_list.md":
        assert ":filter: docname in docnames" in text


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("speech_interp/**/*.py")), ids=lambda path: path.name
)
def test_source_keys_in_the_package_resolve(path):
    keys = set(SOURCE_KEY.findall(path.read_text(encoding="utf-8")))
    assert not keys - set(ENTRIES)


def test_every_entry_is_in_the_reading_list():
    themes = re.findall(r':filter: keywords % "(\w+)"', READING_LIST)
    assert len(themes) == len(set(themes))
    without = [key for key, e in ENTRIES.items() if e.fields.get("keywords") not in themes]
    assert not without
    empty = [t for t in themes if not any(e.fields["keywords"] == t for e in ENTRIES.values())]
    assert not empty


def test_every_entry_says_why_to_read_it():
    assert not [
        key for key, e in ENTRIES.items() if not e.fields.get("annote", "").endswith((".", "?"))
    ]


@pytest.mark.parametrize("field", ["doi", "eprint", "title"])
def test_no_two_entries_are_the_same_work(field):
    seen = {}
    for key, entry in ENTRIES.items():
        value = entry.fields.get(field, "").lower().translate(str.maketrans("", "", "{}"))
        if value:
            assert value not in seen, f"{key} and {seen[value]}: same {field}"
            seen[value] = key


@pytest.mark.parametrize("key", list(ENTRIES))
def test_an_entry_can_be_found_by_a_reader(key):
    entry = ENTRIES[key]
    assert entry.persons["author"]
    assert re.fullmatch(r"(19|20)\d\d", entry.fields["year"])
    reachable = {"doi", "url", "eprint"} & set(entry.fields)
    assert reachable or "booktitle" in entry.fields
    if "doi" in entry.fields:
        assert re.fullmatch(r"10\.\d{4,9}/\S+", entry.fields["doi"])
    if "eprint" in entry.fields:
        assert re.fullmatch(r"\d{4}\.\d{4,5}", entry.fields["eprint"])
        assert entry.fields["archiveprefix"] == "arXiv"


def test_nothing_is_doubtful():
    text = BIBLIOGRAPHY.read_text(encoding="utf-8")
    assert not re.search(r"unverified|todo|\?\?|note\s*=\s*\{\s*\}", text, re.IGNORECASE)


def test_entries_are_sorted():
    assert list(ENTRIES) == sorted(ENTRIES, key=str.lower)


def test_entries_are_laid_out_alike():
    for block in BIBLIOGRAPHY.read_text(encoding="utf-8").strip().split("\n\n"):
        head, *fields, tail = block.split("\n")
        assert re.fullmatch(r"@[a-z]+\{[^,\s]+,", head), head
        assert tail == "}", head
        assert len({line.index("=") for line in fields}) == 1, head
        for i, line in enumerate(fields):
            comma = "" if i == len(fields) - 1 else ","
            assert re.fullmatch(r"  [a-z]+ *= \{.+\}" + comma, line), line


def test_landing_page_links_every_chapter_that_exists():
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    landing = dict(PAGES)["intro.md"]
    chapters = re.findall(r"file: (notebooks/\w+)", toc)
    assert chapters
    assert not [c for c in chapters if f"{{doc}}`{c}`" not in landing and f"<{c}>`" not in landing]
