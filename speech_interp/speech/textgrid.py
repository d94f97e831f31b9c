"""Praat's TextGrid, read in every form that Praat writes, and written.

Three libraries were compared on 16 files (long and short form, eight encodings): textgrid reads no
short form of these, pympi-ling no UTF-16 without being told, praatio all but UTF-16 without a
byte-order mark. Praat's own rule, that only free-standing numbers, strings and flags count and all
else is comment, reads both forms with one pattern; so this module stands alone.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from speech_interp.speech.corpus import CorpusError, Interval

#: The tiers of one recording by name, in order. A point is an interval that ends as it starts.
Tiers = dict[str, tuple[Interval, ...]]

_TOKEN = re.compile(
    r"""(?<!\S)(?:"(?P<string>(?:[^"]|"")*)"|(?P<flag><\w+>)"""
    r"""|(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?))(?!\S)|![^\n]*"""
)
_KINDS = {"IntervalTier": 2, "TextTier": 1}  # numbers before each label
_SLACK_S = 1e-4  # times written with four digits may overlap, or outlast the sound, by rounding


class AnnotationError(CorpusError):
    """Labels that cannot be read or used; the message names file, and line or tier."""


def decoded(path: str | Path, encoding: str | None = None) -> str:
    """The text of a file in UTF-8 or UTF-16, with or without byte-order mark, or in `encoding`.

    Raises `AnnotationError` where the bytes are neither: such a file is older than Unicode, and
    nothing in it says which of many encodings it is in.
    """
    raw = Path(path).read_bytes()
    if encoding is None:
        # The first character of every format here is plain ASCII: in UTF-16 one of its bytes is 0.
        marks = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
        halves = {(False, True): "utf-16-le", (True, False): "utf-16-be"}
        zeros = (raw[:1] == b"\0", raw[1:2] == b"\0")
        encoding = marks.get(raw[:2]) or halves.get(zeros) or "utf-8-sig"
    try:
        return raw.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise AnnotationError(
            f"{path}: byte {error.start} is not {error.encoding}; expected UTF-8 or UTF-16, or say "
            "which it is, such as encoding='latin-1'"
        ) from None


def read_textgrid(path: str | Path, *, encoding: str | None = None) -> Tiers:
    """The tiers of a TextGrid, long or short form; intervals without label are kept.

    Times in seconds. A second tier of one name is called "name (2)". Raises `AnnotationError` with
    file and line for anything else than a whole TextGrid.
    """
    if Path(path).read_bytes()[:12] == b"ooBinaryFile":
        raise AnnotationError(f"{path}: a binary TextGrid; in Praat: Save as text file")
    tokens = _Tokens(path, decoded(path, encoding))
    if tokens.take("string")[:10] != "ooTextFile" or tokens.take("string") != "TextGrid":
        raise tokens.wrong('"ooTextFile" and "TextGrid", the header of a TextGrid')
    tokens.take("number"), tokens.take("number")  # where the whole begins and ends
    if tokens.take("flag") != "<exists>":
        return {}
    tiers: Tiers = {}
    for _ in range(tokens.count()):
        kind = tokens.take("string")
        if kind not in _KINDS:
            raise tokens.wrong('"IntervalTier" or "TextTier"')
        name = unused(tokens.take("string"), tiers)
        tokens.take("number"), tokens.take("number")  # where the tier begins and ends
        tiers[name] = tuple(tokens.interval(_KINDS[kind]) for _ in range(tokens.count()))
    return tiers


def unused(name: str, tiers: Mapping) -> str:
    """The name, or "name (2)" and so on where `tiers` has it already."""
    names = [name, *(f"{name} ({k})" for k in range(2, len(tiers) + 2))]
    return next(n for n in names if n not in tiers)


