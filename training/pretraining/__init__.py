"""How the stand-in checkpoints in `speech_interp/data/` were pre-trained."""
