"""Readers of labels over time: ELAN, CTM, Audacity, tables; `read_tiers` takes any one of a file.

Each is a few lines over the standard library, csv or Arrow: pympi-ling gives None for the ELAN time
slots that have no time of their own, and no kept library reads the others.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.etree import ElementTree

import pyarrow.parquet as pq

from speech_interp.speech.corpus import Interval
from speech_interp.speech.textgrid import AnnotationError, Tiers, decoded, read_textgrid

ENDINGS = (".textgrid", ".eaf", ".txt")  # what `read_tiers` reads


def read_tiers(path: str | Path, *, encoding: str | None = None) -> Tiers:
    """The tiers of a TextGrid, an ELAN `.eaf` or Audacity's labels (`.txt`). Times in seconds.

    Raises `AnnotationError` for other files; those that hold many recordings have their own
    readers: `read_ctm`, `read_table`.
    """
    ending = Path(path).suffix.lower()
    if ending == ".textgrid":
        return read_textgrid(path, encoding=encoding)
    if ending == ".eaf":
        return read_elan(path)
    if ending == ".txt":
        return {"labels": read_audacity(path, encoding=encoding)}
    raise AnnotationError(f"{path}: expected a file that ends in one of {ENDINGS}")


def read_elan(path: str | Path) -> Tiers:
    """The tiers of an ELAN file. Times in seconds.

    Annotations that refer to another one share its time evenly, in their order, and time slots
    without a time lie evenly between their neighbours: both as ELAN draws them.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise AnnotationError(f"{path}: not the XML that ELAN writes ({error})") from None
    if root.tag != "ANNOTATION_DOCUMENT":
        raise AnnotationError(f"{path}: got <{root.tag}>, expected <ANNOTATION_DOCUMENT>")
    slots = _slot_times(path, root)
    elements = {tier.get("TIER_ID", ""): list(tier) for tier in root.iter("TIER")}
    times: dict[str, tuple[float, float]] = {}  # of each annotation
    children: dict[tuple[str, str], list] = {}  # those of one tier that refer to one annotation
    for name, annotations in elements.items():
        for annotation in (child for a in annotations for child in a):
            key = annotation.get("ANNOTATION_ID", "")
            if annotation.tag == "ALIGNABLE_ANNOTATION":
                ends = [annotation.get(f"TIME_SLOT_REF{k}", "") for k in (1, 2)]
                if not set(ends) <= slots.keys():
                    raise AnnotationError(f"{path}, tier {name!r}: {key} names no time slot")
                times[key] = slots[ends[0]], slots[ends[1]]
            else:
                children.setdefault((name, annotation.get("ANNOTATION_REF", "")), []).append(key)
    waiting = dict(children)
    while ready := [family for family in waiting if family[1] in times]:  # parents come first
        for family in ready:
            start, end = times[family[1]]
            keys = waiting.pop(family)
            step = (end - start) / len(keys)
            for k, key in enumerate(keys):
                times[key] = start + k * step, start + (k + 1) * step
    if waiting:
        name, parent = next(iter(waiting))
        raise AnnotationError(f"{path}, tier {name!r}: refers to {parent!r}, which has no time")
    return {
        name: tuple(
            sorted(
                (
                    Interval(
                        a.findtext("ANNOTATION_VALUE") or "", *times[a.get("ANNOTATION_ID", "")]
                    )
                    for annotation in annotations
                    for a in annotation
                ),
                key=lambda i: i.start_s,
            )
        )
        for name, annotations in elements.items()
    }


def _slot_times(path: str | Path, root: ElementTree.Element) -> dict[str, float]:
    """The time of each slot in seconds; those without one lie evenly between their neighbours."""
    slots = [(s.get("TIME_SLOT_ID", ""), s.get("TIME_VALUE")) for s in root.iter("TIME_SLOT")]
    known_ms = {k: int(value) for k, (_, value) in enumerate(slots) if value is not None}
    times = {}
    for k, (slot, _) in enumerate(slots):
        before = max((i for i in known_ms if i <= k), default=None)
        after = min((i for i in known_ms if i >= k), default=None)
        if before is None or after is None:
            raise AnnotationError(f"{path}: time slot {slot} has no time, nor has one beside it")
        first, last = (known_ms[i] / 1000 for i in (before, after))
        share = (k - before) / (after - before) if after > before else 0.0
        times[slot] = first + share * (last - first)
    return times


