"""Settings for every test: shapes in signatures are checked, no test reaches the real Hub."""

import os

# A test that wants a Hub starts its own on 127.0.0.1 and points HF_ENDPOINT at it.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from jaxtyping import install_import_hook

install_import_hook("speech_interp", "typecheck.checked")
