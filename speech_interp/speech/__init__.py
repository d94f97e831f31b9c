"""Sound and its labels: the corpus, your own recordings, and what is done to a wave."""

from speech_interp.speech.torchaudio_repair import repair_torchaudio

# Every wing but `statistics` imports this one, so it comes before transformers, which imports
# torchaudio where it is installed.
repair_torchaudio()
