"""Each chapter once more, as a notebook and a script for readers: what the rocket opens and the
download button gives.

The notebooks of the repository hold roles (numbers of the run, citations), which only this site
can fill in. The file for readers says the same in plain Markdown and has no outputs.

Why not sphinx-tojupyter (0.6.0 was tried)? It is a builder: a second build of the whole book, from
the parsed text back to Markdown. It knows neither dropdowns nor citations as author and year, does
not collapse cells, and brings dask, distributed, nbdime and nbconvert. Here the text of the author
stays as it is, and only what a notebook program cannot show is replaced.
"""

import posixpath
import re
import shutil
from binascii import a2b_base64
from hashlib import sha256
from pathlib import Path

import nbformat
import pybtex.plugin
from computed import day_and_time, run_of
from myst_nb.core.variables import format_plain_text
from myst_nb.ext.glue.crossref import read_glue_cache
from plain_markdown import plain
from pybtex.database import Entry, parse_file
from sphinx.util import logging

PICTURES = "figures"  # of the built site; their names stay the same from build to build
COLLAPSED = {"hide-input", "hide-cell"}


def names(entry: Entry) -> str:
    """As in "Hewitt and Liang", "Pasad et al."."""
    people = [
        " ".join(str(part) for part in person.rich_prelast_names + person.rich_last_names)
        for person in entry.persons["author"]
    ]
    return " and ".join(people) if len(people) < 3 else f"{people[0]} et al."


def address_of(entry: Entry, otherwise: str) -> str:
    fields = entry.fields
    if "doi" in fields:
        return f"https://doi.org/{fields['doi']}"
    if "url" in fields:
        return fields["url"]
    return f"https://arxiv.org/abs/{fields['eprint']}" if "eprint" in fields else otherwise


def in_link(address: str) -> str:
    """An address may hold brackets; then Markdown would see its end too early."""
    return address.replace("(", "%28").replace(")", "%29")


class SiteChapter:
    """What one chapter refers to, from a finished build."""

    def __init__(self, app, docname: str, entries: dict[str, Entry]):
        self.app, self.docname, self.entries = app, docname, entries
        self.site = app.config.html_baseurl.rstrip("/")
        self.executed = Path(app.outdir).parent / "jupyter_execute"
        self.glued = read_glue_cache(str(self.executed), docname)
        self.cited: set[str] = set()

    def value(self, key):
        if key not in self.glued:
            raise ValueError(f"{key!r} is kept by no cell of {self.docname}")
        return self.glued[key]["data"]

    def number(self, key, form):
        text = format_plain_text(self.value(key)["text/plain"], form)
        return re.sub(r"([\\`*_\[\]<>|$])", r"\\\1", text)

    def citation(self, keys, *, textual):
        self.cited |= set(keys)
        found = []
        for entry in map(self.entry, keys):
            address = in_link(address_of(entry, f"{self.site}/reading_list.html"))
            year = entry.fields["year"]
            words = f"{names(entry)} ({year})" if textual else f"{names(entry)}, {year}"
            found.append(f"[{words}]({address})")
        return ", ".join(found) if textual else f"({'; '.join(found)})"

    def entry(self, key):
        if key not in self.entries:
            raise ValueError(f"{key!r} is not in references.bib")
        return self.entries[key]

    def references(self):
        """The list of what was cited up to here: chapters end with it."""
        style = pybtex.plugin.find_plugin("pybtex.style.formatting", "plain")()
        backend = pybtex.plugin.find_plugin("pybtex.backends", "markdown")()
        entries = style.sort([self.entry(key) for key in self.cited])
        texts = [entry.text.render(backend) for entry in style.format_entries(entries)]
        return "\n".join(f"- {' '.join(text.split())}" for text in texts)

    def page(self, target):
        env = self.app.env
        label = env.domaindata["std"]["anonlabels"].get(target.lstrip("#").lower())
        if label:
            docname, anchor = label[:2]
            title = env.domaindata["std"]["labels"].get(target.lower(), ("", "", target))[2]
            return f"{self.site}/{docname}.html#{anchor}", title
        name, _, anchor = target.partition("#")
        name = re.sub(r"\.(md|ipynb)$", "", name)
        folder = posixpath.dirname(self.docname)
        docname = posixpath.normpath(posixpath.join(folder, name)) if name else self.docname
        docname = name[1:] if name.startswith("/") else docname
        if docname not in env.found_docs:
            raise ValueError(f"link to {target!r}, which is no page of the book")
        anchor = f"#{anchor}" if anchor else ""
        return f"{self.site}/{docname}.html{anchor}", env.titles[docname].astext()

    def glued_picture(self, key):
        content = a2b_base64(self.value(key)["image/png"])
        name = f"{posixpath.basename(self.docname)}-{key}.png"
        reduced = self.executed / f"{sha256(content).hexdigest()}.png"  # by book_site
        self.file(name).write_bytes(reduced.read_bytes() if reduced.exists() else content)
        size = self.glued[key]["metadata"].get("image/png", {})
        return f"{self.site}/{PICTURES}/{name}", size.get("width")

    def picture(self, path):
        source = Path(self.app.srcdir, posixpath.dirname(self.docname), path)
        shutil.copy(source, self.file(source.name))
        return f"{self.site}/{PICTURES}/{source.name}"

    def file(self, name):
        folder = Path(self.app.outdir) / PICTURES
        folder.mkdir(exist_ok=True)
        return folder / name

    def said_once(self):
        run = run_of(self.app.env, self.docname)
        day = day_and_time(run) if run else "its last build"
        return (
            f"> This is the notebook of [a page of the book]({self.site}/{self.docname}.html). "
            f"Numbers and the first figure in the text are those of the page, computed on {day}; "
            "what you run here stands below the cells and can differ, most of all with other "
            "checkpoints."
        )


