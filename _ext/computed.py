"""The directives of computed.md: which chapter was computed with what, and how long it took."""

import datetime
import os
import platform
import re
from importlib.metadata import version

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

PACKAGES = (
    "torch", "torchaudio", "transformers", "datasets", "captum", "scikit-learn", "numpy",
    "matplotlib", "jupyter-book",
)  # fmt: skip
# One line for each loaded model, as `print(model)` gives it: name, where from, (which revision).
CHECKPOINT_LINE = re.compile(
    r"^([\w.-]+/[\w.-]+): (.+?) \(((?:sha256|revision) .+)\)$", re.MULTILINE
)


class ChaptersNode(nodes.General, nodes.Element):
    """Stands in for the table of chapters until all of them are computed."""


class Chapters(SphinxDirective):
    def run(self):
        self.env.metadata[self.env.docname]["computed"] = True
        return [ChaptersNode()]


class Versions(SphinxDirective):
    def run(self):
        rows = [["Python", platform.python_version()]]
        rows += [[name, version(name)] for name in PACKAGES]
        machine = f"{os.cpu_count()} processor cores, {platform.system()} {platform.machine()}"
        today = datetime.date.today().strftime("%-d %B %Y")
        return [
            nodes.paragraph(text=f"Built on {today} with {machine}."),
            make_table(["Package", "Version"], rows),
        ]


def make_table(head, rows):
    def row(cells):
        return nodes.row("", *[nodes.entry("", nodes.paragraph(text=str(c))) for c in cells])

    group = nodes.tgroup("", *[nodes.colspec(colwidth=1) for _ in head], cols=len(head))
    group += nodes.thead("", row(head))
    group += nodes.tbody("", *[row(cells) for cells in rows])
    return nodes.table("", group, classes=["colwidths-auto"])


def checkpoints(doctree):
    """The (name, origin, revision) of every model that the outputs of a chapter name."""
    found = {}
    for block in doctree.findall(nodes.literal_block):
        for name, origin, revision in CHECKPOINT_LINE.findall(block.astext()):
            found[name, origin] = revision
    return [(name, origin, revision) for (name, origin), revision in found.items()]


class FillChapters(SphinxPostTransform):
    default_priority = 8

    def run(self, **kwargs):
        places = list(self.document.findall(ChaptersNode))
        if not places:
            return
        rows = []
        for docname, data in sorted(NbMetadataCollector.get_doc_data(self.env).items()):
            run = data.get("exec_data")
            if not run or docname not in self.env.found_docs:
                continue
            title = self.env.titles[docname].astext()
            when = datetime.date.fromtimestamp(run["mtime"]).isoformat()
            seconds = "" if run["runtime"] is None else f"{run['runtime']:.0f}"
            models = checkpoints(self.env.get_doctree(docname)) or [("no model", "", "")]
            for i, (name, origin, revision) in enumerate(models):
                first = [title, seconds, when] if i == 0 else ["", "", ""]
                rows.append([first[0], name, origin, revision, *first[1:]])
        head = ["Chapter", "Checkpoint", "Which", "Revision or sha256", "Seconds", "Date"]
        for place in places:
            place.replace_self(make_table(head, rows))


def refresh(app, env):
    """The page is written anew with every build."""
    return [name for name, data in env.metadata.items() if data.get("computed")]


def setup(app):
    app.add_node(ChaptersNode)
    app.add_directive("computed-chapters", Chapters)
    app.add_directive("computed-versions", Versions)
    app.add_post_transform(FillChapters)
    app.connect("env-updated", refresh)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
