import itertools
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from sound_samples import Span, clicks, hum

import speech_interp.show.plotting as plotting
from speech_interp.show.plotting import (
    DIVERGING,
    MARKERS,
    PALETTE,
    SEQUENTIAL,
    colour_scale,
    heatmap,
    layer_curve,
    legend_above,
    level_line,
    mark_intervals,
    spectrogram,
    use_style,
    waveform,
)

# Machado, Oliveira and Fernandes 2009, table 1, severity 1.0, on linear red, green and blue.
SIGHT = {
    "usual": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def linear(colour):
    s = np.array(to_rgb(colour))
    return np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    light = sorted(float(linear(c) @ TO_XYZ[1]) for c in (one, other))
    return (light[1] + 0.05) / (light[0] + 0.05)


def lab(colour, sight):
    seen = np.clip(np.asarray(SIGHT[sight]) @ linear(colour), 0, 1)
    xyz = TO_XYZ @ seen / [0.95047, 1.0, 1.08883]
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        use_style()
        yield
        plt.close("all")


@pytest.mark.parametrize("sight", SIGHT)
def test_series_stay_apart(sight):
    apart = {
        (a, b): np.linalg.norm(lab(a, sight) - lab(b, sight))
        for a, b in itertools.combinations(PALETTE, 2)
    }
    closest = min(apart, key=apart.get)
    assert apart[closest] > 15, (closest, apart[closest])  # 2.3 is just noticeable
    assert len(set(MARKERS)) == len(PALETTE)


def test_text_and_lines_can_be_read_on_the_paper_of_the_figure():
    paper = plt.rcParams["figure.facecolor"]
    assert paper == plt.rcParams["axes.facecolor"] == plt.rcParams["savefig.facecolor"]
    assert not plt.rcParams["savefig.transparent"]
    for name in ("text.color", "axes.labelcolor", "axes.titlecolor", "xtick.labelcolor"):
        assert contrast(plt.rcParams[name], paper) >= 4.5, name
    for colour in (*PALETTE, plt.rcParams["axes.edgecolor"]):
        assert contrast(colour, paper) >= 3, colour


def test_no_single_ink_reads_on_both_pages():
    """The reason for opaque figures: the best grey stays below 4.5 on one of the two."""
    greys = [f"#{v:02x}{v:02x}{v:02x}" for v in range(256)]
    assert max(min(contrast(g, "#ffffff"), contrast(g, "#121212")) for g in greys) < 4.5


def test_figures_are_saved_opaque_with_dark_text(tmp_path):
    fig, ax = plt.subplots()
    layer_curve(ax, [0.1, 0.5], label="a")
    fig.savefig(tmp_path / "figure.png")
    pixels = plt.imread(tmp_path / "figure.png")
    assert (pixels[..., 3] == 1).all()
    assert (pixels[0, 0, :3] == 1).all()


@pytest.mark.parametrize("sight", SIGHT)
def test_colour_maps_run_one_way(sight):
    light = [lab(SEQUENTIAL(x), sight)[0] for x in np.linspace(0, 1, 64)]
    assert (np.diff(light) < 0).all()
    light = np.array([lab(DIVERGING(x), sight)[0] for x in np.linspace(0, 1, 64)])
    assert (np.diff(light[:31]) > 0).all() and (np.diff(light[33:]) < 0).all()
    for x in (0.1, 0.2, 0.3):
        apart = lab(DIVERGING(0.5 - x), sight) - lab(DIVERGING(0.5 + x), sight)
        assert np.linalg.norm(apart) > 15


def test_scale_is_symmetric_where_scores_have_a_sign():
    colours, norm = colour_scale(np.array([-1.0, np.nan, 3.0]))
    assert colours is DIVERGING and (norm.vmin, norm.vmax) == (-3, 3)
    colours, norm = colour_scale(np.array([1.0, 3.0]))
    assert colours is SEQUENTIAL and (norm.vmin, norm.vmax) == (1, 3)
    colours, norm = colour_scale(np.array([1.0, 3.0]), diverging=True)
    assert colours is DIVERGING and (norm.vmin, norm.vmax) == (-3, 3)
    _, norm = colour_scale(np.array([-5.0, 9.0]), limits=(-1, 1))
    assert (norm.vmin, norm.vmax) == (-1, 1)
    for same in ([2.0, 2.0], [np.nan]):
        _, norm = colour_scale(np.array(same))
        assert norm.vmin < norm.vmax
    with pytest.raises(ValueError, match=r"low < high; got \(1, 0\)"):
        colour_scale(np.ones(2), limits=(1, 0))


def test_layer_curve_shows_scores_errors_and_whole_layers():
    fig, ax = plt.subplots()
    layer_curve(ax, [0.2, 0.4, 0.3], label="HuBERT", error=[0.1, 0.2, 0.1], score_name="accuracy")
    layer_curve(ax, [0.3, 0.3, 0.3], label="other", error=[[0.1] * 3, [0.2] * 3])
    line, bars = ax.containers[0].lines[0], ax.containers[0].lines[2][0]
    assert line.get_xydata().tolist() == [[0, 0.2], [1, 0.4], [2, 0.3]]
    assert bars.get_segments()[1][:, 1] == pytest.approx([0.2, 0.6])
    assert ax.containers[1].lines[2][0].get_segments()[0][:, 1] == pytest.approx([0.2, 0.5])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("layer", "accuracy")
    assert all(tick == round(tick) for tick in ax.get_xticks())
    first, second = (container.lines[0] for container in ax.containers)
    assert first.get_color() != second.get_color() and first.get_marker() != second.get_marker()
    level_line(ax, 0.1, label="chance")
    legend = legend_above(ax)
    assert {t.get_text() for t in legend.get_texts()} == {"HuBERT", "other", "chance"}
    fig.canvas.draw()
    assert legend.get_window_extent().y0 >= ax.get_window_extent().y1 - 1
    with pytest.raises(ValueError, match=r"\(layer,\); got \(2, 2\)"):
        layer_curve(ax, np.ones((2, 2)), label="x")


def test_heatmap_has_a_named_bar_and_every_value_in_place():
    fig, ax = plt.subplots()
    values = np.array([[0.0, 0.5], [1.0, np.nan]])
    image = heatmap(ax, values, value_name="CKA", x_name="HuBERT layer", y_name="wav2vec2 layer")
    assert np.ma.allequal(image.get_array(), np.ma.masked_invalid(values))
    assert [a.get_ylabel() for a in fig.axes] == ["wav2vec2 layer", "CKA"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # first row on top
    assert not np.allclose(image.cmap.get_bad()[:3], image.cmap(0.0)[:3], atol=0.05)
    labels = ["cost is $5", "a_b"]
    _, ax = plt.subplots()
    heatmap(ax, values, value_name="x", x_labels=labels, y_labels=labels, first_row="bottom")
    assert ax.get_ylim()[0] < ax.get_ylim()[1]
    ax.figure.canvas.draw()  # a lone $ is text, not a formula
    with pytest.raises(ValueError, match="need 2 labels; got 1"):
        heatmap(ax, values, value_name="x", x_labels=["a"])
    with pytest.raises(ValueError, match=r"\(row, column\); got \(3,\)"):
        heatmap(ax, np.ones(3), value_name="x")
    with pytest.raises(ValueError, match="'left'"):
        heatmap(ax, values, value_name="x", first_row="left")


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_spectrogram_shows_a_tone_and_a_click_in_place(rate_hz):
    time = np.arange(rate_hz) / rate_hz
    _, ax = plt.subplots()
    image = spectrogram(ax, np.sin(2 * np.pi * 3000 * time), rate_hz=rate_hz)
    power, (_, _, low, high) = image.get_array(), image.get_extent()
    row = power.mean(1).argmax()
    assert low + (row + 0.5) / len(power) * (high - low) == pytest.approx(3.0, abs=0.05)
    assert power.max() == 0 and power.min() >= -60
    _, ax = plt.subplots()
    image = spectrogram(ax, clicks([0.6], 1.0, rate_hz), rate_hz=rate_hz)
    left, right = image.get_extent()[:2]
    columns = np.asarray(image.get_array()).mean(0)
    middle = np.flatnonzero(columns > columns.min() + 1).mean()
    assert left + (middle + 0.5) / len(columns) * (right - left) == pytest.approx(0.6, abs=0.004)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time (s)", "frequency (kHz)")
    with pytest.raises(ValueError, match=r"at least 25 ms.*got 10"):
        spectrogram(ax, np.zeros(10), rate_hz=rate_hz)
    spectrogram(ax, np.zeros(rate_hz), rate_hz=rate_hz)  # silence is no error


def test_waveform_and_marks_share_the_time_axis():
    _, ax = plt.subplots()
    (line,) = waveform(ax, hum(2.0))
    assert line.get_xdata()[-1] == pytest.approx(2.0, abs=1e-3)
    words = [Span("one", 0.0, 0.9), Span("$2", 0.9, 1.8), Span("unreadable", 1.8, 1.83)]
    lines = mark_intervals(ax, words)
    assert [s[0, 0] for s in lines.get_segments()] == pytest.approx([0.0, 0.9, 1.8, 1.83])
    assert [(t.get_text(), t.get_position()[0]) for t in ax.texts] == [
        ("one", pytest.approx(0.45)),
        (r"\$2", pytest.approx(1.35)),
    ]


def test_the_style_names_only_colours_of_its_own():
    text = Path(plotting.__file__).with_name("book.mplstyle").read_text(encoding="utf-8")
    assert not re.search(r"(usetex|backend)", text)
