"""One look for every figure of the book, and the few kinds of figure its chapters need.

Figures are cards: dark ink on opaque white. No single ink reaches a contrast of 4.5 on both the
white and the near-black page of the site (4.3 is the most), so a figure brings its own paper.
Every helper draws on an `Axes`, names the axes with their units and returns what it drew.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.container import ErrorbarContainer
from matplotlib.image import AxesImage
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from speech_interp.statistics.layer_scores import LayerScores

# Five colours of Okabe and Ito with a contrast of 3 or more on white, and an indigo.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#1f2328", "#2a10b0")
MARKERS = ("o", "s", "^", "D", "v", "P")  # a second cue beside colour
GREY = "#59636e"  # floors and chance: what no network has learnt
# A model keeps its colour and marker in every figure of the book; its twin is drawn open.
MODEL_STYLES = {
    "HuBERT": (PALETTE[0], "o"),
    "wav2vec2": (PALETTE[1], "s"),
    "wav2vec2 CTC": (PALETTE[2], "^"),
    "Whisper": (PALETTE[3], "D"),
    "Whisper base": (PALETTE[5], "P"),
    "MFCC": (GREY, "v"),
    "phone label": (PALETTE[4], "X"),
}
TWIN = ", untrained"  # the end of the name of a random-init twin
SEQUENTIAL = LinearSegmentedColormap.from_list(
    "speech_interp_sequential", ["#f7f7f7", "#b9d6ea", "#5fa3cf", "#2166ac", "#053061"]
)
DIVERGING = LinearSegmentedColormap.from_list(
    "speech_interp_diverging",
    ["#053061", "#2166ac", "#75add1", "#f7f7f7", "#ec9f55", "#bd5a0a", "#6b2a00"],
)


def use_style() -> None:
    """Set the book's style for all following figures; in a notebook also sharp (2x) PNG output."""
    plt.style.use(Path(__file__).with_name("book.mplstyle"))
    plt.rcParams["axes.prop_cycle"] = cycler(color=PALETTE) + cycler(marker=MARKERS)
    try:
        from IPython import get_ipython
    except ImportError:
        return
    shell = get_ipython()
    if shell is not None and hasattr(shell, "kernel"):
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("retina")


def colour_scale(
    values: ArrayLike,
    *,
    diverging: bool | None = None,
    limits: tuple[float, float] | None = None,
) -> tuple[Colormap, Normalize]:
    """The colour map and limits for `values`: diverging around 0 if any value is negative.

    Limits default to the extreme finite values, symmetric around 0 for a diverging map.
    """
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    if diverging is None:
        diverging = bool(finite.size and finite.min() < 0)
    if limits is None:
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
        if diverging:
            high = max(abs(low), abs(high))
            low = -high
        if low == high:
            low, high = low - 0.5, high + 0.5
    else:
        low, high = limits
        if not (np.isfinite([low, high]).all() and low < high):
            raise ValueError(f"limits must be two finite numbers, low < high; got {limits}")
    return (DIVERGING if diverging else SEQUENTIAL), Normalize(float(low), float(high))


def layer_curve(
    ax: Axes,
    scores: ArrayLike,
    *,
    label: str,
    error: ArrayLike | None = None,
    score_name: str | None = None,
    layers: Sequence[int] | None = None,
) -> ErrorbarContainer:
    """One curve over layers, with error bars.

    `scores`: (layer,). `error`: (layer,) the half width, or (2, layer) the distances down and up.
    """
    scores = np.asarray(scores, dtype=float)
    if scores.ndim != 1:
        raise ValueError(f"scores must have shape (layer,); got {scores.shape}")
    x = np.arange(len(scores)) if layers is None else np.asarray(layers)
    drawn = ax.errorbar(x, scores, yerr=error, label=label, capsize=2.5, elinewidth=1.2)
    ax.set_xlabel("layer")
    ax.locator_params(axis="x", integer=True)
    if score_name is not None:
        ax.set_ylabel(score_name)
    return drawn


def draw_scores(
    ax: Axes,
    scores: Mapping[str, LayerScores],
    *,
    score_name: str,
    chance: float | None = None,
    chance_name: str = "chance",
) -> list[ErrorbarContainer]:
    """Curves over layers with the intervals of their scores; what has one layer is a band.

    `scores`: the name of a model and its `LayerScores`. A model of the book keeps its colour; a
    name that ends in ", untrained" is drawn open and dashed in the colour of its model.
    """
    drawn, bands = [], {name: s for name, s in scores.items() if len(s) == 1}
    for number, (name, s) in enumerate((n, s) for n, s in scores.items() if n not in bands):
        style = model_style(name, number)
        layers = np.arange(len(s))
        bars = ax.errorbar(
            layers, s.score(), yerr=s.error_bars(), label=name, capsize=2.5, elinewidth=1.2, **style
        )
        drawn.append(bars)
    for name, s in bands.items():
        low, high = s.interval()[:, 0]
        colour = model_style(name, 0)["color"]
        ax.axhspan(low, high, color=colour, alpha=0.15, linewidth=0)
        ax.axhline(s.score()[0], color=colour, linewidth=1.4, marker="", label=name)
    if chance is not None:
        level_line(ax, chance, label=chance_name)
    ax.set(xlabel="layer", ylabel=score_name)
    ax.locator_params(axis="x", integer=True)
    return drawn


def model_style(name: str, number: int = 0) -> dict:
    """Colour, marker and line of a model; `number` chooses for names the book does not know."""
    plain = name.removesuffix(TWIN)
    known = (PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)])
    colour, marker = MODEL_STYLES.get(plain, known)
    twin = name.endswith(TWIN)
    face = "white" if twin else colour
    line = "--" if twin else "-"
    return {"color": colour, "marker": marker, "linestyle": line, "markerfacecolor": face}


