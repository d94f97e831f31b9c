"""Methods to look inside speech models: the package behind the book."""

import os
import warnings
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from speech_interp.models.loading import load_model
    from speech_interp.show.player import listen
    from speech_interp.speech.corpus import load_corpus
    from speech_interp.states.hidden_states import hidden_states, pool

__version__ = "0.1.0"
__all__ = ["hidden_states", "listen", "load_corpus", "load_model", "pool"]

# The front door. Each name is looked up when asked for: torch alone takes seconds to import.
_HOMES = {
    "hidden_states": "states.hidden_states",
    "listen": "show.player",
    "load_corpus": "speech.corpus",
    "load_model": "models.loading",
    "pool": "states.hidden_states",
}

# Its warnings are for its developers; readers of a page cannot act on them.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

# Progress bars are text here, on purpose: widgets would need scripts from other hosts on the page.
warnings.filterwarnings("ignore", message="IProgress not found")


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'speech_interp' has no attribute {name!r}")
    return getattr(import_module(f"speech_interp.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
