"""What leads to chapters: words of the search, figures of the gallery."""

from pathlib import Path
from types import SimpleNamespace

import front
import nbformat
import pytest
import yaml
from docutils.utils import new_document
from plain_markdown import directive
from sphinx import addnodes

ROOT = Path(__file__).parents[1]


def test_answer_is_read_from_the_first_cell(tmp_path):
    text = (
        "# T?\n\n```{glue:figure} other\n:alt: No.\n```\n\n"
        "```{glue:figure} answer\n:name: fig\n:alt: A curve.\n\nThe *mean* of `x`.\n```\nend"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
    nbformat.write(notebook, tmp_path / "a.ipynb")
    assert front.answer_of(tmp_path / "a.ipynb") == ("A curve.", "The *mean* of `x`.")
    assert front.without_marks("The *mean* of `x`, [words](https://a.b), a\\_b.") == (
        "The mean of x, words, a_b."
    )
    notebook.cells[0].source = "# T?"
    nbformat.write(notebook, tmp_path / "b.ipynb")
    assert front.answer_of(tmp_path / "b.ipynb") is None
    assert directive(text, "glue:figure", "third") is None


def test_words_lead_to_the_chapter_that_names_them():
    app = SimpleNamespace(config=SimpleNamespace(search_words={"notebooks/a": ["x", "y z"]}))
    for docname, words in {"notebooks/a": {"x", "y z"}, "notebooks/b": set()}.items():
        document = new_document("page")
        front.words_lead_to_their_chapters(app, document, docname)
        entries = [e for node in document.findall(addnodes.index) for e in node["entries"]]
        assert {entry[1] for entry in entries} == words
        assert all(entry[3] == "main" for entry in entries), "others come after all results"


@pytest.mark.parametrize("html_baseurl", ["https://book.org/a/", ""])
def test_site_map_names_every_page(tmp_path, html_baseurl):
    app = SimpleNamespace(
        builder=SimpleNamespace(format="html"),
        config=SimpleNamespace(html_baseurl=html_baseurl),
        env=SimpleNamespace(found_docs={"intro", "notebooks/a&b"}),
        outdir=tmp_path,
    )
    front.write_site_map(app, None)
    if not html_baseurl:
        assert not list(tmp_path.iterdir()), "a site map needs whole addresses"
        return
    text = (tmp_path / "sitemap.xml").read_text(encoding="utf-8")
    assert "<loc>https://book.org/a/intro.html</loc>" in text
    assert "<loc>https://book.org/a/notebooks/a&amp;b.html</loc>" in text


def test_no_word_of_the_search_leads_to_two_chapters():
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    by_chapter = config["sphinx"]["config"]["search_words"]
    words = [word.lower() for found in by_chapter.values() for word in found]
    assert len(words) == len(set(words))
    for page in by_chapter:
        assert (ROOT / f"{page}.ipynb").is_file() or (ROOT / f"{page}.md").is_file(), page
