"""`listen`: hear an utterance, see its words, phones and scores on one time line.

The player is one piece of HTML without dependencies: the sound is MP3 inside it, the picture is
written here and works without JavaScript, `player.js` adds clicking, keys and the cursor.
"""

import base64
import math
import re
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.colors import Colormap, Normalize, to_hex

from speech_interp.show.player_parts import (
    LONGEST_S,
    Player,
    assets,
    clean_text,
    encode_mp3,
    ink,
    safe_text,
    wave_row,
)
from speech_interp.show.plotting import colour_scale
from speech_interp.speech.audio import check_scale
from speech_interp.speech.corpus import phone_symbol

TOUCH_PX = 24  # what a finger finds, by the guidelines for accessible pages (WCAG 2.2)
SHORTEST_S = 0.02  # below, the time line would not end


def listen(
    sound,
    scores=None,
    *,
    wave: Float[np.ndarray, "sample"] | None = None,
    rate_hz: int = 16_000,
    title: str | None = None,
    tiers: Sequence[str] = ("words", "phones"),
    columns: str | Sequence = "words",
    rows: Sequence | None = None,
    score_name: str = "score",
    diverging: bool | None = None,
    limits: tuple[float, float] | None = None,
    phone_name: Callable[[str], str] = phone_symbol,
) -> Player:
    """A player of an utterance or of a plain (sample,) wave, with scores as coloured cells.

    A click on a word, phone or cell plays its span. `wave` is played in place of the utterance's
    own (the same length: what was masked or kept, on the same time line); `rate_hz` is the rate
    of a plain wave. `scores` is (column,) or (row, column); `columns` names the tier that the
    columns are, or gives the intervals; `rows` holds names, or intervals, whose names then play.
    A score that is not finite is shown as missing. `phone_name` turns a phone's label into what
    is shown: IPA for our own labels; `str` shows all as they are. Raises ValueError where sizes do
    not fit.
    """
    samples, rate, utterance = _samples(sound, wave, rate_hz)
    duration = len(samples) / rate
    shown = {tier: tuple(getattr(utterance, tier)) for tier in tiers if utterance is not None}
    if title is None:
        title = getattr(utterance, "text", "") or "sound"
    parts, names = [wave_row(samples, rate)], list(shown)
    for tier, intervals in shown.items():
        if intervals:
            name = phone_name if tier == "phones" else str
            parts.append(_tier_row(tier, intervals, duration, name))
    legend, drawn = "", [item for intervals in shown.values() for item in intervals]
    if scores is not None:
        columns_ = _columns(utterance, columns)
        values, row_names = _score_table(scores, columns_, rows, score_name)
        colour_map, norm = colour_scale(values, diverging=diverging, limits=limits)
        for row_values, row in zip(values, row_names, strict=True):
            names.append(getattr(row, "label", row))
            parts.append(_score_row(row_values, row, columns_, duration, colour_map, norm))
        legend = _legend(values, score_name, colour_map, norm)
        drawn += columns_
    html = _page(samples, rate, title, parts, legend, _widths(names, shown, drawn, duration))
    kind = "" if scores is None else f", {score_name} {np.shape(scores)}"
    return Player(html, f"Player({clean_text(title)!r}, {duration:.2f} s{kind})")


def _samples(sound, wave, rate_hz):
    """The samples to play, their rate, and the utterance if `sound` is one."""
    if hasattr(sound, "wave"):
        utterance, rate, own = sound, int(sound.rate_hz), np.asarray(sound.wave)
        samples = own if wave is None else np.asarray(wave)
        if samples.shape != own.shape:
            raise ValueError(
                f"wave must be as long as the utterance, {own.shape}; got {samples.shape}"
            )
    elif wave is not None:
        raise ValueError("wave goes with an utterance; a plain wave is the first argument alone")
    else:
        utterance, rate, samples = None, int(rate_hz), np.asarray(sound)
    if samples.ndim != 1 or samples.size == 0 or not np.issubdtype(samples.dtype, np.floating):
        raise ValueError(
            f"the wave must be floats of shape (sample,), at least one; "
            f"got {samples.dtype} of shape {samples.shape}"
        )
    if not np.isfinite(samples).all():
        raise ValueError("the wave must be finite; got NaN or infinity")
    check_scale(samples)
    if samples.size > LONGEST_S * rate:
        raise ValueError(f"a player holds at most {LONGEST_S} s; got {samples.size / rate:.0f} s")
    return samples.astype(np.float32), rate, utterance


def _columns(utterance, columns):
    if not isinstance(columns, str):
        return tuple(columns)
    if utterance is None:
        raise ValueError(f"a plain wave has no {columns}: pass the intervals as columns")
    return getattr(utterance, columns)


def _score_table(scores, columns, rows, score_name):
    """Scores as (row, column) and one name, or interval, for each row."""
    values = np.asarray(scores, dtype=float)
    single = values.ndim == 1
    values = values[None] if single else values
    if values.ndim != 2 or values.shape[1] != len(columns):
        raise ValueError(
            f"scores must have shape ({len(columns)},) or (row, {len(columns)}), "
            f"one column for each interval; got {np.shape(scores)}"
        )
    if rows is None:
        rows = [score_name] if single else [str(row) for row in range(len(values))]
    if len(rows) != len(values):
        raise ValueError(f"scores have {len(values)} rows, so rows needs as many; got {len(rows)}")
    return values, rows


def _tier_row(tier, intervals, duration, name):
    kind = tier.removesuffix("s")
    cells = []
    for item in intervals:
        shown = name(item.label)
        small = "" if tier == "words" else " si-small si-one" if len(shown) == 1 else " si-small"
        cells.append(_cell(f"si-cell{small}", item, duration, f"{kind} {shown}", shown))
    head = f'<span class="si-name" role="rowheader">{safe_text(tier)}</span>'
    return f'<div class="si-row" role="row">{head}{_lane("".join(cells))}</div>'


