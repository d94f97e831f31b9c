"""Methods to look inside speech models: the package behind the book."""

import os
import warnings

from speech_interp._torchaudio import repair_torchaudio

__version__ = "0.1.0"

# Its warnings are for its developers; readers of a page cannot act on them.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

# Must come before anything imports transformers, which imports torchaudio where it is installed.
repair_torchaudio()

# Progress bars are text here, on purpose: widgets would need scripts from other hosts on the page.
warnings.filterwarnings("ignore", message="IProgress not found")
