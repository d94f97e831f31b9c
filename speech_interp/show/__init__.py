"""What a reader sees and hears."""

import speech_interp.speech  # noqa: F401  (makes transformers import beside any torch)