def _score_row(values, row, columns, duration, colour_map: Colormap, norm: Normalize):
    """One row of coloured cells; its name plays too where the row is itself an interval."""
    if hasattr(row, "start_s"):
        name = row.label
        head = (
            f'<span class="si-name" role="rowheader" {_span(row)} '
            f'aria-label="{safe_text(f"row {name}, {_seconds(row)}")}">{safe_text(name)}</span>'
        )
    else:
        name = str(row)
        head = f'<span class="si-name" role="rowheader">{safe_text(name)}</span>'
    digits = _digits(norm)
    cells = []
    for value, item in zip(values, columns, strict=True):
        if np.isfinite(value):
            colour = to_hex(colour_map(norm(value)))
            said = f"{name}, {item.label}: {value:.4g}"
            style = f"background:{colour};color:{ink(colour)}"
            cells.append(_cell("si-cell", item, duration, said, _short(value, digits), style=style))
        else:
            cells.append(
                _cell("si-cell si-none", item, duration, f"{name}, {item.label}: no value", "")
            )
    return f'<div class="si-row si-scores" role="row">{head}{_lane("".join(cells))}</div>'


def _lane(cells):
    return f'<div class="si-lane" role="presentation">{cells}</div>'


def _cell(classes, item, duration, said, shown, *, style=""):
    left, width = 100 * item.start_s / duration, 100 * (item.end_s - item.start_s) / duration
    return (
        f'<div class="{classes}" role="gridcell" {_span(item)} '
        f'aria-label="{safe_text(f"{said}, {_seconds(item)}")}" '
        f'style="left:{left:.3f}%;width:{width:.3f}%;{style}"><span>{safe_text(shown)}</span></div>'
    )


def _span(item):
    return f'data-t="{item.start_s:.4f} {item.end_s:.4f}"'


def _seconds(item):
    return f"{item.start_s:.2f} to {item.end_s:.2f} s"


def _digits(norm):
    """Decimals to show: two, more for small scales, none from 10 on."""
    largest = max(abs(norm.vmin), abs(norm.vmax))
    return 0 if largest >= 10 else int(np.clip(1 - np.floor(np.log10(largest)), 2, 6))


def _number(value, digits):
    return f"{value:z.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _short(value, digits):
    """A number that fits a cell: .25, -.25, 1.2, 125."""
    return re.sub(r"^(\N{MINUS SIGN}?)0\.", r"\1.", _number(value, digits))


def _legend(values, score_name, colour_map, norm):
    stops = ",".join(to_hex(colour_map(x)) for x in np.linspace(0, 1, 9))
    low, high = (_number(end, _digits(norm)) for end in (norm.vmin, norm.vmax))
    missing = "" if np.isfinite(values).all() else "<span>hatched: no value</span>"
    return (
        f'<div class="si-legend"><span>{safe_text(score_name)}</span><span>{low}</span>'
        f'<span class="si-ramp" role="img" aria-label="colours from {low} to {high}" '
        f'style="background:linear-gradient(90deg,{stops})"></span><span>{high}</span>'
        f"{missing}</div>"
    )


def _widths(names, shown, drawn, duration):
    """CSS widths: of the row names, of a time line on which nine words in ten can be read, and of
    one on which a finger finds every cell (the intervals `drawn`)."""
    need = [60.0]
    for tier, share, letter in (("words", 0.9, 7.5), ("phones", 0.5, 7.0)):
        rates = [
            (len(str(item.label)) * letter + 4) / (item.end_s - item.start_s)
            for item in shown.get(tier, ())
            if item.end_s > item.start_s
        ]
        if rates:
            need.append(float(np.quantile(rates, share)))
    width = round(duration * min(max(need), 220))
    lengths = [i.end_s - i.start_s for i in drawn if i.end_s > i.start_s]
    shortest_s = max(min(lengths, default=duration), SHORTEST_S)
    touch = max(width, math.ceil(TOUCH_PX * duration / shortest_s))
    name = 10 + 7 * min(max((len(str(name)) for name in names), default=0), 20)
    return f"--name:{name}px;--width:{width}px;--touch:{touch}px"


def _page(samples, rate, title, parts, legend, widths):
    script, style, version = assets()
    label = safe_text(title)
    sound = base64.b64encode(encode_mp3(samples, rate)).decode()
    waveform, *rows = parts
    grid = f'<div role="grid" aria-label="time line">{"".join(rows)}</div>' if rows else ""
    return (
        f'<div class="si-player tex2jax_ignore mathjax_ignore" data-version="{version}" '
        f'data-duration="{len(samples) / rate:.5f}" data-rate="{rate}" role="group" '
        f'aria-label="player: {label}" data-lm-suppress-shortcuts="true" style="{widths}">'
        f"<style>{style}</style>"
        '<div class="si-bar"><button type="button" class="si-play" hidden>▶ Play</button>'
        f'<span class="si-title">{label}</span>'
        '<button type="button" class="si-out" aria-label="show more time" hidden>−</button>'
        '<button type="button" class="si-in" aria-label="show finer" hidden>+</button></div>'
        f'<div class="si-scroll"><div class="si-time">{waveform}{grid}'
        '<div class="si-over"><div class="si-pick" hidden></div>'
        '<div class="si-cursor" hidden></div></div></div></div>'
        f'{legend}<div class="si-status"></div>'
        f'<audio controls preload="none" src="data:audio/mpeg;base64,{sound}"></audio>'
        f"<script>{script}</script></div>"
    )
