"""What a folder of recordings holds: sounds with labels beside them, LibriSpeech's layout, Kaldi's.

Nothing but lists and first lines is read here; `recordings.from_folder` reads the rest.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from speech_interp.speech.annotation_files import read_tiers
from speech_interp.speech.corpus import CorpusError
from speech_interp.speech.textgrid import AnnotationError, Tiers, decoded

SOUNDS = (
    ".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".mp4", ".aac", ".aif", ".aiff",
    ".au", ".sph", ".nist", ".w64", ".caf", ".webm", ".3gp",
)  # fmt: skip
_GRIDS = (".textgrid", ".eaf")
_TEXTS = (".txt", ".lab")


@dataclass(frozen=True)
class Recording:
    """One recording that is to be read; `problem` says why it cannot be."""

    id: str
    name: str  # of the file, or the line, that speaks of it
    sound: Path
    text: str = ""
    speaker: str = ""
    labels: Callable[[], Tiers] | None = None
    span_s: tuple[float, float] | None = None  # of the sound, where not all of it
    problem: str = ""

    @property
    def stem(self) -> str:
        """What its labels are called; those of the whole sound are not those of a part of it."""
        return self.id if self.span_s else self.sound.stem


def recordings_in(
    folder: Path,
    annotations: str | Path | Mapping[str, Tiers] | None = None,
    *,
    encoding: str | None = None,
    labelled: bool = False,
) -> Iterator[Recording]:
    """Every recording of a folder, whichever its layout, with where its labels and text are.

    `annotations`: see `recordings.from_folder`. `labelled`: recordings without labels have a
    problem; so they have where others have labels. Raises `CorpusError` for a folder that is none.
    """
    files = _files(folder, "folder")
    transcripts = [path for path in files if path.name.endswith(".trans.txt")]
    needed: bool | None = labelled or annotations is not None
    if folder / "wav.scp" in files:
        found = _kaldi(folder)
    elif transcripts:
        found = _librispeech(folder, transcripts)
    else:
        found = _sounds(folder, files)
        needed = needed or None  # where others have labels, one without was forgotten
    if isinstance(annotations, Mapping):
        return _with_given(found, annotations)
    if annotations is None:
        return _with_files(found, folder, files, encoding, needed)
    where = Path(annotations)
    return _with_files(found, where, _files(where, "annotations"), encoding, needed)


def _files(folder: Path, argument: str) -> list[Path]:
    if not folder.is_dir():
        many = "; a file about many recordings: pass what read_ctm or read_table gives"
        raise CorpusError(f"{argument}: {folder} is no folder{many * folder.is_file()}")
    found = (path for path in folder.rglob("*") if not path.name.startswith("."))
    return sorted(path for path in found if path.is_file())


def _sounds(folder: Path, files: Iterable[Path]) -> Iterator[Recording]:
    known: dict[str, Path] = {}
    for path in files:
        if path.suffix.lower() in SOUNDS:
            inside = path.relative_to(folder)
            key, name = inside.with_suffix("").as_posix(), inside.as_posix()
            first = known.setdefault(key, path)
            problem = "" if first == path else f"{first.name} has the same name and was taken"
            yield Recording(key, name, path, problem=problem)


def _with_given(recordings: Iterable[Recording], given: Mapping[str, Tiers]) -> Iterator[Recording]:
    for recording in recordings:
        tiers = given.get(recording.id) or given.get(recording.stem)
        if tiers is not None:
            yield replace(recording, labels=partial(dict, tiers))
        else:
            problem = f"no labels for it in annotations, which has {list(given)[:3]} ..."
            yield replace(recording, problem=recording.problem or problem)


def _with_files(
    recordings: Iterable[Recording],
    where: Path,
    files: Iterable[Path],
    encoding: str | None,
    needed: bool | None,
) -> Iterator[Recording]:
    """The recordings with labels and text from the files of `where` that have their names."""
    by_name: dict[str, dict[str, Path]] = {}
    for path in files:
        if path.suffix.lower() in (*_GRIDS, *_TEXTS):
            key = path.relative_to(where).with_suffix("").as_posix()
            by_name.setdefault(key, {})[path.suffix.lower()] = path
    alone: dict[str, list[str]] = {}  # the names of files without their folders
    for key in by_name:
        alone.setdefault(Path(key).name, []).append(key)
    found = []
    for recording in recordings:
        keys = [recording.id] if recording.id in by_name else alone.get(recording.stem, [])
        beside = by_name[keys[0]] if len(keys) == 1 else {}
        found.append((_described(recording, beside, encoding), keys))
    if needed is None:
        needed = any(recording.labels for recording, _ in found)
    used = {key for _, keys in found for key in keys}
    for recording, keys in found:
        problem = recording.problem
        if len(keys) > 1:
            problem = problem or f"several files of labels have its name: {sorted(keys)}"
        if needed and not recording.labels:
            problem = problem or "no TextGrid, .eaf or Audacity labels of its name"
        yield replace(recording, problem=problem)
    for key, beside in by_name.items():
        if key not in used and (grids := [path for end, path in beside.items() if end in _GRIDS]):
            name = grids[0].relative_to(where).as_posix()
            yield Recording(key, name, grids[0], problem="no sound of its name")


def _described(recording: Recording, beside: Mapping[str, Path], encoding: str | None) -> Recording:
    """The recording with its labels, from the first of the kinds there are, and its text."""
    grids = [beside[ending] for ending in _GRIDS if ending in beside]
    for path in (beside[ending] for ending in _TEXTS if ending in beside):
        try:
            written = decoded(path, encoding)
        except AnnotationError as error:
            return replace(recording, problem=str(error))
        if path.suffix.lower() == ".txt" and _are_labels(written):
            grids.append(path)
        elif not recording.text:
            recording = replace(recording, text=" ".join(written.split()))
    if not grids:
        return recording
    return replace(recording, labels=lambda: read_tiers(grids[0], encoding=encoding))


def _are_labels(text: str) -> bool:
    """True if the first line is one of Audacity's: two numbers with a tab between them."""
    try:
        start, end = text.lstrip("\n").split("\n", 1)[0].split("\t")[:2]
        return float(start.replace(",", ".")) <= float(end.replace(",", "."))
    except ValueError:
        return False


