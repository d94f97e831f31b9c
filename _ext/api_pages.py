"""The reference of the package: one page for each wing, made by autodoc from signatures and
docstrings, with the source and the chapters that use each name.

Docstrings stay plain sentences (no numpydoc sections): axes and types stand in the signature, and
a list of parameters would say them again. They are written as Markdown is, with `names` in single
backticks; here they become what autodoc reads, reStructuredText.
"""

import ast
import inspect
import re
from collections import defaultdict
from functools import cache
from importlib import import_module
from pathlib import Path

import nbformat
from docutils.statemachine import StringList
from pybtex.database import parse_file
from readers import address_of, names
from sphinx.util.docutils import SphinxDirective

PACKAGE = "speech_interp"
MEMBERS = (":members:", ":ignore-module-all:", ":member-order: bysource")


def modules(root: Path, wing: str) -> list[str]:
    paths = sorted((root / PACKAGE / wing).glob("*.py"))
    return [f"{PACKAGE}.{wing}.{path.stem}" for path in paths if path.stem != "__init__"]


class Wing(SphinxDirective):
    """All public names of the modules of one wing."""

    required_arguments = 1

    def run(self):
        lines = []
        for name in modules(Path(self.env.srcdir), self.arguments[0]):
            lines += [f"## {name.rsplit('.', 1)[1]}", "", "```{eval-rst}"]
            lines += [f".. automodule:: {name}", *[f"   {m}" for m in MEMBERS], "```", ""]
        for notebook in Path(self.env.srcdir).glob("notebooks/*.ipynb"):
            self.env.note_dependency(str(notebook))
        source = StringList(lines, source=self.get_source_info()[0])
        return self.parse_content(source)

    def parse_content(self, lines):
        from docutils import nodes

        place = nodes.Element()
        self.state.nested_parse(lines, self.content_offset, place, match_titles=True)
        return place.children


def names_used(code: str) -> set[tuple[str, str]]:
    """Every (module, name) of the package that the code imports or takes from a module of it."""
    tree = ast.parse(re.sub(r"^(\s*)[%!].*$", r"\1pass", code, flags=re.MULTILINE))
    used, homes = set(), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
            for alias in node.names:
                used.add((node.module, alias.name))
                homes[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        if isinstance(node, ast.Import):
            homes |= {a.asname: a.name for a in node.names if a.asname}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used.add((homes.get(node.value.id, ""), node.attr))
    return {(module, name) for module, name in used if module.split(".")[0] == PACKAGE}


@cache
def chapters_by_name(root: Path, docnames: tuple[str, ...]) -> dict[str, list[str]]:
    """For each full name of the package, the chapters whose code uses it, in their order."""
    found = defaultdict(list)
    for docname in docnames:
        cells = nbformat.read(root / f"{docname}.ipynb", as_version=4).cells
        code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        for module, name in names_used(code):
            try:
                thing = getattr(import_module(module), name, None)
            except ImportError:  # an attribute of what is no module
                continue
            if hasattr(thing, "__qualname__"):  # where it was made, wherever it was taken from
                found[f"{thing.__module__}.{thing.__qualname__}"].append(docname)
    return dict(found)


def as_rest(lines: list[str], works: dict[str, str] | None = None) -> list[str]:
    """Single backticks are code, stars and bars are themselves, [keys] lead to the `works`."""
    works = works or {}
    done = []
    for line in lines:
        parts = re.split(r"(``.+?``|`[^`]+`|\[[\w-]+\])", line)
        for at, part in enumerate(parts):
            if part.startswith("`"):
                parts[at] = f"``{part.strip('`')}``"
            else:
                escaped = re.sub(r"(?<!^)([*|_])", r"\\\1", part)
                parts[at] = works.get(part.strip("[]"), escaped)
        done.append("".join(parts))
    return done


@cache
def links_to_works(path: Path) -> dict[str, str]:
    """For each key of the bibliography "Author (year)" as a link, in reStructuredText."""
    return {
        key: f"`{names(entry)} ({entry.fields['year']}) <{address_of(entry, '')}>`__"
        for key, entry in parse_file(str(path)).entries.items()
        if address_of(entry, "")
    }


def lines_of(thing) -> str:
    """The address of a function or class within the repository, or nothing."""
    try:
        source, start = inspect.getsourcelines(inspect.unwrap(thing))
    except (OSError, TypeError):
        return ""
    path = inspect.unwrap(thing).__module__.replace(".", "/")
    return f"{path}.py#L{start}-L{start + len(source) - 1}"


def finish_docstring(app, what, name, thing, options, lines):
    """The docstring as autodoc reads it, then where the source is and which chapters use it."""
    works = links_to_works(Path(app.srcdir) / app.config.bibtex_bibfiles[0])
    lines[:] = as_rest(lines, works)
    if what not in ("function", "class", "exception"):
        return
    found = []
    if place := lines_of(thing):
        repository = app.config.html_theme_options["repository_url"]
        branch = app.config.html_theme_options.get("repository_branch", "main")
        found.append(f"`Source <{repository}/blob/{branch}/{place}>`__")
    order = sorted(d for d in app.env.found_docs if app.env.doc2path(d).endswith(".ipynb"))
    users = chapters_by_name(Path(app.srcdir), tuple(order)).get(name, [])
    if users:
        found.append("used in " + ", ".join(f":doc:`/{user}`" for user in users))
    lines += ["", "; ".join(found), ""]


def mend_signatures(app, pagename, templatename, context, doctree):
    """Sphinx makes a list of definitions without terms of long signatures; axe rejects that."""

    def without_list(found):
        for before, after in (("dl", 'div class="sig-lines"'), ("dd", "div")):
            found = found.replace(f"<{before}>", f"<{after}>").replace(f"</{before}>", "</div>")
        return found

    body = context.get("body", "")
    signature = re.compile(r'<dt class="sig [^>]*>.*?</dt>', re.DOTALL)
    context["body"] = signature.sub(lambda found: without_list(found[0]), body)


def name_no_factory(app, what, name, thing, options, signature, returns):
    """Sphinx cannot read the default "<factory>" of a dataclass, and then shows raw text."""
    return (signature or "").replace("= <factory>", "= ..."), returns


def leave_out_fields(app, what, name, thing, skip, options):
    """The fields of a tuple stand in its signature; "Alias for field number 0" says nothing."""
    return True if (getattr(thing, "__doc__", "") or "").startswith("Alias for field") else None


def setup(app):
    app.setup_extension("sphinx.ext.autodoc")
    app.add_directive("wing", Wing)
    app.connect("autodoc-process-docstring", finish_docstring)
    app.connect("autodoc-process-signature", name_no_factory)
    app.connect("autodoc-skip-member", leave_out_fields)
    app.connect("html-page-context", mend_signatures)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
