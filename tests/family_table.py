"""What works on which family: every cell is tried on a tiny random model, nothing is downloaded.

`python tests/family_table.py` writes the tables into `api/models.md`;
`tests/models/test_family_table.py` says when they have to be written again.
"""

import copy
from functools import cache
from pathlib import Path

from every_function import CASES, WAVE, model_with

from speech_interp.models.families import FAMILIES, family_of
from speech_interp.models.modules import in_precision
from speech_interp.speech.audio import RATE_HZ
from speech_interp.states.frames import frame_grid
from speech_interp.states.hidden_states import hidden_states

PAGE = Path(__file__).parents[1] / "api" / "models.md"
BEGIN, END = "<!-- families: begin -->\n", "<!-- families: end -->\n"
HEADS = {"ctc scores": "CTC", "decoder scores": "decoder", "classes": "classifier"}
METHODS = {
    "hidden states": "hidden states",
    "probing": "probing, CKA, CCA, RSA, ABX",
    "ctc lens": "CTC lens",
    "decoder lens": "decoder lens",
    "patterns": "attention patterns",
    "edits": "heads silenced",
    "mixing": "context mixing",
    "attribution": "attribution",
}
TAKES = {"input_values": "the wave", "input_features": "a filterbank"}


@cache
def works(name: str, column: str) -> str:
    """ "yes", "no" for what is refused, "none" where transformers has no such head.

    Refused is what raises ValueError; any other error is a fault of ours and is raised.
    """
    (case,) = (c for c in CASES if c.column == column)
    try:
        model = model_with(name, case.head)
    except ValueError:
        return "none"
    try:
        case.read(model)
    except ValueError:
        return "no"
    return "yes"


@cache
def half_precision(name: str) -> str:
    """ "yes" if in bfloat16 the states are those in float32 but for 3 %: as `test_precision` has
    it for every method that works, with the reasons."""
    model = model_with(name, "base")
    half = copy.deepcopy(model)
    in_precision(half.module, "bfloat16")
    expected, found = (hidden_states(m, WAVE).values for m in (model, half))
    size = expected.abs().mean() + expected.std()
    return "yes" if (found - expected).abs().mean() < 0.03 * size else "no"


def places_row(name: str) -> list[str]:
    """Where the parts of a family are, and which heads give scores."""
    family, model = family_of(name), model_with(name, "base")
    grid = frame_grid(model)
    step, field = (f"{1000 * samples / RATE_HZ:.3g} ms" for samples in (grid.stride, grid.field))
    heads = [works(name, column) for column in HEADS]
    return [
        f"`{name}`",
        f"`{family.layers}`",
        TAKES[family.inputs],
        step,
        field,
        half_precision(name),
        *heads,
    ]


def methods_row(name: str) -> list[str]:
    """Which methods work on a family, each tried."""
    return [f"`{name}`", *(works(name, column) for column in METHODS)]


def tables() -> str:
    """Both tables as Markdown."""
    places = [
        "family",
        "layers in",
        "takes",
        "a frame every",
        "sees",
        "half precision",
        *HEADS.values(),
    ]
    first = _table(places, [places_row(name) for name in FAMILIES])
    second = _table(["family", *METHODS.values()], [methods_row(name) for name in FAMILIES])
    return f"{first}\n{second}"


def shown() -> str:
    """The tables as they stand in the page."""
    return PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0].strip("\n") + "\n"


def write() -> None:
    """Put the tables where the page has its marks."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n{tables()}\n{END}{after}", encoding="utf-8")


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    write()