def level_line(ax: Axes, value: float, *, label: str) -> Line2D:
    """A dashed horizontal line: chance level, a ceiling, a published number."""
    return ax.axhline(value, color=GREY, linestyle="--", linewidth=1.2, marker="", label=label)


def legend_above(ax: Axes, *, columns: int = 3) -> Legend:
    """The legend above the axes, where it hides no data."""
    return ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, borderaxespad=0.3)


def heatmap(
    ax: Axes,
    values: ArrayLike,
    *,
    value_name: str,
    x_name: str = "layer",
    y_name: str = "layer",
    x_labels: Sequence[str] | None = None,
    y_labels: Sequence[str] | None = None,
    diverging: bool | None = None,
    limits: tuple[float, float] | None = None,
    first_row: str = "top",
) -> AxesImage:
    """A (row, column) map with its colour bar; `first_row` is "top" or "bottom"."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 2:
        raise ValueError(f"values must have shape (row, column); got {values.shape}")
    if first_row not in ("top", "bottom"):
        raise ValueError(f'first_row must be "top" or "bottom"; got {first_row!r}')
    colour_map, norm = colour_scale(values, diverging=diverging, limits=limits)
    colour_map = colour_map.with_extremes(bad="#d9cfc0")
    origin: Literal["upper", "lower"] = "upper" if first_row == "top" else "lower"
    image = ax.imshow(values, cmap=colour_map, norm=norm, origin=origin, aspect="auto")
    ax.grid(False)
    ax.set(xlabel=x_name, ylabel=y_name)
    for axis, labels, count in (
        (ax.xaxis, x_labels, values.shape[1]),
        (ax.yaxis, y_labels, values.shape[0]),
    ):
        if labels is None:
            ax.locator_params(axis="x" if axis is ax.xaxis else "y", integer=True)
        elif len(labels) != count:
            raise ValueError(f"{count} rows or columns need {count} labels; got {len(labels)}")
        else:
            long = axis is ax.xaxis and max(map(len, labels), default=0) > 2
            turned: dict[str, Any] = {"rotation": 60, "ha": "right", "rotation_mode": "anchor"}
            options = turned if long else {}
            axis.set_ticks(range(count), labels=[_plain(text) for text in labels], **options)
    bar = ax.figure.colorbar(image, ax=ax, label=value_name)
    bar.outline.set_visible(False)
    return image


def waveform(ax: Axes, wave: Float[np.ndarray, "sample"], *, rate_hz: int = 16_000) -> list[Line2D]:
    """The amplitude of a (sample,) wave over time."""
    seconds = np.arange(len(wave)) / rate_hz
    lines = ax.plot(seconds, wave, linewidth=0.5, marker="")
    ax.set(xlabel="time (s)", ylabel="amplitude", xlim=(0, len(wave) / rate_hz))
    return lines


def spectrogram(
    ax: Axes, wave: Float[np.ndarray, "sample"], *, rate_hz: int = 16_000, floor_db: float = -60.0
) -> AxesImage:
    """The power of a (sample,) wave over time and frequency, in dB below its maximum.

    Hann windows of 25 ms every 5 ms, centred, as usual for looking at speech.
    """
    size, hop = round(0.025 * rate_hz), round(0.005 * rate_hz)
    if len(wave) < size:
        raise ValueError(f"wave must last at least 25 ms ({size} samples); got {len(wave)}")
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(wave, dtype=float), size)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(size), n=512 * -(-size // 512))) ** 2
    decibel = 10 * np.log10(np.maximum(power / max(power.max(), 1e-30), 10 ** (floor_db / 10)))
    first = (size - hop) / 2 / rate_hz  # each column covers one hop around its window's centre
    extent = (first, first + len(frames) * hop / rate_hz, 0, rate_hz / 2000)
    image = ax.imshow(decibel.T, cmap="Greys", origin="lower", extent=extent, aspect="auto")
    ax.grid(False)
    ax.set(xlabel="time (s)", ylabel="frequency (kHz)", xlim=(0, len(wave) / rate_hz))
    bar = ax.figure.colorbar(image, ax=ax, label="power (dB below maximum)")
    bar.outline.set_visible(False)
    return image


def mark_intervals(ax: Axes, intervals: Iterable, *, level: int = 0) -> LineCollection:
    """The labels of words or phones above a time axis, with a line at each boundary.

    `intervals` have `label`, `start_s`, `end_s`; `level` 0 is the row next to the figure. Set the
    limits of the axis first: a label that is wider than its interval is left out.
    """
    intervals = list(intervals)
    edges = sorted({edge for item in intervals for edge in (item.start_s, item.end_s)})
    across = ax.get_xaxis_transform()  # x in seconds, y in fractions of the axes
    top = 1 + 0.09 * (level + 1)
    lines = ax.vlines(edges, 0, top, transform=across, color="#b3261e", lw=0.6, clip_on=False)
    left, right = ax.get_xlim()
    points_per_second = ax.get_window_extent().width * 72 / ax.figure.dpi / (right - left)
    size = 8.5
    for item in intervals:
        room = (item.end_s - item.start_s) * points_per_second
        if len(str(item.label)) * 0.55 * size <= room:
            middle = (item.start_s + item.end_s) / 2
            label = _plain(item.label)
            ax.text(middle, top - 0.07, label, transform=across, ha="center", fontsize=size)
    return lines


def _plain(text: str) -> str:
    """Text that Matplotlib shows as it stands: a dollar sign would start a formula."""
    return str(text).replace("$", r"\$")
