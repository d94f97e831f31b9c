"""The directive of trust.md: which claims of the book held when they were computed again."""

import datetime
import json
from pathlib import Path

from computed import in_words, make_table
from docutils import nodes
from sphinx.util.docutils import SphinxDirective


class Refutation(SphinxDirective):
    """One table for each chapter, from `refutation/table.json`."""

    def run(self):
        path = Path(self.env.srcdir) / "refutation" / "table.json"
        self.env.note_dependency(str(path))
        table = json.loads(path.read_text(encoding="utf-8"))
        found = []
        for chapter, part in table.items():
            if f"notebooks/{chapter}" in self.env.found_docs:
                found += self.chapter(f"notebooks/{chapter}", part)
        return found

    def chapter(self, docname, part):
        rows = [self.row(claim) for claim in part["claims"]]
        link, _ = self.parse_inline(f"{{doc}}`/{docname}`", lineno=self.lineno)
        when = nodes.Text(f", computed again on {in_date(part['computed'])}")
        head = ["What the page says", "Held", "Did not hold with"]
        return [nodes.paragraph("", "", *link, when), make_table(head, rows)]

    @staticmethod
    def row(claim):
        tried = [o for o in claim["outcomes"] if o["holds"] is not None]
        held = sum(o["holds"] for o in tried)
        against = "; ".join(o["variation"] for o in tried if not o["holds"])
        return [claim["sentence"], f"{held} of {len(tried)}", against or "\N{EM DASH}"]


def in_date(text):
    return in_words(datetime.date.fromisoformat(text))


def setup(app):
    app.add_directive("refutation-table", Refutation)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
