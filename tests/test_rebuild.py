"""A build after no change writes no page, one after a change writes all, and search finds words
of the index after both."""

import io
import json
import re
from pathlib import Path

import pytest
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]


class Book:
    def __init__(self, root):
        self.root, self.site = root, root / "_build" / "html"
        (root / "_static").mkdir()
        (root / "_static" / "book.css").write_text("a {}")
        (root / "conf.py").write_text("extensions = ['rebuild']\nexclude_patterns = ['_build']\n")
        self.write("index", "Start", ".. toctree::\n\n   probing")
        self.write("probing", "Probing", ".. index:: selectivity")

    def write(self, name, title, text):
        (self.root / f"{name}.rst").write_text(f"{title}\n=======\n\n{text}\n")

    def build(self, builder="html"):
        """The pages that a build has written."""
        before = self.times()
        doctrees, site = self.root / "_build" / ".doctrees", self.root / "_build" / builder
        Sphinx(
            *map(str, (self.root, self.root, site, doctrees)),
            builder,
            status=None,
            warning=io.StringIO(),
        ).build()
        return {page for page, time in self.times().items() if time != before.get(page)}

    def times(self):
        pages = [self.site / f"{name}.html" for name in ("index", "probing")]
        return {page.stem: page.stat().st_mtime_ns for page in pages if page.exists()}

    def index_words(self):
        found = (self.site / "searchindex.js").read_text()
        return json.loads(re.search(r"setIndex\((.*)\)", found)[1])["indexentries"]


@pytest.fixture
def book(tmp_path):
    return Book(tmp_path)


def test_nothing_is_written_twice_and_search_keeps_the_words_of_the_index(book):
    assert book.build() == {"index", "probing"}
    words = book.index_words()
    assert "selectivity" in words
    assert book.build() == set()
    assert book.index_words() == words


@pytest.mark.parametrize("name", ["probing.rst", "_static/book.css"])
def test_a_change_is_on_every_page(book, name):
    book.build()
    (book.root / name).write_text((book.root / name).read_text() + "\n\nAnd this.\n")
    assert book.build() == {"index", "probing"}
    assert "selectivity" in book.index_words()


def test_a_site_that_another_build_left_behind_is_written(book):
    """A check of links reads the changed pages, so that Sphinx takes them for known."""
    book.build()
    book.write("probing", "Probing", ".. index:: control task")
    book.build("dummy")
    assert book.build() == {"index", "probing"}
    assert list(book.index_words()) == ["control task"]


def test_the_book_uses_it():
    assert "    rebuild: _ext\n" in (ROOT / "_config.yml").read_text(encoding="utf-8")
