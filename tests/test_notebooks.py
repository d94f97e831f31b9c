"""Every chapter follows the skeleton, is stored clean, and has its place in the book."""

import ast
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
LONGEST, MEDIAN = 20, 6  # lines of a visible code cell
MOST_VISIBLE = 30  # code cells that a reader sees without opening anything
COLLAPSED = {"hide-input", "hide-cell"}  # "Show the code", "Show the solution"
PLUMBING = re.compile(
    r"^(\s*)(glue|keep|keep_figure)\(", re.MULTILINE
)  # what only serves the prose

KEEPERS = {"glue", "keep", "keep_figure"}

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


def visible(path: Path) -> list[dict]:
    """The code cells that a reader sees without opening anything."""
    return [c for c in cells(path, "code") if not COLLAPSED & set(c["metadata"].get("tags", []))]


@chapter
def test_visible_code_is_short(path):
    counts = sorted(line_count(cell) for cell in visible(path))
    assert counts[-1] <= LONGEST and counts[len(counts) // 2] <= MEDIAN, counts
    assert len(counts) <= MOST_VISIBLE


@chapter
def test_visible_code_is_the_method(path):
    """Numbers for the prose and cosmetics of figures stand in cells that are collapsed."""
    for cell in visible(path):
        assert not PLUMBING.search(text(cell)), cell["id"]
        assert "plt.subplots" not in text(cell) or line_count(cell) <= 12, cell["id"]


@chapter
def test_the_answer_comes_first(path):
    """A figure of this run and a sentence with its numbers stand before everything else."""
    opening = text(cells(path, "markdown")[0])
    assert "{glue:figure} answer" in opening and ":alt:" in opening
    after = opening.split("{glue:figure} answer")[1]
    assert re.search(r"\{glue:\w+\}`", after), "no number of this run beside the answer"


@chapter
def test_one_utterance_one_pass(path):
    """What goes through a model together sees each other."""
    for cell in cells(path, "code"):
        joined = re.search(r"concatenate\(\[?\s*\w+\.wave for", text(cell))
        assert not joined or "trap" in cell["id"], cell["id"]


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
        if "plt.subplots" in text(cell) and "keep_figure" not in text(cell):
            shown = cell["metadata"].get("mystnb", {})
            assert shown.get("figure", {}).get("caption"), cell["id"]
            assert len(shown.get("image", {}).get("alt", "")) > 20, cell["id"]


def code_of(cell: dict) -> str:
    return re.sub(r"^(\s*)[%!].*$", r"\1pass", text(cell), flags=re.MULTILINE)


def names_made(code: str) -> set[str]:
    """Patterns of the names under which `glue`, `keep` and `keep_figure` keep something."""
    made = set()
    for call in ast.walk(ast.parse(code)):
        if not isinstance(call, ast.Call) or ast.unparse(call.func) not in KEEPERS:
            continue
        first = pattern_of(call.args[0]) if call.args else ""
        if ast.unparse(call.func) != "keep":
            made.add(first)
            continue
        prefix = "" if not call.args or isinstance(call.args[0], ast.Dict | ast.DictComp) else first
        made |= {word.arg for word in call.keywords if word.arg}
        for values in [*call.args[:1], *call.args[1:]]:
            keys = (
                values.keys
                if isinstance(values, ast.Dict)
                else [values.key]
                if isinstance(values, ast.DictComp)
                else []
            )
            made |= {f"{prefix}_{pattern_of(k)}" if prefix else pattern_of(k) for k in keys}
            if prefix and values is not call.args[0] and not keys:
                made.add(rf"{prefix}_\w+")
    return made


def pattern_of(node: ast.AST) -> str:
    """A pattern of what a string, perhaps with values in it, can be."""
    if isinstance(node, ast.Constant):
        return re.escape(str(node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(pattern_of(v) for v in node.values)
    return r"\w+"


def test_names_that_are_kept_are_read():
    code = """
keep(found=1)
keep("hubert", {"best": 4, f"layer_{k}": 5})
keep({f"{name}_low": v for name, v in x.items()}); glue(f"top_{k}", 1, display=False)
keep("cka", numbers); keep_figure("answer", fig)
"""
    assert names_made(code) == {
        "found", "hubert_best", r"hubert_layer_\w+", r"\w+_low", r"top_\w+", r"cka_\w+",
        "answer",
    }  # fmt: skip


@chapter
def test_every_glued_number_is_made_in_the_page(path):
    patterns = [
        re.compile(name) for name in names_made("\n".join(map(code_of, cells(path, "code"))))
    ]
    used = re.findall(r"\{glue:\w+\}`(\w+)", "\n".join(map(text, cells(path, "markdown"))))
    assert used
    for name in used:
        assert any(pattern.fullmatch(name) for pattern in patterns), name


@chapter
def test_solutions_are_collapsed_and_say_so(path):
    for cell in cells(path, "code"):
        if cell["id"].startswith("solution"):
            assert "hide-cell" in cell["metadata"]["tags"], cell["id"]
            assert cell["metadata"]["mystnb"]["code_prompt_show"] == "Show the solution", cell["id"]
