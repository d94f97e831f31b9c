"""Methods to look inside speech models: the package behind the book."""

from speech_interp._torchaudio import repair_torchaudio

__version__ = "0.1.0"

# Must come before anything imports transformers, which imports torchaudio where it is installed.
repair_torchaudio()
