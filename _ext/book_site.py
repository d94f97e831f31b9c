"""What this site adds to Jupyter Book: drawings that follow the theme, nothing from other hosts,
and link previews."""

import re
import shutil
from pathlib import Path

from docutils import nodes
from PIL import Image
from sphinx import addnodes


def leave_out_thebe(app, config):
    """Jupyter Book always loads sphinx_thebe, which runs code on other people's hosts."""
    for listeners in list(app.events.listeners.values()):
        for listener in list(listeners):
            if listener.handler.__module__ == "sphinx_thebe":
                app.disconnect(listener.id)
    app.registry.css_files[:] = [f for f in app.registry.css_files if f[0] != "sphinx-thebe.css"]


def icons_from_the_font(app, error):
    """The theme brings its icons twice, as a font and as a script of 1.5 MB. The font does."""
    script = Path(app.outdir) / "_static" / "scripts" / "fontawesome.js"
    if error is None and script.exists():
        script.write_text("// The icons of this site come from the font.\n", encoding="utf-8")


def pictures_of_256_colours(app, env):
    """Figures are flat colours and a few maps: with a palette they weigh a third.

    Done where myst-nb keeps them, before Sphinx copies them to the site: so each is reduced once.
    They keep their time, or Sphinx would take their chapters for changed.
    """
    if app.builder.format != "html":
        return
    for path in (Path(app.outdir).parent / "jupyter_execute").rglob("*.png"):
        with Image.open(path) as picture:
            if picture.mode == "P":
                continue
            paper = Image.new("RGBA", picture.size, "white")
            opaque = Image.alpha_composite(paper, picture.convert("RGBA")).convert("RGB")
        unfinished = path.with_suffix(".part")
        opaque.quantize(256, dither=Image.Dither.NONE).save(unfinished, "PNG", optimize=True)
        shutil.copystat(path, unfinished)
        unfinished.replace(path)


def inline_drawing(path, label):
    """A drawing as part of the page; where it has a tall form, that one serves on a phone."""
    svg = path.read_text(encoding="utf-8")
    width = int(re.search(r'viewBox="0 0 (\d+)', svg)[1])
    svg = re.sub(r"<title>.*?</desc>\n", "", svg, flags=re.DOTALL)
    svg = svg.replace('role="img"', f'role="img" aria-label="{label}"', 1)
    tall = path.with_name(f"{path.stem}_tall.svg")
    if tall.exists():
        forms = {"wide": svg, "tall": inline_drawing(tall, label)}
        return "".join(f'<div class="drawing-{name}">{form}</div>' for name, form in forms.items())
    if width > 600:  # on a phone such a drawing scrolls sideways
        frame = '<div class="drawing-frame" tabindex="0" role="group" aria-label="Drawing">'
        svg = f"{frame}{svg}</div>"
    return svg


def set_drawings_into_the_page(app, doctree, docname):
    """Our svg files become part of the page, so that their text takes the colours of the theme."""
    if app.builder.format != "html":
        return
    for image in list(doctree.findall(nodes.image)):
        if re.fullmatch(r"images/\w+\.svg", image["uri"]):
            label = nodes.Text(image.get("alt", "")).astext().replace('"', "&quot;")
            html = inline_drawing(Path(app.srcdir) / image["uri"], label)
            image.replace_self(nodes.raw("", html, format="html"))


def name_cells_by_their_column(app, doctree, docname):
    """On a phone a table of three columns of text is shown row by row, each cell under its name."""
    for table in doctree.findall(nodes.table):
        head = [e.astext() for row in table.findall(nodes.thead) for e in row.findall(nodes.entry)]
        cells = [list(row.findall(nodes.entry)) for row in table.next_node(nodes.tbody)]
        longest = max((len(cell.astext()) for row in cells for cell in row), default=0)
        if len(head) < 3 or longest < 24:
            continue
        table["classes"].append("row-by-row")
        for row in cells:
            for name, cell in zip(head[1:], row[1:], strict=False):
                if cell.astext().strip():
                    cell.insert(0, nodes.paragraph("", name, classes=["column-name"]))


def keep_columns_of_printed_tables(app, doctree, docname):
    """Printed lines are wrapped, unless they make a table, which would fall apart."""
    for block in doctree.findall(nodes.literal_block):
        rows = [line for line in block.astext().splitlines() if re.search(r"\S {2,}\S", line)]
        if "stream" in block["classes"] and len(rows) > 1:
            block["classes"].append("columns")


def methods_lead_to_their_chapters(app, doctree, docname):
    """Searching for a method that the table of the first page names finds its chapter."""
    if not docname.startswith("notebooks/"):
        return
    for table in app.env.get_doctree(app.config.root_doc).findall(nodes.table):
        for link in table.findall(addnodes.pending_xref):
            if link["reftarget"].lstrip("/") == docname:
                entry = ("single", link.astext(), "", "main", None)
                doctree.insert(0, addnodes.index(entries=[entry]))


def first_paragraph(doctree):
    for paragraph in doctree.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section):
            words = paragraph.astext().split()
            while len(" ".join(words)) > 200:
                words.pop()
            return " ".join(words).replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return ""


def add_link_preview(app, pagename, templatename, context, doctree):
    """Description and Open Graph; addresses come from html.baseurl in _config.yml."""
    if doctree is None:
        return
    title = context["title"] if pagename != app.config.root_doc else context["docstitle"]
    title = re.sub(r"<[^>]+>", "", title)
    description = first_paragraph(doctree)
    address = app.config.html_baseurl.rstrip("/")
    tags = {"og:type": "article", "og:title": title, "og:description": description}
    tags["og:site_name"] = app.config.project
    if address:
        tags["og:url"] = context["pageurl"]
        picture = "overview.png"
        if pagename.startswith("notebooks/"):  # its own answer, written by readers.py
            picture = f"figures/{pagename.rsplit('/', 1)[1]}-answer.png"
        tags["og:image"] = f"{address}/{picture}"
        tags["twitter:card"] = "summary_large_image"
    lines = [f'<meta property="{name}" content="{value}"/>' for name, value in tags.items()]
    lines.append(f'<meta name="description" content="{description}"/>')
    context["metatags"] = context.get("metatags", "") + "\n".join(lines)


def mend_lists_of_references(app, pagename, templatename, context, doctree):
    """sphinxcontrib-bibtex says "list" of the whole, so screen readers expect items."""
    body = context.get("body", "")
    context["body"] = body.replace('role="doc-biblioentry"', 'role="listitem"')


def numbers_stay_with_their_units(app, pagename, templatename, context, doctree):
    """No line ends between a number that the page computed and its unit."""
    body = context.get("body", "")
    number = r'(<span class="pasted-text">[^<]*</span>)'
    context["body"] = re.sub(number + r" (%|(?:ms|s|dB|points)\b)", r"\1&#160;\2", body)


def setup(app):
    app.connect("config-inited", leave_out_thebe)
    app.connect("env-updated", pictures_of_256_colours)
    app.connect("build-finished", icons_from_the_font)
    app.connect("doctree-resolved", set_drawings_into_the_page)
    app.connect("doctree-resolved", name_cells_by_their_column)
    app.connect("doctree-resolved", keep_columns_of_printed_tables)
    app.connect("doctree-resolved", methods_lead_to_their_chapters)
    app.connect("html-page-context", add_link_preview)
    app.connect("html-page-context", mend_lists_of_references)
    app.connect("html-page-context", numbers_stay_with_their_units)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
