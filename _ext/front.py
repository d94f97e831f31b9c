"""What leads readers to chapters: the gallery of answers, the order of search results, a site map.

The site map is ten lines here; sphinx-sitemap would bring a second package that asks git.
"""

import re
from pathlib import Path
from xml.sax.saxutils import escape

import nbformat
from docutils import nodes
from plain_markdown import directive, plain
from readers import SiteChapter
from sphinx import addnodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective


class GalleryNode(nodes.General, nodes.Element):
    """Stands in for the answers until the order and the titles of all chapters are known."""


class Gallery(SphinxDirective):
    def run(self):
        for notebook in Path(self.env.srcdir).glob("notebooks/*.ipynb"):
            self.env.note_dependency(str(notebook))
        return [GalleryNode()]


def answer_of(path: Path) -> tuple[str, str] | None:
    """The words for those who do not see the answer's figure, and its caption, as written."""
    text = nbformat.read(path, as_version=4).cells[0].source
    found = directive(text, "glue:figure", "answer")
    if found is None:
        return None
    options, caption = found
    return options["alt"], caption


def without_marks(markdown: str) -> str:
    """Markdown as text: no emphasis, no code, words of links only."""
    markdown = re.sub(r"\[([^\[\]]*)\]\([^()]*\)", r"\1", markdown)
    return re.sub(r"[*`]|\\(?=[\W_])", "", markdown)


class FillGallery(SphinxPostTransform):
    default_priority = 8

    def run(self, **kwargs):
        for place in list(self.document.findall(GalleryNode)):
            order = self.env.toctree_includes.get(self.config.root_doc, [])
            place.replace_self([entry for d in order if (entry := self.entry(d)) is not None])

    def entry(self, docname):
        source = Path(self.env.doc2path(docname))
        if source.suffix != ".ipynb" or (answer := answer_of(source)) is None:
            return None
        alt, caption = answer
        caption = without_marks(plain(caption, SiteChapter(self.app, docname, {})))
        builder, here = self.app.builder, self.env.docname
        address = builder.get_relative_uri(here, docname)
        picture = builder.get_relative_uri(here, "figures/x").rsplit("x", 1)[0]
        picture += f"{source.stem}-answer.png"  # written by readers.py, from the chapter's run
        title = self.env.titles[docname].astext()
        html = (
            f'<figure class="answer"><a href="{address}">'
            f'<img src="{picture}" alt="{escape(alt, {chr(34): "&quot;"})}" loading="lazy"/>'
            f"<strong>{escape(title)}</strong></a>"
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )
        return nodes.raw("", html, format="html")


def words_lead_to_their_chapters(app, doctree, docname):
    """Words of `search_words` in _config.yml are entries of the index for that chapter."""
    for word in app.config.search_words.get(docname, []):
        doctree.insert(0, addnodes.index(entries=[("single", word, "", "main", None)]))


def write_site_map(app, error):
    if error is not None or app.builder.format != "html" or not app.config.html_baseurl:
        return
    site = app.config.html_baseurl.rstrip("/")
    pages = sorted(app.env.found_docs)
    lines = [f"<url><loc>{escape(f'{site}/{page}.html')}</loc></url>" for page in pages]
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    head += '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
    text = "\n".join([head, *lines, "</urlset>"]) + "\n"
    (Path(app.outdir) / "sitemap.xml").write_text(text, encoding="utf-8")


def order_search_results(app, config):
    config.html_search_scorer = str(Path(__file__).with_name("search_order.js"))


def setup(app):
    app.add_config_value("search_words", {}, "env", [dict])
    app.add_node(GalleryNode)
    app.add_directive("gallery", Gallery)
    app.add_post_transform(FillGallery)
    app.connect("config-inited", order_search_results)
    app.connect("doctree-resolved", words_lead_to_their_chapters)
    app.connect("build-finished", write_site_map)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
