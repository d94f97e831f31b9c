"""The methods of the book: one module, one chapter."""

import speech_interp.speech  # noqa: F401  (makes transformers import beside any torch)
