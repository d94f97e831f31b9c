"""The bibliography style `annotated`: each entry is followed by its `annote` field."""

from pybtex.plugin import register_plugin
from pybtex.richtext import Tag, Text
from pybtex.style.formatting.plain import Style


class AnnotatedStyle(Style):
    def format_entry(self, label, entry, bib_data=None):
        formatted = super().format_entry(label, entry, bib_data)
        note = Text.from_latex(entry.fields.get("annote", ""))
        formatted.text = Text(formatted.text, " ", Tag("em", note))
        return formatted


def setup(app):
    register_plugin("pybtex.style.formatting", "annotated", AnnotatedStyle)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
