"""Notebooks for readers: plain Markdown, collapsed cells, addresses; on a planted chapter."""

import nbformat
import pytest
import readers
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from plain_markdown import plain
from pybtex.database import parse_string


class Planted:
    """A chapter whose every answer is known."""

    def number(self, key, form):
        return format({"found": 3.14159}[key], form)

    def citation(self, keys, *, textual):
        return f"<{'+'.join(keys)}{' in text' if textual else ''}>"

    def references(self):
        return "- a list"

    def page(self, target):
        return f"https://book/{target}", f"Title of {target}"

    def glued_picture(self, key):
        return f"https://book/{key}.png", 600 if key == "fine" else None

    def picture(self, path):
        return f"https://book/{path.split('/')[-1]}"

    def said_once(self):
        return "> said once"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("it finds {glue:text}`found:.1f` %", "it finds 3.1 %"),
        ("{cite}`a, b` and {cite:t}`c`", "<a+b> and <c in text>"),
        ("see {doc}`x`, {doc}`this <y>`", "see [Title of x](https://book/x), [this](https://book/y)"),
        ("[words](../glossary)", "[words](https://book/../glossary)"),
        ("[](corpus)", "[Title of corpus](https://book/corpus)"),
        ("[out](https://x.org/a)", "[out](https://x.org/a)"),
        ("`states[0](x)` and $f[i](t)$", "`states[0](x)` and $f[i](t)$"),
        ("```\n[a](b)\n```", "```\n[a](b)\n```"),
        ("(a-target)=\n## Title", "## Title"),
        ("a\n\n```{bibliography}\n:filter: x\n```", "a\n\n- a list"),
        (
            "```{glue:figure} answer\n:alt: A curve.\n\nIts *caption*.\n```\n\nThen",
            "![A curve.](https://book/answer.png)\n\n*Its _caption_.*\n\nThen",
        ),
        (
            "```{glue:figure} fine\n:alt: 1 < 2, \"A\".\n```",
            '<img src="https://book/fine.png" alt="1 &lt; 2, &quot;A&quot;." width="600">',
        ),
        ("```{image} ../images/a.svg\n:alt: A.\n```", "![A.](https://book/a.svg)"),
        (
            "::::{dropdown} In words\n\n\nx {glue:text}`found:.0f`\n\n:::{note}\ny\n:::\n::::",
            "<details><summary>In words</summary>\n\nx 3\n\n> **Note**\n>\n> y\n\n</details>",
        ),
        (":::{admonition} Mind\n:class: dropdown\nx\n:::",
         "<details><summary>Mind</summary>\n\nx\n\n</details>"),
    ],
)  # fmt: skip
def test_text_is_plain(written, shown):
    assert plain(written, Planted()) == shown


@pytest.mark.parametrize(
    ("written", "named"),
    [("{strange}`x`", "strange"), ("```{tab-set}\nx\n```", "tab-set"), (":::{note}\nx", "note")],
)
def test_what_has_no_plain_form_is_named(written, named):
    with pytest.raises(ValueError, match=named):
        plain(written, Planted())


def test_cells_are_collapsed_where_the_page_collapses_them_and_figures_keep_their_captions():
    chapter = new_notebook(
        cells=[
            new_markdown_cell("# Title?\n\nIt is {glue:text}`found:.2f`."),
            new_code_cell("x = 1", outputs=[nbformat.v4.new_output("stream", text="1")]),
            new_code_cell(
                "plot()",
                metadata={"tags": ["hide-input"], "mystnb": {"figure": {"caption": "A curve."}}},
            ),
            new_code_cell(
                "answer()",
                metadata={"tags": ["hide-cell"], "mystnb": {"code_prompt_show": "Show it"}},
            ),
            new_code_cell("%%time\nslow()", metadata={"tags": ["hide-input"]}),
        ]
    )
    found = readers.for_readers(chapter, Planted())
    nbformat.validate(found)
    title, plain_code, figure, caption, solution, magic = found.cells
    assert title.source == "# Title?\n\n> said once\n\nIt is 3.14."
    assert not plain_code.metadata and not plain_code.outputs and plain_code.source == "x = 1"
    assert caption.source == "*A curve.*"
    assert figure.source == "# @title Show the code\nplot()"
    assert solution.source == "# @title Show it\nanswer()"
    assert magic.source.startswith("%%time")
    for cell in (figure, solution, magic):
        assert cell.metadata == {"cellView": "form", "jupyter": {"source_hidden": True}}


def test_citations_lead_to_the_work():
    entries = parse_string(
        "@misc{a, author={de la Fuente, Ant{\\'o}n and Jurafsky, Dan}, doi={10.1/x}, url={y}}"
        "@misc{b, author={One, A and Two, B and Three, C}, url={https://x.org}, eprint={1}}"
        '@misc{c, author={M{\\"o}bius, B}, eprint={2306.1}} @misc{d, author={One, A}}',
        "bibtex",
    ).entries
    assert [readers.names(entries[key]) for key in "abc"] == [
        "de la Fuente and Jurafsky", "One et al.", "M\u00f6bius",
    ]  # fmt: skip
    assert [readers.address_of(entries[key], "list") for key in "abcd"] == [
        "https://doi.org/10.1/x", "https://x.org", "https://arxiv.org/abs/2306.1", "list",
    ]  # fmt: skip


@pytest.mark.parametrize(("place", "branch", "before"), [
    ("readers", "readers", ""), ("gh-pages/_sources", "gh-pages", "_sources/"),
])  # fmt: skip
def test_one_setting_says_where_the_rocket_lands(place, branch, before):
    colab = "https://colab.research.google.com/github/o/r/blob"
    found = readers.elsewhere(f"{colab}/main/notebooks/a.ipynb", place, "notebooks/a")
    assert found == f"{colab}/{branch}/{before}notebooks/a.ipynb"
    binder = "https://mybinder.org/v2/gh/o/r"
    tree = "?urlpath=lab/tree/"
    found = readers.elsewhere(f"{binder}/main{tree}notebooks/a.ipynb", place, "notebooks/a")
    assert found == f"{binder}/{branch}{tree}{before}notebooks/a.ipynb"


def test_a_chapter_as_a_script_runs_as_far_as_python_goes():
    chapter = new_notebook(
        cells=[
            new_markdown_cell("# Title\n\nwords"),
            new_code_cell("import sys\nif 'nowhere' in sys.modules:\n    %pip install -q x\ny = 1"),
            new_code_cell("!ls\nz = y + 1"),
        ]
    )
    nbformat.validate(chapter)
    script = readers.as_script(chapter)
    names = {}
    exec(compile(script, "script", "exec"), names)
    assert names["z"] == 2
    assert script.count("# %% [markdown]\n# # Title\n#\n# words") == 1
