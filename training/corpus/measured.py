"""Where measurements of the corpus are kept, and how the card tells them."""

from pathlib import Path

WHISPER = Path(__file__).with_name("whisper.json")
CODEC = Path(__file__).with_name("codec.json")
