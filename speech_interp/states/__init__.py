"""What one forward pass gives: frames, states, attention, scores, alignments."""

import speech_interp.speech  # noqa: F401  (makes transformers import beside any torch)
