"""Packs the recordings that are shipped: `python -m training.corpus.recorded_tones FOLDER`.

FOLDER is usr/share/gcin-voice/ogg of Debian's gcin-voice (0~20170223-3). Taken are the
syllables that both speakers have on all four tones, in the voice of Chu Lo (CC BY 3.0) alone.
"""

import sys
import zipfile
from pathlib import Path

from speech_interp.speech.audio import load_audio
from speech_interp.studies.recorded_tones import SHIPPED, SHIPPED_SPEAKER, SPEAKERS, complete_files
from training.corpus.pack import encode


def main():
    files = complete_files(Path(sys.argv[1]), SPEAKERS)
    with zipfile.ZipFile(SHIPPED, "w") as archive:
        for (speaker, syllable, tone), path in sorted(files.items()):
            if speaker == SHIPPED_SPEAKER:
                name = zipfile.ZipInfo(f"{syllable}{tone}.opus", date_time=(2017, 2, 23, 0, 0, 0))
                archive.writestr(name, encode(load_audio(path)))


if __name__ == "__main__":
    main()
