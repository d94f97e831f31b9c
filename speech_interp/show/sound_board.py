"""`sound_board`: tables of buttons that each play a sound, such as a chart of phones.

It is a player whose cells stand in tables instead of on a time line: one MP3 holds all sounds one
after the other, `player.js` plays the span of a cell and moves with the arrow keys.
"""

import base64
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from speech_interp.show.player_parts import (
    LONGEST_S,
    Player,
    assets,
    encode_mp3,
    safe_text,
    wave_row,
)

GAP_S = 0.06  # silence between two sounds: an MP3 frame smears a sound by less than that


@dataclass(frozen=True)
class Sample:
    """A sound on a button: what is shown on it, in small print under it, and read out."""

    shown: str
    wave: Float[np.ndarray, " sample"]
    small: str = ""
    said: str = ""


@dataclass(frozen=True)
class Table:
    """Samples in rows and columns; None leaves a place empty.

    `slant_px`: by how much each row begins further right than the one above, while the last column
    stays upright, as in the quadrilateral of vowels.
    """

    name: str
    rows: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Sequence[Sample | None]]
    slant_px: float = 0


def sound_board(tables: Sequence[Table], *, title: str, rate_hz: int = 16_000) -> Player:
    """A player with a button for every sample of `tables`.

    Raises ValueError for a table whose cells do not fit its names, a wave that is not mono, finite
    floats, no sample at all, or more sound than one player holds.
    """
    samples = [s for t in tables for row in _checked(t).cells for s in row if s is not None]
    if not samples:
        raise ValueError("tables: no sample in any of them")
    sound, spans = joined(samples, rate_hz)
    cells = iter(spans)
    grids = "".join(_table(table, cells) for table in tables)
    return sound_page(sound, rate_hz, title, grids, count=len(samples))


def joined(
    samples: Sequence[Sample], rate_hz: int
) -> tuple[Float[np.ndarray, " sample"], list[tuple[float, float]]]:
    """Return one sound with a pause before each sample and at the end, and where each lies (s).

    Raises ValueError for a wave that is not mono, finite floats, or more sound than a player holds.
    """
    gap = np.zeros(round(GAP_S * rate_hz), np.float32)
    sound = np.concatenate([x for s in samples for x in (gap, _checked_wave(s))] + [gap])
    if len(sound) > LONGEST_S * rate_hz:
        raise ValueError(f"a player holds at most {LONGEST_S} s; got {len(sound) / rate_hz:.0f} s")
    lengths = itertools.chain.from_iterable((len(gap), len(s.wave)) for s in samples)
    starts = np.cumsum(list(lengths)).reshape(-1, 2)[:, 0] / rate_hz
    return sound, [(t, t + len(s.wave) / rate_hz) for t, s in zip(starts, samples, strict=True)]


def _checked(table: Table) -> Table:
    widths = {len(row) for row in table.cells}
    if len(table.cells) != len(table.rows) or not widths <= {len(table.columns)}:
        raise ValueError(
            f"{table.name}: expected {len(table.rows)} rows of {len(table.columns)} cells; "
            f"got {len(table.cells)} rows of {sorted(widths)}"
        )
    return table


def _checked_wave(sample: Sample) -> Float[np.ndarray, " sample"]:
    wave = np.asarray(sample.wave)
    floats = np.issubdtype(wave.dtype, np.floating)
    if wave.ndim != 1 or wave.size == 0 or not floats or not np.isfinite(wave).all():
        raise ValueError(
            f"{sample.shown}: expected finite floats of shape (sample,), at least one; "
            f"got {wave.dtype} of shape {wave.shape}"
        )
    return wave.astype(np.float32)


def _table(table: Table, spans) -> str:
    names = "".join(
        f'<th role="columnheader" scope="col">{safe_text(c)}</th>' for c in table.columns
    )
    rows = [f'<tr role="row"><td role="gridcell"></td>{names}</tr>']
    last = max(len(table.columns) - 1, 1)
    for down, (name, cells) in enumerate(zip(table.rows, table.cells, strict=True)):
        drawn = "".join(
            _cell(cell, k, spans, table.slant_px * down * (1 - k / last))
            for k, cell in enumerate(cells)
        )
        head = f'<th role="rowheader" scope="row">{safe_text(name)}</th>'
        rows.append(f'<tr role="row">{head}{drawn}</tr>')
    slanted = " si-slanted" if table.slant_px else ""
    return (
        f'<table role="grid" class="si-board{slanted}" aria-label="{safe_text(table.name)}">'
        f"<caption>{safe_text(table.name)}</caption><tbody>{''.join(rows)}</tbody></table>"
    )


def _cell(sample: Sample | None, column: int, spans, right_px: float) -> str:
    if sample is None:
        return '<td role="gridcell"></td>'
    start_s, end_s = next(spans)
    said = sample.said or f"{sample.shown} {sample.small}".strip()
    moved = f' style="transform:translateX({right_px:.0f}px)"' if right_px else ""
    small = f"<small>{safe_text(sample.small)}</small>" if sample.small else ""
    return (
        f'<td role="gridcell" class="si-key" aria-colindex="{column + 2}"{moved} '
        f'data-t="{start_s:.4f} {end_s:.4f}" aria-label="{safe_text(said)}">'
        f"<span>{safe_text(sample.shown)}</span>{small}</td>"
    )


def sound_page(
    sound: Float[np.ndarray, " sample"],
    rate_hz: int,
    title: str,
    grids: str,
    *,
    count: int,
    style: str = "",
) -> Player:
    """Return the player of HTML grids whose cells name spans of the sound; `style`: more CSS."""
    script, common, version = assets()
    duration_s, label = len(sound) / rate_hz, safe_text(title)
    encoded = base64.b64encode(encode_mp3(sound, rate_hz)).decode()
    html = (
        f'<div class="si-player si-boards tex2jax_ignore mathjax_ignore" data-version="{version}" '
        f'data-duration="{duration_s:.5f}" data-rate="{rate_hz}" role="group" '
        f'aria-label="player: {label}" data-lm-suppress-shortcuts="true">'
        f"<style>{common}{_board_style()}{style}</style>"
        '<div class="si-bar"><button type="button" class="si-play" hidden>▶ Play</button>'
        f'<span class="si-title">{label}</span>'
        '<button type="button" class="si-out" aria-label="show more time" hidden>−</button>'
        '<button type="button" class="si-in" aria-label="show finer" hidden>+</button></div>'
        f'<div class="si-scroll"><div class="si-time">{wave_row(sound, rate_hz)}{grids}'
        '<div class="si-over"><div class="si-pick" hidden></div>'
        '<div class="si-cursor" hidden></div></div></div></div><div class="si-status"></div>'
        f'<audio controls preload="none" src="data:audio/mpeg;base64,{encoded}"></audio>'
        f"<script>{script}</script></div>"
    )
    return Player(html, f"Player({title!r}, {count} sounds, {duration_s:.1f} s)")


@cache
def _board_style() -> str:
    return Path(__file__).with_name("board.css").read_text(encoding="utf-8").replace("\n", "")
