"""Every formula of the book becomes MathML, and one that cannot is named."""

import json
import re
from pathlib import Path

import formulas
import pytest
from math_core import LatexError

ROOT = Path(__file__).parents[1]


def pages():
    yield from ((p.name, p.read_text(encoding="utf-8")) for p in sorted(ROOT.glob("*.md")))
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        prose = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
        yield path.name, "\n\n".join(prose)


def formulas_of(text):
    """Every (LaTeX, is it a block?) of a page in Markdown."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    blocks = re.findall(r"\$\$(.+?)\$\$", text, flags=re.DOTALL)
    rest = re.sub(r"\$\$.+?\$\$", "", text, flags=re.DOTALL)
    lines = re.findall(r"(?<![\\$\w])\$([^$\n]+?)\$(?!\d)", rest)
    return [(latex, True) for latex in blocks] + [(latex, False) for latex in lines]


@pytest.mark.parametrize(("name", "text"), list(pages()), ids=lambda x: x if len(x) < 40 else "")
def test_every_formula_becomes_mathml(name, text):
    for latex, block in formulas_of(text):
        made = formulas.mathml(latex, block=block)
        assert made.startswith("<math") and "merror" not in made, latex
        assert ('display="block"' in made) == block


def test_there_are_formulas():
    assert sum(len(formulas_of(text)) for _, text in pages()) > 100


def test_limits_and_fractions_are_structure_not_text():
    made = formulas.mathml(r"\arg\max_{s} \frac{a}{b}", block=True)
    assert "<munder" in made and "<mfrac" in made
    with pytest.raises(LatexError, match="nonsense"):
        formulas.mathml(r"\nonsense{x}", block=False)
    assert "eqno" not in formulas.mathml(r"\begin{align} a &= b \end{align}", block=True)
