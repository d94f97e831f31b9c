"""Mandarin syllables on their four tones, recorded from two people.

They lie in Debian's package gcin-voice, which is fetched with apt-get into the cache and unpacked,
never installed. Speaker "3" is Edward Der-Hua Liu (GPL-3 or LGPL-3); speaker "5" is Chu Lo,
recorded by the ChionMeilin project (CC BY 3.0). Not every machine can fetch it: the error says what
is missing.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from speech_interp.models import checkpoint_files
from speech_interp.speech.audio import RATE_HZ, load_audio
from speech_interp.speech.corpus import Interval, Utterance
from speech_interp.speech.hub_access import Unavailable

PACKAGE = "gcin-voice"
SHA256 = "6a0353f0294d06f7bd901bada3d5d9eec63b66c2ec029f92da3124d93d45de70"
SPEAKERS = ("3", "5")
TONES = {"1": "level", "2": "rising", "3": "dipping", "4": "falling"}
FETCH_WITHIN_S = 120
QUARTERS = 4


def recorded_tones(
    folder: Path | None = None, *, speakers: Sequence[str] = SPEAKERS
) -> list[Utterance]:
    """Return the syllables that all speakers have on all four tones, speaker by speaker.

    `info` has "tone" and "syllable" (in Bopomofo); `syllables` are four equal parts of the sound,
    labelled "1" to "4". `folder` holds `SYLLABLE+TONE/SPEAKER.ogg`; without it the package is
    fetched. Raises Unavailable where that cannot be, and ValueError for a folder without any such
    syllable.
    """
    folder = folder or fetched()
    files: dict[str, dict[tuple[str, str], Path]] = {}
    for place in sorted(folder.iterdir()):
        # The first tone is written with its digit or without.
        if named := re.fullmatch(r"(\D+)([1-4]?)", place.name):
            syllable, tone = named[1], named[2] or "1"
            here = {(s, tone): place / f"{s}.ogg" for s in speakers}
            files.setdefault(syllable, {}).update({k: p for k, p in here.items() if p.exists()})
    wanted = [(s, tone) for s in speakers for tone in TONES]
    complete = [syllable for syllable, own in files.items() if set(wanted) <= set(own)]
    if not complete:
        raise ValueError(
            f"{folder} has no syllable with four tones by the speakers {list(speakers)}"
        )
    return [
        _utterance(files[syllable][s, tone], s, syllable, tone)
        for s in speakers
        for syllable in complete
        for tone in TONES
    ]


def fetched() -> Path:
    """Return the folder of the recordings in the cache, fetched once.

    Raises Unavailable without apt-get and dpkg-deb, without a Debian mirror, or where the mirror
    has another version.
    """
    cache = checkpoint_files.hugging_face_home() / "speech_interp"
    folder = checkpoint_files.current_folder(cache) / f"{PACKAGE}-{SHA256[:12]}"
    if folder.is_dir():
        return folder
    if lacking := [tool for tool in ("apt-get", "dpkg-deb") if not shutil.which(tool)]:
        raise Unavailable(f"Debian's {PACKAGE} cannot be fetched: no {lacking[0]} on this machine")
    cache = checkpoint_files.writable_folder(cache)
    with tempfile.TemporaryDirectory(dir=cache) as place:
        _run(["apt-get", "download", "-qq", PACKAGE], place)
        package = next(Path(place).glob("*.deb"), None)
        if package is None or checkpoint_files.sha256_of(package) != SHA256:
            raise Unavailable(f"the mirror's {PACKAGE} is not the version this was written for")
        _run(["dpkg-deb", "-x", package.name, "unpacked"], place)
        folder = cache / folder.name
        if not folder.is_dir():  # another process may have been faster
            (Path(place) / "unpacked/usr/share" / PACKAGE / "ogg").rename(folder)
    return folder


def _run(command: list[str], place: str) -> None:
    try:
        done = subprocess.run(
            command, cwd=place, capture_output=True, text=True, timeout=FETCH_WITHIN_S
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{command[0]}: no answer within {FETCH_WITHIN_S} s") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
        raise Unavailable(f"Debian's {PACKAGE} cannot be fetched: {said}")


def _utterance(path: Path, speaker: str, syllable: str, tone: str) -> Utterance:
    wave = load_audio(path)
    edges_s = np.linspace(0, len(wave) / RATE_HZ, QUARTERS + 1).tolist()
    quarters = tuple(Interval(str(k + 1), *edges_s[k : k + 2]) for k in range(QUARTERS))
    return Utterance(
        id=f"{PACKAGE}-{speaker}-{syllable}-{tone}",
        text=syllable,
        speaker=speaker,
        words=(Interval(syllable, 0.0, edges_s[-1]),),
        syllables=quarters,
        info={"tone": TONES[tone], "syllable": syllable},
        audio=wave,
    )
