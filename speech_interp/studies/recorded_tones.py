"""Mandarin syllables on their four tones, recorded from two people.

Speaker "5" is Chu Lo, recorded by the ChionMeilin project (CC BY 3.0): these recordings lie in
`data/recorded_tones`, with their card. Speaker "3" is Edward Der-Hua Liu (GPL-3 or LGPL-3): his lie
in Debian's package gcin-voice, which is fetched with apt-get into the cache and unpacked, never
installed. Both pass the same codec, so that no probe can tell them apart by it.
"""

import io
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile as sf
from jaxtyping import Float
from numpy import ndarray

from speech_interp.models import checkpoint_files
from speech_interp.speech.audio import RATE_HZ, load_audio
from speech_interp.speech.corpus import Interval, Utterance
from speech_interp.speech.hub_access import Unavailable

PACKAGE = "gcin-voice"
SHA256 = "6a0353f0294d06f7bd901bada3d5d9eec63b66c2ec029f92da3124d93d45de70"
SPEAKERS = ("3", "5")
SHIPPED_SPEAKER = "5"
SHIPPED = Path(__file__).parents[1] / "data" / "recorded_tones" / "chu-lo.zip"
TONES = {"1": "level", "2": "rising", "3": "dipping", "4": "falling"}
FETCH_WITHIN_S = 120
QUARTERS = 4
COMPRESSION = 0.94  # of Opus, on soundfile's scale: that of the shipped sound

Key = tuple[str, str, str]  # speaker, syllable, tone


def recorded_tones(
    folder: Path | None = None, *, speakers: Sequence[str] = SPEAKERS, syllables: int | None = None
) -> list[Utterance]:
    """Return the syllables that all speakers have on all four tones, speaker by speaker.

    `info` has "tone" and "syllable" (in Bopomofo); the tier `syllables` are four equal parts of the
    sound, labelled "1" to "4". `syllables`: so many, evenly spread over the alphabet, instead of
    all. `folder` holds `SYLLABLE+TONE/SPEAKER.ogg`; without it speaker 5 is there and speaker 3 is
    fetched; where he cannot be, a printed line says why and he is left out.

    Raises Unavailable where nobody is left, and ValueError for a folder without any such syllable.
    """
    sounds: dict[Key, Path | bytes]
    if folder is not None:
        sounds = {**complete_files(folder, speakers)}
    else:
        sounds = {**_shipped()} if SHIPPED_SPEAKER in speakers else {}
        if others := [s for s in speakers if s != SHIPPED_SPEAKER]:
            try:
                sounds = _shared(sounds | complete_files(fetched(), others))
            except Unavailable as reason:
                if not sounds:
                    raise
                print(f"speaker {', '.join(others)} is left out: {reason}")
    texts = sorted({syllable for _, syllable, _ in sounds})
    if syllables is not None:
        if not 1 <= syllables <= len(texts):
            raise ValueError(f"syllables is {syllables}, expected 1 to {len(texts)}")
        texts = [texts[k * len(texts) // syllables] for k in range(syllables)]
    return [
        _utterance(sounds[s, syllable, tone], s, syllable, tone)
        for s in speakers
        for syllable in texts
        for tone in TONES
        if (s, syllable, tone) in sounds
    ]


def complete_files(folder: Path, speakers: Sequence[str]) -> dict[Key, Path]:
    """Return the files of the syllables that all speakers have on all four tones.

    Raises ValueError where there is no such syllable.
    """
    files: dict[Key, Path] = {}
    for place in sorted(folder.iterdir()):
        # The first tone is written with its digit or without.
        if named := re.fullmatch(r"(\D+)([1-4]?)", place.name):
            here = {(s, named[1], named[2] or "1"): place / f"{s}.ogg" for s in speakers}
            files |= {key: path for key, path in here.items() if path.exists()}
    complete = _shared(files)
    if {speaker for speaker, *_ in complete} != set(speakers):
        raise ValueError(
            f"{folder} has no syllable with four tones by the speakers {list(speakers)}"
        )
    return complete


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


def _shipped() -> dict[Key, bytes]:
    with zipfile.ZipFile(SHIPPED) as archive:
        names = {Path(name).stem: archive.read(name) for name in archive.namelist()}
    return {(SHIPPED_SPEAKER, stem[:-1], stem[-1]): sound for stem, sound in names.items()}


def _shared(sounds: dict) -> dict:
    """Return the sounds of the syllables that every speaker among them has on all four tones."""
    of: dict[str, set] = {}
    for speaker, syllable, tone in sounds:
        of.setdefault(syllable, set()).add((speaker, tone))
    wanted = {(speaker, tone) for speaker, *_ in sounds for tone in TONES}
    return {key: sound for key, sound in sounds.items() if of[key[1]] == wanted}


def _utterance(sound: Path | bytes, speaker: str, syllable: str, tone: str) -> Utterance:
    coded = sound if isinstance(sound, bytes) else _coded(load_audio(sound))
    wave, _ = sf.read(io.BytesIO(coded), dtype="float32")
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


def _coded(wave: Float[ndarray, " sample"]) -> bytes:
    """Return the wave as Ogg Opus, as the shipped sound is stored."""
    buffer = io.BytesIO()
    options = {"format": "OGG", "subtype": "OPUS", "compression_level": COMPRESSION}
    sf.write(buffer, wave, RATE_HZ, **options)
    return buffer.getvalue()