class _Tokens:
    """The values of a text file of Praat, one after the other."""

    def __init__(self, path: str | Path, text: str):
        self.path, self.text = path, text
        self.found = (match for match in _TOKEN.finditer(text) if match.lastgroup)
        self.last: re.Match | None = None

    def take(self, kind: str) -> str:
        self.last = next(self.found, None)
        if self.last is None or self.last.lastgroup != kind:
            raise self.wrong(f"a {kind}")
        return self.last[kind].replace('""', '"')

    def count(self) -> int:
        written = self.take("number")
        if not written.isdigit():
            raise self.wrong("how many")
        return int(written)

    def interval(self, numbers: int) -> Interval:
        times = [float(self.take("number")) for _ in range(numbers)]
        if times[-1] < times[0]:
            raise self.wrong(f"an end at {times[0]} s or later")
        return Interval(self.take("string"), times[0], times[-1])

    def wrong(self, expected: str) -> AnnotationError:
        if self.last is None:
            return AnnotationError(f"{self.path}: the file ends, expected {expected}")
        line = self.text.count("\n", 0, self.last.start()) + 1
        return AnnotationError(
            f"{self.path}, line {line}: got {self.last[0][:40]}, expected {expected}"
        )


def write_textgrid(
    path: str | Path, tiers: Mapping[str, Sequence[Interval]], *, end_s: float
) -> None:
    """Write tiers as a TextGrid of `end_s` seconds (long form, UTF-8) that Praat opens.

    Time between intervals becomes intervals without label, as in Praat; a tier of points only
    becomes a point tier. Raises `AnnotationError` where intervals overlap or leave the recording.
    """
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    lines += [
        "xmin = 0",
        f"xmax = {end_s!r}",
        "tiers? <exists>",
        f"size = {len(tiers)}",
        "item []:",
    ]
    for number, (name, intervals) in enumerate(tiers.items(), 1):
        points = bool(intervals) and all(i.start_s == i.end_s for i in intervals)
        kind, word = ("TextTier", "points") if points else ("IntervalTier", "intervals")
        whole = _in_order(name, intervals, end_s) if points else _filled(name, intervals, end_s)
        lines += [f"    item [{number}]:", f'        class = "{kind}"']
        lines += [
            f"        name = {_quoted(name)}",
            "        xmin = 0",
            f"        xmax = {end_s!r}",
        ]
        lines += [f"        {word}: size = {len(whole)}"]
        for k, i in enumerate(whole, 1):
            lines += [f"        {word} [{k}]:"]
            if points:
                lines += [f"            number = {float(i.start_s)!r}"]
                lines += [f"            mark = {_quoted(i.label)}"]
            else:
                lines += [f"            xmin = {float(i.start_s)!r}"]
                lines += [f"            xmax = {float(i.end_s)!r}"]
                lines += [f"            text = {_quoted(i.label)}"]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _quoted(label: str) -> str:
    return '"' + label.replace('"', '""') + '"'


def _in_order(name: str, intervals: Sequence[Interval], end_s: float) -> list[Interval]:
    ordered = sorted(intervals, key=lambda i: (i.start_s, i.end_s))
    for i in ordered:
        if not 0 <= i.start_s <= i.end_s <= end_s + _SLACK_S:
            raise AnnotationError(
                f"tier {name!r}: {i.label!r} lies at {i.start_s:.3f}-{i.end_s:.3f} s, expected "
                f"within 0-{end_s:.3f} s"
            )
    return ordered


def _filled(name: str, intervals: Sequence[Interval], end_s: float) -> list[Interval]:
    """The intervals with the gaps between them filled, so that they cover the recording."""
    ordered = _in_order(name, intervals, end_s)
    for before, after in pairwise(ordered):
        if after.start_s < before.end_s - _SLACK_S:
            raise AnnotationError(
                f"tier {name!r}: {after.label!r} begins at {after.start_s:.3f} s, before "
                f"{before.label!r} ends at {before.end_s:.3f} s"
            )
    whole, reached = [], 0.0
    for i in ordered:
        if i.start_s > reached + _SLACK_S:
            whole.append(Interval("", reached, i.start_s))
            reached = i.start_s
        # What rounding left apart is joined: Praat wants each interval to begin where one ended.
        whole.append(Interval(i.label, reached, min(i.end_s, end_s)))
        reached = whole[-1].end_s
    if end_s > reached + _SLACK_S or not whole:
        whole.append(Interval("", reached, end_s))
    elif reached != end_s:
        whole[-1] = Interval(whole[-1].label, whole[-1].start_s, end_s)
    return whole
