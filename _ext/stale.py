"""Throws away the results of chapters when the code that computed them has changed.

jupyter-cache looks at a notebook's own cells only. The cache therefore lives in a folder named
after everything else that a result depends on; a new name makes Sphinx read every chapter anew.
"""

import hashlib
import os
import shutil
from pathlib import Path

# A local folder of checkpoints goes before all other sources, so it decides what is computed.
ENVIRONMENT = ("SPEECH_INTERP_CHECKPOINTS",)


def fingerprint(root: Path) -> str:
    """Changes with the package, its data, the pins, and the choice of checkpoints."""
    digest = digest_of(root, "speech_interp", "requirements.txt")
    for name in ENVIRONMENT:
        digest.update(os.environ.get(name, "").encode() + b"\0")
    return digest.hexdigest()[:16]


def digest_of(root: Path, *names: str):
    """Of all files with these names, and below the folders with these names."""
    found = [p for name in names for p in (root / name, *(root / name).rglob("*"))]
    digest = hashlib.sha256()
    for path in sorted(p for p in found if p.is_file() and "__pycache__" not in p.parts):
        digest.update(str(path.relative_to(root)).encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest


def choose_cache(app, config):
    caches = Path(app.outdir).parent / "results"
    current = caches / fingerprint(Path(app.srcdir))
    for old in caches.glob("*"):
        if old != current and old.is_dir():
            shutil.rmtree(old)
    config.nb_execution_cache_path = str(current)


def setup(app):
    app.connect("config-inited", choose_cache, priority=100)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
