"""Formulas as MathML, made when the site is built: browsers draw them, screen readers read them,
and no page needs a script or a font for them."""

import re
from html import escape

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

LOG = logging.getLogger(__name__)
CONVERTER = LatexToMathML(fancy_error=False)


def mathml(latex: str, *, block: bool) -> str:
    """One formula as MathML. Raises LatexError for what cannot be converted."""
    latex = re.sub(r"\{(align|alignat|equation|gather)\}", r"{\1*}", latex)  # Sphinx numbers them
    return CONVERTER.convert_with_local_state(latex.strip(), displaystyle=block)


def converted(node, *, block: bool) -> str:
    try:
        return mathml(node.astext(), block=block)
    except LatexError as error:
        LOG.warning("formula %r: %s", node.astext(), error, location=node)
        return f"<code>{escape(node.astext())}</code>"


def visit_inline(translator, node):
    attributes = translator.starttag(node, "span", "", CLASS="math")
    translator.body.append(f"{attributes}{converted(node, block=False)}</span>")
    raise nodes.SkipNode


def visit_block(translator, node):
    # A long formula scrolls sideways, by keyboard too.
    translator.body.append(translator.starttag(node, "div", CLASS="math", tabindex="0"))
    if node["number"]:
        number = get_node_equation_number(translator, node)
        translator.body.append(f'<span class="eqno">({number})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    translator.body.append(f"{converted(node, block=True)}</div>\n")
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
