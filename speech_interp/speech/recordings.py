"""Speech that is not ours as `Utterance` objects: own recordings, folders, Hub datasets, TIMIT.

`alignment.align` then finds words, `phone_alignment.align_phones` words and phones, where the data
set has no times.
"""

import contextlib
import functools
import io
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from numpy import ndarray
from tqdm.auto import tqdm

from speech_interp.speech.annotations import with_tiers
from speech_interp.speech.audio import RATE_HZ, check_wave, load_audio
from speech_interp.speech.corpus import SILENCE, CorpusError, Interval, Utterance
from speech_interp.speech.folder_layouts import SOUNDS, Recording, recordings_in
from speech_interp.speech.hub_access import find_dataset, in_time
from speech_interp.speech.textgrid import AnnotationError, Tiers

#: TIMIT's labels that are not simply ours in lower case.
_TIMIT = {
    "h#": SILENCE, "pau": SILENCE, "epi": SILENCE, "ix": "IH", "axr": "ER", "ax-h": "AX",
    "ux": "UW", "hv": "HH", "el": "L", "em": "M", "en": "N", "eng": "NG", "nx": "N", "dx": "T",
    "q": SILENCE,
}  # fmt: skip


def from_file(
    path: str | Path, *, text: str = "", speaker: str = "", channel: int | None = None
) -> Utterance:
    """Your own recording as an utterance; `alignment.align` finds its words from the text.

    `channel`: the one that is taken of a stereo recording, from 0; otherwise their average.
    """
    path = Path(path)
    wave = load_audio(path, channel=channel)
    return Utterance(id=path.stem, text=text, speaker=speaker, audio=wave)


class Recordings(list):
    """A list of utterances; `skipped` says which files are not in it, and why."""

    def __init__(self, utterances: Iterable[Utterance], skipped: Mapping[str, str]):
        super().__init__(utterances)
        self.skipped = dict(skipped)

    @property
    def table(self) -> str:
        """What was read and what was skipped, one row a file, for printing."""
        width = max(map(len, self.skipped), default=0)
        rows = [f"  {name:{width}}  {reason}" for name, reason in self.skipped.items()]
        return "\n".join([f"{len(self)} utterances read, {len(rows)} skipped", *rows])


def from_folder(
    folder: str | Path,
    *,
    tiers: Mapping[str, str] | None = None,
    speaker: str | Callable[[Path], str] = "",
    annotations: str | Path | Mapping[str, Tiers] | None = None,
    encoding: str | None = None,
    channel: int | None = None,
    strict: bool = False,
    progress: bool = True,
) -> Recordings:
    """The recordings of a folder and of those in it as utterances, in the order of their names.

    Beside `a.wav` stand `a.TextGrid`, `a.eaf` or Audacity's labels `a.txt`, or its text in `a.txt`
    or `a.lab`. `annotations`: another folder, or what `annotation_files.read_ctm` or `read_table`
    gives. Where there is LibriSpeech's `*.trans.txt` or Kaldi's `wav.scp`, these say what to read.
    `tiers`: {"words": "Wörter", "phones": "Laute"}, as in `annotations.with_tiers`. `speaker`: a
    name, or what gives one for a path, such as `lambda path: path.parent.name`. `channel`: of
    stereo recordings, from 0; otherwise their average. `encoding`: of labels older than Unicode.

    What cannot be read is left out, named in a table that is printed and in `.skipped`; `strict`
    raises at the first. Raises `CorpusError` where nothing could be read.
    """
    folder = Path(folder)
    found = list(recordings_in(folder, annotations, encoding=encoding, labelled=bool(tiers)))
    if not found:
        raise CorpusError(f"{folder}: no sound files, expected some that end in one of {SOUNDS}")
    # Kaldi cuts many utterances from one file.
    load = functools.lru_cache(maxsize=1)(functools.partial(load_audio, channel=channel))
    utterances, skipped = [], {}
    for recording in tqdm(found, desc="recordings", disable=not progress):
        try:
            wave = _sound_of(recording, load)
            named = speaker(recording.sound) if callable(speaker) else speaker
            utterance = Utterance(
                id=recording.id, text=recording.text, speaker=named or recording.speaker, audio=wave
            )
            if recording.labels:
                utterance = _labelled(utterance, recording, recording.labels(), tiers)
            utterances.append(utterance)
        except (ValueError, OSError) as error:
            if strict:
                raise
            # The table names each file once, without the folder that all are in.
            reason = str(error).replace(f"{folder / 'x'}"[:-1], "")
            skipped[recording.name] = reason.removeprefix(f"{recording.name}: ")
    read = Recordings(utterances, skipped)
    if not read:
        raise CorpusError(f"{folder}: nothing could be read\n{read.table}")
    if skipped:
        print(read.table)
    return read


def _sound_of(recording: Recording, load: Callable) -> ndarray:
    if recording.problem:
        raise CorpusError(f"{recording.name}: {recording.problem}")
    wave = load(recording.sound)
    if recording.span_s is None:
        return wave
    start, stop = (round(seconds * RATE_HZ) for seconds in recording.span_s)
    if not 0 <= start < stop <= len(wave) + RATE_HZ // 20:  # segments may outlast it by rounding
        raise CorpusError(
            f"{recording.name}: segment {recording.span_s} s is not within {recording.sound.name}, "
            f"0-{len(wave) / RATE_HZ:.3f} s"
        )
    piece = wave[start:stop].copy()  # a view would keep the whole recording in memory
    check_wave(piece, name=recording.name)
    return piece


def _labelled(
    utterance: Utterance, recording: Recording, labels: Tiers, tiers: Mapping[str, str] | None
) -> Utterance:
    try:
        return with_tiers(utterance, labels, tiers)
    except AnnotationError as error:  # it names the tier; the file is known here
        raise AnnotationError(f"{recording.name}: {error}") from None


def from_dataset(
    rows: Iterable[Mapping],
    *,
    audio: str = "audio",
    text: str = "text",
    speaker: str = "speaker",
    channel: int | None = None,
) -> list[Utterance]:
    """The rows of a Hub dataset, loaded with `Audio(decode=False)`, as utterances.

    `audio`, `text` and `speaker` name its columns; a speaker column may be absent. `channel`:
    the one that is taken of stereo sound, from 0; otherwise their average.
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
                audio=load_audio(sound.get("bytes") or sound["path"], channel=channel),
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
    channel: int | None = None,
    **columns: str,
) -> list[Utterance]:
    """The first `count` rows of a dataset on the Hub as utterances; nothing more is downloaded.

    `columns` and `channel` are those of `from_dataset`. Raises `CorpusError`, in one
    sentence, where the Hub is out of reach, has no such data, or needs longer than `within_s`.
    """
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # progress bars
            find_dataset(name)
            rows = in_time(lambda: _first_rows(name, config, split, count), limit_s=within_s)
    except Exception as error:
        reason = str(error).strip().split("\n")[0].split(" (")[0].rstrip(".")
        raise CorpusError(f"{name} was not loaded from the Hub: {reason}") from error
    return from_dataset(rows, channel=channel, **columns)


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
