"""Chapters are executed side by side, once, with as many threads as there are cores for."""

import os
from types import SimpleNamespace

import nbformat
import pytest
import side_by_side
from jupyter_cache import get_cache
from nbformat.v4 import new_code_cell, new_notebook
from sphinx.errors import ExtensionError

GIB = 1 << 30


@pytest.mark.parametrize(
    ("chapters", "cores", "gib", "expected"),
    [
        (6, 2, 20, (2, 1)),
        (6, 4, 15, (3, 1)),  # memory for three
        (1, 4, 15, (1, 4)),
        (3, 8, 64, (3, 2)),
        (6, 2, 1, (1, 2)),  # little memory: still one
    ],
)
def test_processes_and_threads(chapters, cores, gib, expected):
    found = side_by_side.processes_and_threads(chapters, cores=cores, memory=gib * GIB)
    assert found == expected


@pytest.fixture
def book(tmp_path, monkeypatch):
    """Writes a book of chapters, one cell each, and returns a function that executes it."""
    for name in side_by_side.THREADS:
        monkeypatch.setenv(name, "7")
    monkeypatch.setattr(side_by_side, "usable_cores", lambda: 2)

    def execute(**chapters):
        for name, source in chapters.items():
            cell = new_code_cell(source, id="only")
            kernel = {"name": "python3", "display_name": "Python"}
            notebook = new_notebook(cells=[cell], metadata={"kernelspec": kernel})
            nbformat.write(notebook, tmp_path / f"{name}.ipynb")
        entries = "".join(f"\n      - file: {name}" for name in chapters)
        (tmp_path / "_toc.yml").write_text(f"root: intro\nparts:\n  - chapters:{entries}\n")
        settings = {"nb_execution_cache_path": str(tmp_path / "cache"), "nb_execution_timeout": 60}
        config = SimpleNamespace(nb_execution_mode="cache", **settings)
        side_by_side.execute(SimpleNamespace(srcdir=tmp_path), config)
        cache = get_cache(settings["nb_execution_cache_path"])

        def printed(name):
            merged = cache.merge_match_into_file(str(tmp_path / f"{name}.ipynb"))[1]
            return merged.cells[0].outputs[0].text.strip()

        return printed

    return execute


def test_each_chapter_is_executed_once_with_one_thread(book, tmp_path):
    source = "import os; open('count', 'a').write('x'); print(os.environ['OMP_NUM_THREADS'], {})"
    printed = book(one=source.format(1), two=source.format(2))
    assert printed("one") == "1 1" and printed("two") == "1 2"
    book(one=source.format(1), two=source.format(3))  # only the second has changed
    assert (tmp_path / "count").read_text() == "xxx"


def test_a_chapter_that_fails_is_named_and_the_others_are_kept(book, capsys):
    with pytest.raises(ExtensionError, match="could not be executed: bad;"):
        book(good="print(1)", bad="raise ValueError('no such layer')")
    said = capsys.readouterr().out
    assert "good: executed" in said and "bad: FAILED" in said
    assert "ValueError" in said and "no such layer" in said
    assert book(good="print(1)")("good") == "1"


def test_a_kernel_that_dies_fails_the_build(book):
    with pytest.raises(ExtensionError, match="could not be executed: dead;"):
        book(dead="import os; os._exit(3)", good="print(1)")


def test_the_environment_of_the_build_says_how_many_threads(book):
    book(one="print(1)")
    assert os.environ["OMP_NUM_THREADS"] == "2", "one chapter has both cores"
