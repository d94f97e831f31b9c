"""From the name of a checkpoint to a loaded model."""

import speech_interp.speech  # noqa: F401  (makes transformers import beside any torch)
