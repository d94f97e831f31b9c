"""Every chapter follows the skeleton, is stored clean, and has its place in the book."""

import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SKELETON = (
    "At a glance", "Setup", "Data", "The idea", "By hand", "Is it working?", "result",
    "How to read it", "not* show", "What the literature reports", "Exercises", "Summary",
    "Notation", "References",
)  # fmt: skip
LONGEST, MEDIAN = 20, 12  # lines of a code cell

chapter = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list[dict]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def text(cell: dict) -> str:
    return "".join(cell["source"])


def line_count(cell: dict) -> int:
    return sum(1 for line in text(cell).splitlines() if line.strip())


def test_there_are_chapters():
    assert NOTEBOOKS


@chapter
def test_stored_without_outputs(path):
    for cell in cells(path, "code"):
        assert not cell["outputs"] and cell["execution_count"] is None, cell["id"]


@chapter
def test_cells_are_short(path):
    counts = sorted(line_count(cell) for cell in cells(path, "code")[1:])
    assert counts[-1] <= LONGEST and counts[len(counts) // 2] <= MEDIAN, counts


@chapter
def test_skeleton_in_its_order(path):
    headings = re.findall(r"^#+ .*$", "\n".join(map(text, cells(path, "markdown"))), re.MULTILINE)
    places = [next((i for i, h in enumerate(headings) if part in h), part) for part in SKELETON]
    assert all(isinstance(place, int) for place in places), places
    assert places == sorted(places), list(zip(SKELETON, places, strict=True))
    assert headings[0].endswith("?"), "the title asks the question"


@chapter
def test_in_the_table_of_contents(path):
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    listed = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    assert f"notebooks/{path.stem}" in listed


@chapter
def test_no_path_of_one_machine_and_no_star_import(path):
    for cell in cells(path, "code"):
        assert not re.search(r"['\"](/home|/root|/Users|/tmp|/work|[A-Z]:\\)", text(cell))
        assert not re.search(r"import \*", text(cell))


@chapter
def test_colab_installs_our_package_only_and_leaves_torch_alone(path):
    installs = re.findall(r"pip install (.*)", "\n".join(map(text, cells(path, "code"))))
    assert len(installs) == 1 and "torch" not in installs[0] and "-U" not in installs[0]


@chapter
def test_functions_are_defined_by_hand_or_in_solutions_only(path):
    for cell in cells(path, "code"):
        allowed = "by-hand" in cell["id"] or "hide-cell" in cell["metadata"].get("tags", [])
        assert allowed or not re.search(r"^def ", text(cell), re.MULTILINE), cell["id"]


@chapter
def test_figures_have_caption_and_alt_text(path):
    for cell in cells(path, "code"):
        if "plt.subplots" in text(cell):
            shown = cell["metadata"].get("mystnb", {})
            assert shown.get("figure", {}).get("caption"), cell["id"]
            assert len(shown.get("image", {}).get("alt", "")) > 20, cell["id"]


@chapter
def test_every_glued_number_is_made_in_the_page(path):
    made = set(re.findall(r"glue\(\s*f?\"([\w{}]+)\"", "\n".join(map(text, cells(path, "code")))))
    patterns = [re.compile(re.sub(r"\{\w+\}", r"\\w+", name)) for name in made]
    used = re.findall(r"\{glue:\w+\}`(\w+)", "\n".join(map(text, cells(path, "markdown"))))
    assert used
    for name in used:
        assert any(pattern.fullmatch(name) for pattern in patterns), name


@chapter
def test_solutions_are_collapsed(path):
    for cell in cells(path, "code"):
        if cell["id"].startswith("solution"):
            assert "hide-cell" in cell["metadata"]["tags"], cell["id"]
