"""What serves one study."""

import speech_interp.speech  # noqa: F401  (makes transformers import beside any torch)
