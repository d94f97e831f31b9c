"""How references look: author and year in round brackets; in the reading list with a sentence.

The style `annotated` sets the `annote` field of `references.bib` after each entry.
"""

from dataclasses import dataclass, field

import pybtex.plugin
import sphinxcontrib.bibtex.plugin
from pybtex.richtext import Tag, Text
from pybtex.style.formatting.plain import Style
from sphinxcontrib.bibtex.style.referencing import BracketStyle
from sphinxcontrib.bibtex.style.referencing.author_year import AuthorYearReferenceStyle


def round_brackets():
    return BracketStyle(left="(", right=")")


@dataclass
class RoundReferenceStyle(AuthorYearReferenceStyle):
    bracket_parenthetical: BracketStyle = field(default_factory=round_brackets)
    bracket_textual: BracketStyle = field(default_factory=round_brackets)
    bracket_author: BracketStyle = field(default_factory=round_brackets)
    bracket_label: BracketStyle = field(default_factory=round_brackets)
    bracket_year: BracketStyle = field(default_factory=round_brackets)


class AnnotatedStyle(Style):
    def format_entry(self, label, entry, bib_data=None):
        formatted = super().format_entry(label, entry, bib_data)
        note = Text.from_latex(entry.fields.get("annote", ""))
        # Nothing else in an entry is strong; book.css sets it on a line of its own.
        formatted.text = Text(formatted.text, " ", Tag("strong", note))
        return formatted


def setup(app):
    pybtex.plugin.register_plugin("pybtex.style.formatting", "annotated", AnnotatedStyle)
    sphinxcontrib.bibtex.plugin.register_plugin(
        "sphinxcontrib.bibtex.style.referencing", "author_year_round", RoundReferenceStyle
    )
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