def _librispeech(folder: Path, transcripts: Iterable[Path]) -> Iterator[Recording]:
    """Lines of "84-121123-0000 TEXT" beside 84-121123-0000.flac; the speaker comes first."""
    for transcript in transcripts:
        sounds = {p.stem: p for p in transcript.parent.iterdir() if p.suffix.lower() in SOUNDS}
        for number, key, text in _lines(transcript):
            at = f"{transcript.relative_to(folder).as_posix()}, line {number}"
            problem = "" if key in sounds else f"{at}: no sound file {key} beside it"
            sound = sounds.get(key, transcript)
            yield Recording(key, key, sound, text, key.split("-")[0], problem=problem)


def _kaldi(folder: Path) -> Iterator[Recording]:
    """The utterances of `segments`, or else of `wav.scp`, with what `text` and `utt2spk` say."""
    sounds = {key: (number, where) for number, key, where in _lines(folder / "wav.scp")}
    texts = {key: text for _, key, text in _lines(folder / "text")}
    speakers = {key: name for _, key, name in _lines(folder / "utt2spk")}
    segments = list(_lines(folder / "segments"))
    if not segments:
        segments = [(number, key, key) for key, (number, _) in sounds.items()]
    cut = (folder / "segments").is_file()
    for number, key, rest in segments:
        at = f"{'segments' if cut else 'wav.scp'}, line {number}"
        recording, *times = rest.split() or [""]
        span, problem = None, ""
        if cut:
            try:
                start, end = map(float, times)
                span = start, end
            except ValueError:
                problem = f"{at}: got {key} {rest}, expected utterance, recording, start, end"
        line, where = sounds.get(recording, (0, ""))
        if not problem and recording not in sounds:
            problem = f"{at}: wav.scp has no recording {recording!r}"
        if not problem and where.endswith("|"):
            problem = f"wav.scp, line {line}: a command, which is not run; expected a sound file"
        sound = folder / where if (folder / where).is_file() else Path(where)
        yield Recording(
            key, key, sound, texts.get(key, ""), speakers.get(key, ""), None, span, problem
        )


def _lines(path: Path) -> Iterator[tuple[int, str, str]]:
    """Number, first word and rest of every line; none of a file that is not there."""
    if not path.is_file():
        return
    for number, line in enumerate(decoded(path).split("\n"), 1):
        key, _, rest = line.replace("\t", " ").strip().partition(" ")
        if key:
            yield number, key, rest.strip()
