"""A build after a change writes all pages; one after no change writes none.

A page that has changed can change the menus and links of all others. Sphinx does not see changes
in our own extensions, styles and drawings, and forgets the index words of pages that it does not
write anew: their search would not find a chapter by the name of its method.
"""

import json
from pathlib import Path

from stale import digest_of

PARTS = ("_ext", "_static", "images")


def note_our_parts(app, config):
    config.our_parts = digest_of(Path(app.srcdir), *PARTS).hexdigest()


def kept_index(app) -> Path:
    """The index words of a site that is whole; there is no such file before that."""
    return Path(app.doctreedir) / "index_entries.json"


def note_changes(app, env, added, changed, removed):
    if added or changed or removed:
        kept_index(app).unlink(missing_ok=True)
    return []


def write_every_page_or_none(app, env):
    kept = kept_index(app)
    if not kept.exists():
        return list(env.found_docs)
    for docname, entries in json.loads(kept.read_text(encoding="utf-8")).items():
        env._search_index_index_entries.setdefault(docname, [tuple(entry) for entry in entries])
    return []


def keep_index(app, error):
    if error is None and app.builder.format == "html":
        entries = json.dumps(app.env._search_index_index_entries)
        kept_index(app).write_text(entries, encoding="utf-8")


def setup(app):
    app.add_config_value("our_parts", "", "env")  # another value: every page is read again
    app.connect("config-inited", note_our_parts)
    app.connect("env-get-outdated", note_changes)
    app.connect("env-updated", write_every_page_or_none)
    app.connect("build-finished", keep_index)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
