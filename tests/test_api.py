"""The reference: every public name is documented and on the page of its wing."""

import ast
from pathlib import Path

import api_pages
import pytest
import yaml

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "speech_interp"
WINGS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def undocumented(source: str) -> list[str]:
    """Public functions, classes, and methods of classes that have no docstring."""
    found = []

    def look(nodes, before):
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_":
                if not ast.get_docstring(node):
                    found.append(before + node.name)
                if isinstance(node, ast.ClassDef):
                    look(node.body, f"{before}{node.name}.")

    look(ast.parse(source).body, "")
    return found


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: f"{p.parent.name}-{p.stem}"
)
def test_every_public_name_has_a_docstring(path):
    source = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(source))
    assert undocumented(source) == []


def test_what_has_no_docstring_is_found():
    source = (
        "def a(): 1\ndef _b(): 1\nclass C:\n    'x'\n    def d(self): 1\n    def e(self): 'x'\n"
    )
    assert undocumented(source) == ["a", "C.d"]


def test_every_wing_has_its_page():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    listed = {entry["file"] for part in toc["parts"] for entry in part["chapters"]}
    for wing in WINGS:
        assert f"api/{wing}" in listed
        text = (ROOT / "api" / f"{wing}.md").read_text()
        assert f"```{{wing}} {wing}\n" in text and text.startswith(f"# `{wing}`: ")
    assert api_pages.modules(ROOT, "speech") == sorted(
        f"speech_interp.speech.{p.stem}" for p in PACKAGE.glob("speech/[a-z]*.py")
    )


def test_the_types_of_the_package_are_for_type_checkers_too():
    assert (PACKAGE / "py.typed").is_file()


def test_names_that_a_chapter_uses():
    code = (
        "import sys\nif 'x' in sys.modules:\n    %pip install -q x\n"
        "from speech_interp import pool as mean\nfrom speech_interp.methods import probing as p\n"
        "import speech_interp.methods.cka as c\nimport numpy as np\n"
        "p.classify(1); c.align(2); np.mean(3); mean(4)\n"
    )
    assert api_pages.names_used(code) == {
        ("speech_interp", "pool"),
        ("speech_interp.methods", "probing"),
        ("speech_interp.methods.probing", "classify"),
        ("speech_interp.methods.cka", "align"),
    }


def test_chapters_are_found_by_where_a_function_was_made():
    """`load_model` comes through the front door, `classify` through its module."""
    users = api_pages.chapters_by_name(ROOT, ("notebooks/probing", "notebooks/cka"))
    both = ["notebooks/probing", "notebooks/cka"]
    assert users["speech_interp.models.loading.load_model"] == both
    assert users["speech_interp.methods.probing.classify"] == ["notebooks/probing"]
    assert users["speech_interp.methods.cka.align"] == ["notebooks/cka"]
    assert "speech_interp.methods.attribution.lime" not in users


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Return `a` and ``b``.", "Return ``a`` and ``b``."),
        ("|d score| x * 2, by_layer", r"\|d score\| x \* 2, by\_layer"),
        ("`a * b_c`", "``a * b_c``"),
    ],
)
def test_docstrings_become_what_autodoc_reads(written, read):
    if written.startswith("|"):
        read = read[1:]  # the first character may begin a list, and is left
    assert api_pages.as_rest([written]) == [read]


def test_keys_of_the_bibliography_become_links():
    works = api_pages.links_to_works(ROOT / "references.bib")
    line = "As in [pmlr-v97-kornblith19a], not `[pmlr-v97-kornblith19a]`, and x[i] [none]."
    assert api_pages.as_rest([line], works) == [
        "As in `Kornblith et al. (2019) <https://proceedings.mlr.press/v97/kornblith19a.html>`__, "
        "not ``[pmlr-v97-kornblith19a]``, and x[i] [none]."
    ]


def test_source_lines_are_those_of_the_function():
    from speech_interp.statistics.spaces import check_same_items

    place, _, lines = api_pages.lines_of(check_same_items).partition("#L")
    first, last = (int(part) for part in lines.split("-L"))
    text = (ROOT / place).read_text().splitlines()[first - 1 : last]
    assert text[0].startswith("def check_same_items(") and text[-1].startswith("        raise")
    assert api_pages.lines_of(3) == ""


def test_long_signatures_are_no_lists_of_definitions():
    dt = '<dt class="sig sig-object py" id="f">f(<dl>\n<dd>x,</dd>\n</dl>\n)</dt>'
    context = {"body": f"<dl><dd>kept</dd></dl>{dt}"}
    api_pages.mend_signatures(None, "", "", context, None)
    assert context["body"] == (
        '<dl><dd>kept</dd></dl><dt class="sig sig-object py" id="f">f('
        '<div class="sig-lines">\n<div>x,</div>\n</div>\n)</dt>'
    )
