"""Speech that is not ours as `Utterance` objects: own recordings, Hub datasets, TIMIT.

`alignment.align` then finds words, `phone_alignment.align_phones` words and phones, where the data
set has no times.
"""

import contextlib
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from speech_interp.speech.audio import RATE_HZ, load_audio
from speech_interp.speech.corpus import SILENCE, CorpusError, Interval, Utterance
from speech_interp.speech.hub_access import find_dataset, in_time

#: TIMIT's labels that are not simply ours in lower case.
_TIMIT = {
    "h#": SILENCE, "pau": SILENCE, "epi": SILENCE, "ix": "IH", "axr": "ER", "ax-h": "AX",
    "ux": "UW", "hv": "HH", "el": "L", "em": "M", "en": "N", "eng": "NG", "nx": "N", "dx": "T",
    "q": SILENCE,
}  # fmt: skip


def from_file(path: str | Path, *, text: str = "", speaker: str = "") -> Utterance:
    """Your own recording as an utterance; `alignment.align` finds its words from the text."""
    path = Path(path)
    return Utterance(id=path.stem, text=text, speaker=speaker, audio=load_audio(path))


def from_dataset(
    rows: Iterable[Mapping], *, audio: str = "audio", text: str = "text", speaker: str = "speaker"
) -> list[Utterance]:
    """The rows of a Hub dataset, loaded with `Audio(decode=False)`, as utterances.

    `audio`, `text` and `speaker` name its columns; a speaker column may be absent.
    """
    utterances = []
    for number, row in enumerate(rows):
        for name in (audio, text):
            if name not in row:
                raise CorpusError(f"the rows have no column {name!r}, only {sorted(row)}")
        sound = row[audio]
        if not isinstance(sound, Mapping) or not (sound.get("bytes") or sound.get("path")):
            raise CorpusError(
                f"column {audio!r} holds {type(sound).__name__}, expected encoded audio: "
                f"dataset.cast_column({audio!r}, Audio(decode=False))"
            )
        utterances.append(
            Utterance(
                id=_said(row.get("id")) or str(number),
                text=_said(row[text]),
                speaker=_said(row.get(speaker)),
                audio=load_audio(sound.get("bytes") or sound["path"]),
            )
        )
    return utterances


def _said(value) -> str:
    return "" if value is None else str(value)


def from_hub(
    name: str,
    config: str | None = None,
    *,
    split: str = "train",
    count: int = 3,
    within_s: float = 60.0,
    **columns: str,
) -> list[Utterance]:
    """The first `count` rows of a dataset on the Hub as utterances; nothing more is downloaded.

    `columns` are those of `from_dataset`. Raises `CorpusError`, in one sentence, where the Hub is
    out of reach, has no such data, or needs longer than `within_s`.
    """
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # progress bars
            find_dataset(name)
            rows = in_time(lambda: _first_rows(name, config, split, count), limit_s=within_s)
    except Exception as error:
        reason = str(error).strip().split("\n")[0].split(" (")[0].rstrip(".")
        raise CorpusError(f"{name} was not loaded from the Hub: {reason}") from error
    return from_dataset(rows, **columns)


def _first_rows(name: str, config: str | None, split: str, count: int) -> list[dict]:
    from datasets import Audio, load_dataset

    rows = load_dataset(name, config, split=split, streaming=True)
    for column, feature in (rows.features or {}).items():
        if isinstance(feature, Audio):
            rows = rows.cast_column(column, Audio(decode=False))
    return list(rows.take(count))


def timit(folder: str | Path) -> list[Utterance]:
    """TIMIT from a local folder (it may not be shared), with its own hand-made times.

    Its 61 labels become ours: the closure of a stop joins the stop, flaps are "T", allophones fold
    into their phone. Speaker and sex come from the folder name (FCJF0: "f").
    """
    found = sorted(p for p in Path(folder).rglob("*") if p.name.lower().endswith(".wav"))
    # Some copies have a converted SA1.WAV.wav beside SA1.WAV.
    audio = list({(p.parent, p.name.split(".")[0].lower()): p for p in found}.values())
    if not audio:
        raise CorpusError(f"no .wav files under {folder}: expected TIMIT's TRAIN and TEST folders")
    return [_timit_utterance(path) for path in audio]


def _timit_utterance(path: Path) -> Utterance:
    def read(suffix):
        name = path.name.split(".")[0] + suffix
        matches = [p for p in path.parent.iterdir() if p.name.lower() == name.lower()]
        if not matches:
            raise CorpusError(f"{path} has no {suffix} file beside it")
        rows = [line.split(maxsplit=2) for line in matches[0].read_text().splitlines() if line]
        return [Interval(r[2].strip(), int(r[0]) / RATE_HZ, int(r[1]) / RATE_HZ) for r in rows]

    phones: list[Interval] = []
    for interval in read(".phn"):
        label = interval.label
        if label.endswith("cl"):
            label = label[0].upper()
        else:
            label = _TIMIT.get(label, label.upper())
        burst = interval.label in "b d g k p t".split() or label == SILENCE
        joins = burst and phones and phones[-1].label == label
        affricate = phones and label in ("CH", "JH") and phones[-1].label in ("T", "D")
        if joins or affricate:
            phones[-1] = Interval(label, phones[-1].start_s, interval.end_s)
        else:
            phones.append(Interval(label, interval.start_s, interval.end_s))
    speaker = path.parent.name
    folders = [part.lower() for part in reversed(path.parts)]  # the nearest one is TIMIT's own
    split = next((name for name in folders if name in ("train", "test")), "")
    return Utterance(
        id=f"{speaker}-{path.name.split('.')[0]}", text=" ".join(i.label for i in read(".txt")),
        speaker=speaker, sex=speaker[:1].lower(), subset="timit", split=split,
        words=tuple(read(".wrd")), phones=tuple(phones), audio=load_audio(path),
    )  # fmt: skip
