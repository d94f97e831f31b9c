"""The table of families says what works: each cell was tried, and the page shows the newest."""

import pytest
from every_function import CASES, NO_NUMBERS, listed, model_with
from family_table import HEADS, METHODS, half_precision, methods_row, places_row, shown, works
from tiny import FAMILIES as TINY

from speech_interp.models.families import FAMILIES

ROWS = [line.strip("| \n").split(" | ") for line in shown().splitlines()]


def rows_of(name):
    return [row for row in ROWS if row[0] == f"`{name}`"]


@pytest.mark.parametrize("name", FAMILIES)
def test_page_shows_what_was_tried(name):
    assert rows_of(name) == [places_row(name), methods_row(name)], (
        "write the tables again: python tests/family_table.py"
    )


def test_page_shows_each_family_and_each_method():
    assert [row[0] for row in ROWS if row[0].startswith("`")] == 2 * [f"`{n}`" for n in FAMILIES]
    assert {*HEADS.values(), *METHODS.values()} < {cell for row in ROWS for cell in row}


def test_every_function_that_takes_a_model_is_in_a_case():
    called = {call for case in CASES for call in case.calls}
    assert listed() == called | set(NO_NUMBERS) and not called & set(NO_NUMBERS)
    assert {"hidden_states.hidden_states", "lenses.ctc_lens", "items.collect"} < listed()


def test_a_cell_tells_a_refusal_from_a_fault(monkeypatch):
    import family_table

    def broken(model):
        raise AttributeError("no such thing")

    (case,) = (c for c in CASES if c.column == "probing")
    monkeypatch.setattr(family_table, "CASES", [type(case)("probing", "base", (), broken)])
    with pytest.raises(AttributeError, match="no such thing"):
        works.__wrapped__("hubert", "probing")
    assert works("hubert", "decoder lens") == "none"


def test_half_precision_that_is_off_is_not_a_yes(monkeypatch):
    import family_table

    def broken(module, dtype):
        for parameter in module.parameters():
            parameter.data = parameter.data + 0.1

    monkeypatch.setattr(family_table, "in_precision", broken)
    assert half_precision.__wrapped__("hubert") == "no" and half_precision("hubert") == "yes"


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("column", ["features", "padding", "randomised"])
def test_what_stands_in_no_table_works_or_is_refused(name, column):
    assert works(name, column) in ("yes", "no")
    if name in ("wav2vec2", "hubert"):
        assert works(name, column) == "yes"
    if name.startswith("whisper") and column != "randomised":
        (case,) = (c for c in CASES if c.column == column)
        with pytest.raises(ValueError, match="family is 'whisper', expected one with convolutions"):
            case.read(model_with(name, "base"))
