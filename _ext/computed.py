"""What computed the chapters, when, and how long it took: the directives of computed.md, and the
line under the title of each chapter, both from the outputs of the run and its record in the cache.
"""

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
# One line for each loaded model, as `print(model)` gives it: name, where from, (which revision);
# then, of some, the language, the precision or whose defaults were taken.
CHECKPOINT_LINE = re.compile(
    r"^([\w.-]+/[\w.-]+): (.+?) \(((?:sha256|revision) .+?)\)(?:; .+)?$", re.MULTILINE
)

# Stand-ins whose training began from another; no two relatives are two witnesses.
LINEAGE = {"wav2vec2-mini": "hubert-mini", "wav2vec2-mini-ctc": "wav2vec2-mini"}


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
        today = in_words(datetime.date.today())
        return [
            nodes.paragraph(text=f"Built on {today} with {machine}."),
            make_table(["Package", "Version"], rows),
        ]


def in_words(date):
    """As in "7 March 2026"; the code for a day without a zero differs between systems."""
    return f"{date.day} {date.strftime('%B %Y')}"


def make_table(head, rows):
    def row(cells):
        words = [nodes.paragraph(text=cell) if isinstance(cell, str) else cell for cell in cells]
        return nodes.row("", *[nodes.entry("", cell) for cell in words])

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


def run_of(env, docname):
    """The record of the run that a chapter shows, or None; a later build keeps it."""
    return NbMetadataCollector.get_doc_data(env).get(docname, {}).get("exec_data")


def kind_of(origin):
    """What `print(model)` says about the weights, in two words."""
    kinds = {"STAND-IN": "stand-in", "random-init": "untrained", "original": "original weights"}
    return next(
        (words for start, words in kinds.items() if origin.startswith(start)), "own weights"
    )


def last_computed(run, models, address):
    """The line under a title: day, time, each checkpoint once, and where to read more.

    A twin is named only where the page has no trained model of that name.
    """
    kinds = {}
    for name, origin, _ in models:
        if kinds.get(name, "untrained") == "untrained":
            kinds[name] = kind_of(origin)
    words = f"Computed on {day_and_time(run)}"
    words += (
        " with " + ", ".join(f"{name} ({kind})" for name, kind in kinds.items()) if kinds else ""
    )
    line = nodes.paragraph("", f"{words}. ")
    line += nodes.reference("", "How", refuri=address, internal=True)
    return nodes.container("", line, classes=["last-computed"])


def day_of(run):
    return in_words(datetime.date.fromtimestamp(run["mtime"]))


def day_and_time(run):
    return day_of(run) + ("" if run["runtime"] is None else f" in {run['runtime']:.0f} s")


class SayWhenComputed(SphinxPostTransform):
    default_priority = 8

    def run(self, **kwargs):
        env, docname = self.env, self.env.docname
        pages = refresh(self.app, env)
        run, title = run_of(env, docname), self.document.next_node(nodes.title)
        if run and pages and title is not None:
            address = self.app.builder.get_relative_uri(docname, pages[0])
            line = last_computed(run, checkpoints(env.get_doctree(docname)), address)
            title.parent.insert(title.parent.index(title) + 1, line)


class FillChapters(SphinxPostTransform):
    default_priority = 8

    def run(self, **kwargs):
        places = list(self.document.findall(ChaptersNode))
        if not places:
            return
        order = self.env.toctree_includes.get(self.config.root_doc, [])
        rows = [
            [self.link(docname), self.models(docname), self.time(run)]
            for docname in order
            if (run := run_of(self.env, docname))
        ]
        head = ["Chapter", "Its checkpoints, and what was loaded", "Computed"]
        for place in places:
            place.replace_self(make_table(head, rows))

    def link(self, docname):
        title = self.env.titles[docname].astext()
        uri = self.app.builder.get_relative_uri(self.env.docname, docname)
        return nodes.paragraph("", "", nodes.reference("", title, refuri=uri, internal=True))

    def models(self, docname):
        found = checkpoints(self.env.get_doctree(docname))
        if not found:
            return "no model"
        items = nodes.bullet_list()
        for name, origin, revision in found:
            words = nodes.paragraph("", "", nodes.strong(text=name))
            words += nodes.Text(f": {origin} ({revision})")
            if parent := next((p for c, p in LINEAGE.items() if f"{c}," in f"{origin},"), None):
                words += nodes.Text(f". Its training began from {parent}: the two are relatives.")
            items += nodes.list_item("", words)
        return items

    @staticmethod
    def time(run):
        return day_of(run) if run["runtime"] is None else f"{run['runtime']:.0f} s, {day_of(run)}"


def refresh(app, env):
    """The page is written anew with every build."""
    return [name for name, data in env.metadata.items() if data.get("computed")]


def setup(app):
    app.add_node(ChaptersNode)
    app.add_directive("computed-chapters", Chapters)
    app.add_directive("computed-versions", Versions)
    app.add_post_transform(FillChapters)
    app.add_post_transform(SayWhenComputed)
    app.connect("env-updated", refresh)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