def for_readers(notebook, chapter: SiteChapter):
    """The notebook with plain Markdown, collapsed cells in Colab and Jupyter, and no outputs."""
    cells = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = plain(cell.source, chapter)
            if not cells:
                title, _, rest = text.partition("\n")
                text = f"{title}\n\n{chapter.said_once()}\n{rest}"
            cells.append(nbformat.v4.new_markdown_cell(text, id=cell.id))
        elif cell.cell_type == "code":
            cells.append(code_cell(cell))
            caption = cell.metadata.get("mystnb", {}).get("figure", {}).get("caption")
            if caption:
                text = f"*{plain(caption, chapter)}*"
                cells.append(nbformat.v4.new_markdown_cell(text, id=f"{cell.id}-caption"[:64]))
    metadata = {**notebook.metadata, "colab": {"provenance": [], "toc_visible": True}}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def code_cell(cell):
    source, metadata = cell.source, {}
    if COLLAPSED & set(cell.metadata.get("tags", [])):
        shown = cell.metadata.get("mystnb", {}).get("code_prompt_show", "Show the code")
        metadata = {"cellView": "form", "jupyter": {"source_hidden": True}}
        if not source.startswith("%%"):  # a cell magic stays in the first line
            source = f"# @title {shown}\n{source}"
    return nbformat.v4.new_code_cell(source, id=cell.id, metadata=metadata)


def without_shell_lines(line):
    """`%pip install x` is not Python: the line becomes a comment that an `if` can stand on."""
    found = re.match(r"(\s*)([%!].*)", line)
    return f"{found[1]}pass  # {found[2]}" if found else line


def as_script(notebook):
    """A notebook as a Python script: text as comments, cells apart by `# %%`."""
    blocks = []
    for cell in notebook.cells:
        lines = cell.source.splitlines()
        if cell.cell_type == "code":
            lines = ["# %%", *map(without_shell_lines, lines)]
        else:
            lines = ["# %% [markdown]", *[f"# {line}".rstrip() for line in lines]]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def chapters(app) -> list[str]:
    return sorted(d for d in app.env.found_docs if app.env.doc2path(d).endswith(".ipynb"))


def write_files(app, error):
    """At the end: Sphinx puts the notebook of the repository where ours goes."""
    if error is not None or app.builder.format != "html":
        return
    entries = {}
    for path in app.config.bibtex_bibfiles:
        entries |= dict(parse_file(str(Path(app.srcdir) / path)).entries)
    for docname in chapters(app):
        notebook = nbformat.read(app.env.doc2path(docname), as_version=4)
        try:
            notebook = for_readers(notebook, SiteChapter(app, docname, entries))
        except ValueError as wrong:
            logging.getLogger(__name__).warning("%s", wrong, location=docname)
            continue
        target = Path(app.outdir) / "_sources" / docname
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, target.with_suffix(".ipynb"))
        target.with_suffix(".py").write_text(as_script(notebook), encoding="utf-8")


def elsewhere(address: str, place: str, pagename: str) -> str:
    """A launch address for the notebook at `place`: "branch" or "branch/folder" of the repository.

    Colab: .../blob/BRANCH/FILE; Binder: .../BRANCH?urlpath=lab/tree/FILE. Others stay as they are.
    """
    branch, _, folder = place.strip("/").partition("/")
    file = f"{folder}/{pagename}.ipynb".lstrip("/")
    address = re.sub(r"/blob/.*", f"/blob/{branch}/{file}", address)
    binder = r"(/v2/gh/[^/]+/[^/]+)/[^?]+(\?urlpath=(?:lab/)?tree)/.*"
    return re.sub(binder, rf"\1/{branch}\2/{file}", address)


def lead_to_files(app, pagename, templatename, context, doctree):
    """The rocket opens the notebook for readers; the download menu has the script too."""
    if doctree is None or not app.env.doc2path(pagename).endswith(".ipynb"):
        return
    for button in context["header_buttons"]:
        if button.get("label") == "launch-buttons":
            for link in button["buttons"]:
                link["url"] = elsewhere(link["url"], app.config.readers_at, pagename)
        if button.get("label") == "download-buttons":
            script = {
                "type": "link",
                "url": f"{context['pathto']('_sources', 1)}/{pagename}.py",
                "text": ".py",
                "tooltip": "Download as a Python script",
                "icon": "fas fa-file-code",
                "label": "download-script-button",
            }
            button["buttons"].insert(1, script)


def setup(app):
    app.add_config_value("readers_at", "readers", "html", [str])
    app.connect("html-page-context", lead_to_files, priority=900)
    app.connect("build-finished", write_files)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