def read_ctm(path: str | Path, *, tier: str = "words") -> dict[str, Tiers]:
    """The tiers of each recording in a CTM file: recording, channel, start, duration, label.

    Raises `AnnotationError` with the line. Comments (";;") are passed over, confidences too.
    """
    rows = []
    for number, line in enumerate(decoded(path).splitlines(), 1):
        fields = line.split()
        if not fields or line.startswith((";;", "#")):
            continue
        try:
            start, duration = float(fields[2]), float(fields[3])
            rows.append((fields[0], tier, fields[4], start, start + duration))
        except (IndexError, ValueError):
            raise AnnotationError(
                f"{path}, line {number}: got {line[:60]!r}, expected recording, channel, start, "
                "duration, label"
            ) from None
    return _by_recording(rows)


def read_audacity(path: str | Path, *, encoding: str | None = None) -> tuple[Interval, ...]:
    """The labels of an Audacity label track: start, end and label with tabs between them."""
    intervals = []
    for number, line in enumerate(decoded(path, encoding).splitlines(), 1):
        if not line.strip() or line.startswith("\\"):  # the band of frequencies of the label above
            continue
        fields = line.split("\t", 2)
        try:
            # Some versions write numbers as the language of the system does.
            start, end = (float(field.replace(",", ".")) for field in fields[:2])
        except ValueError:
            raise AnnotationError(
                f"{path}, line {number}: got {line[:60]!r}, expected start, end and label with "
                "tabs between them"
            ) from None
        intervals.append(Interval(fields[2].strip() if len(fields) > 2 else "", start, end))
    return tuple(intervals)


def read_table(
    table,
    *,
    file: str = "file",
    start: str = "start",
    end: str = "end",
    label: str = "label",
    tier: str | None = None,
    default_tier: str = "words",
) -> dict[str, Tiers]:
    """The tiers of each recording in a table: a CSV, TSV or Parquet file, a pandas DataFrame.

    The options name its columns, times in seconds; without a column `tier` all rows are of
    `default_tier`. Recordings are called by their file name without folder and ending. Raises
    `AnnotationError` with the row.
    """
    where, rows = _rows(table)
    wanted = [file, start, end, label, *([tier] if tier else [])]
    found = []
    for number, row in enumerate(rows, 1):
        if missing := [name for name in wanted if name not in row]:
            raise AnnotationError(f"{where}: no column {missing[0]!r}, only {list(row)}")
        try:
            times = float(row[start]), float(row[end])
        except (TypeError, ValueError):
            times = float("nan"), float("nan")
        if not times[0] <= times[1]:  # nor where one is NaN
            raise AnnotationError(
                f"{where}, row {number}: got {row[start]!r} and {row[end]!r}, expected a start and "
                "an end in seconds"
            )
        written = row[label]
        said = "" if written is None or written != written else str(written)  # NaN: no label
        name = str(row[tier]) if tier else default_tier
        found.append((Path(str(row[file])).stem, name, said, *times))
    return _by_recording(found)


def _rows(table) -> tuple[str, Iterable[Mapping]]:
    """What to call the table, and its rows."""
    if hasattr(table, "to_dict"):  # a pandas DataFrame
        return "the table", table.to_dict("records")
    path = Path(table)
    if path.suffix.lower() == ".parquet":
        return str(path), pq.read_table(path).to_pylist()
    text = decoded(path)
    first = text.split("\n", 1)[0]
    comma = max("\t;,", key=first.count)
    return str(path), csv.DictReader(io.StringIO(text), delimiter=comma)


def _by_recording(rows: Iterable[tuple[str, str, str, float, float]]) -> dict[str, Tiers]:
    found: dict[str, dict[str, list[Interval]]] = {}
    for recording, tier, label, start, end in rows:
        found.setdefault(recording, {}).setdefault(tier, []).append(Interval(label, start, end))
    return {
        recording: {
            name: tuple(sorted(intervals, key=lambda i: (i.start_s, i.end_s)))
            for name, intervals in tiers.items()
        }
        for recording, tiers in found.items()
    }
