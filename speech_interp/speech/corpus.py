"""The tutorial corpus: synthetic utterances whose words and phones are known to the millisecond.

`load_corpus()` needs no network and writes nothing. What is in it, how it was made and what it is
not good for stands in `data/corpus/README.md`. Your own recordings become `Utterance` objects
through `recordings`.
"""

import io
import itertools
import json
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile as sf
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from speech_interp.speech.audio import RATE_HZ, as_array, check_scale

SUBSETS = (
    "sentences",
    "stress_pairs",
    "homophones",
    "continua",
    "tones",
    "articulation",
    "keywords",
)
SILENCE = "SIL"
_IPA = {
    "AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "aʊ", "AX": "ə", "AY": "aɪ", "EH": "ɛ",
    "ER": "ɝ", "EY": "eɪ", "IH": "ɪ", "IY": "i", "OW": "oʊ", "OY": "ɔɪ", "UH": "ʊ", "UW": "u",
    "B": "b", "CH": "tʃ", "D": "d", "DH": "ð", "F": "f", "G": "ɡ", "HH": "h", "JH": "dʒ",
    "K": "k", "L": "l", "M": "m", "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ",
    "T": "t", "TH": "θ", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ", SILENCE: "∅",
}  # fmt: skip
#: The phones of the corpus: ARPABET without stress digits; "AX" is the schwa of "about".
PHONES = tuple(label for label in _IPA if label != SILENCE)


class CorpusError(ValueError):
    """An unknown subset, a missing file, or a folder that is not the data set it should be."""


@dataclass(frozen=True)
class Interval:
    """A label that holds from `start_s` to `end_s`."""

    label: str
    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        """End less start, in seconds."""
        return self.end_s - self.start_s


@dataclass(frozen=True, eq=False)
class Track:
    """A quantity over time, such as F0 or the height of the tongue tip; value k is at k / rate."""

    values: Float[ndarray, " time"]
    rate_hz: float
    unit: str


@dataclass(frozen=True, eq=False)
class Utterance:
    """One utterance and the truth about it. Times in seconds; `wave` is decoded when asked for.

    Phones are ARPABET without stress digits, pauses "SIL". The label of a syllable is its stress,
    "0", "1" or "2". `split` is "train", "test" or "". `info` holds what is particular to a subset.
    """

    id: str
    text: str
    speaker: str = ""
    sex: str = ""
    synthesiser: str = ""
    subset: str = ""
    split: str = ""
    words: tuple[Interval, ...] = ()
    phones: tuple[Interval, ...] = ()
    syllables: tuple[Interval, ...] = ()
    tracks: dict[str, Track] = field(default_factory=dict)
    info: dict = field(default_factory=dict)
    audio: bytes | ndarray | Tensor = field(default=b"", repr=False)

    rate_hz = RATE_HZ

    def __post_init__(self):
        if not isinstance(self.audio, bytes | np.ndarray):
            object.__setattr__(self, "audio", as_array(self.audio))
        if isinstance(self.audio, np.ndarray) and self.audio.size:
            check_scale(self.audio, name=self.id)

    @property
    def wave(self) -> Float[ndarray, " sample"]:
        """The sound: mono float32 at 16 kHz."""
        if not isinstance(self.audio, bytes):
            return as_array(self.audio)
        wave, rate_hz = sf.read(io.BytesIO(self.audio), dtype="float32")
        if rate_hz != RATE_HZ:
            raise CorpusError(f"{self.id}: stored at {rate_hz} Hz, expected {RATE_HZ}")
        return wave

    @property
    def duration_s(self) -> float:
        """The length of the sound in seconds, read from its header without decoding."""
        if not isinstance(self.audio, bytes):
            return len(self.audio) / RATE_HZ
        return sf.info(io.BytesIO(self.audio)).duration


def after_silence(utterance: Utterance, seconds: float) -> Utterance:
    """Return the utterance with silence before it: it moves on the clock of a model that has one.

    All intervals move with the sound; tracks are left out.
    """

    def moved(intervals: tuple[Interval, ...]) -> tuple[Interval, ...]:
        return tuple(Interval(i.label, i.start_s + seconds, i.end_s + seconds) for i in intervals)

    silence = np.zeros(round(seconds * RATE_HZ), np.float32)
    return replace(
        utterance,
        audio=np.concatenate([silence, utterance.wave]),
        words=moved(utterance.words),
        phones=moved(utterance.phones),
        syllables=moved(utterance.syllables),
        tracks={},
    )


def ipa(label: str) -> str:
    """The IPA symbol of an ARPABET label ("SH" is "ʃ"), with or without stress digit."""
    try:
        return _IPA[label.rstrip("012").upper()]
    except KeyError:
        raise CorpusError(f"{label!r} is not an ARPABET label; expected one of {PHONES}") from None


def phone_symbol(label: str) -> str:
    """What a reader sees for a phone: IPA for our own labels, any other label as it stands."""
    return _IPA.get(label, label)


def load_corpus(subset: str = "sentences") -> list[Utterance]:
    """The utterances of one subset, in a fixed order. Raises `CorpusError`.

    "articulation" has tracks of tongue, jaw, lips, velum and F0; "tones" of F0. What `info` holds
    in each subset stands in the card.
    """
    if subset not in SUBSETS:
        raise CorpusError(f"subset is {subset!r}, expected one of {SUBSETS}")
    folder = files("speech_interp") / "data" / "corpus"
    paths = sorted(Path(str(folder)).glob(f"{subset}-*.parquet"))
    if not paths:
        raise CorpusError(f"no {subset}-*.parquet in {folder}: was the package installed whole?")
    return [utterance for path in paths for utterance in _read(path, subset)]


def _read(path: Path, subset: str) -> list[Utterance]:
    try:
        table = pq.read_table(path, use_threads=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise CorpusError(f"{path} is damaged or not Parquet: {error}") from error
    plain = {
        name: table.column(name).to_pylist()
        for name in ("id", "text", "speaker", "sex", "synthesiser", "split", "info", "tracks")
    }
    audio = pa.compute.struct_field(table.column("audio"), "bytes").to_pylist()
    intervals = [_intervals(table.column(name)) for name in ("words", "phones", "syllables")]
    utterances = []
    for i in range(len(table)):
        row = {name: values[i] for name, values in plain.items()}
        row["info"] = json.loads(row["info"])
        row["tracks"] = {
            t["name"]: Track(np.array(t["values"], np.float32), t["rate_hz"], t["unit"])
            for t in row["tracks"]
        }
        words, phones, syllables = (column[i] for column in intervals)
        utterances.append(
            Utterance(
                **row, subset=subset, words=words, phones=phones, syllables=syllables,
                audio=audio[i],
            )
        )  # fmt: skip
    return utterances


def _intervals(column: pa.ChunkedArray) -> list[tuple[Interval, ...]]:
    """One tuple of intervals a row; flat columns first, because nested ones convert slowly."""
    lists = column.combine_chunks()
    flat = lists.flatten()
    fields = [flat.field(name).to_pylist() for name in ("label", "start_s", "end_s")]
    every = list(map(Interval, *fields))
    offsets = np.cumsum([0, *lists.value_lengths().to_pylist()])
    return [tuple(every[a:b]) for a, b in itertools.pairwise(offsets)]
