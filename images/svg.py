"""Small pieces that the drawings of this folder are made of: plain SVG strings, text kept as text.

Colours of text come from the page's theme where the drawing is set into a page, else from the
reader's system setting; fills are translucent and strokes of middle lightness, so that every
drawing reads on a light and on a dark ground.
"""

import math
from html import escape

BLUE, ORANGE, GREEN, PURPLE, GREY = "#3a84bd", "#cf7a21", "#2d9678", "#a268b8", "#7b8794"

STYLE = """<style>
.drawing { --drawing-ink: #1f2933; --drawing-soft: #56626f; }
@media (prefers-color-scheme: dark) {
  .drawing { --drawing-ink: #e6eaee; --drawing-soft: #a9b4bf; }
}
.drawing text { fill: var(--pst-color-text-base, var(--drawing-ink)); font-size: 15px;
  font-family: var(--pst-font-family-base, system-ui, "Segoe UI", Roboto, sans-serif); }
.drawing .soft { fill: var(--pst-color-text-muted, var(--drawing-soft)); }
.drawing .small { font-size: 13px; }
.drawing .large { font-size: 18px; font-weight: 600; }
.drawing .bold { font-weight: 600; }
.drawing .line { fill: none; stroke: var(--pst-color-text-muted, var(--drawing-soft));
  stroke-width: 1.6; }
.drawing .tip { fill: var(--pst-color-text-muted, var(--drawing-soft)); }
</style>"""


def drawing(width, height, title, description, parts):
    """A whole SVG file."""
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="drawing" role="img" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}">\n'
        f"<title>{escape(title)}</title>\n<desc>{escape(description)}</desc>\n"
        f"{STYLE}\n{body}\n</svg>\n"
    )


def text(x, y, words, *, kind="", anchor="middle"):
    lines = [words] if isinstance(words, str) else words
    step = 17 if "small" in kind else 20
    top = y - step * (len(lines) - 1) / 2
    spans = "".join(
        f'<tspan x="{x:g}" y="{top + i * step:g}">{escape(line)}</tspan>'
        for i, line in enumerate(lines)
    )
    kind = f' class="{kind}"' if kind else ""
    return f'<text{kind} text-anchor="{anchor}" dominant-baseline="central">{spans}</text>'


def box(x, y, width, height, colour, words="", *, kind="", strength=0.14, dash="", round_=8):
    """A rounded box with its words in the middle."""
    dash = f' stroke-dasharray="{dash}"' if dash else ""
    shape = (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{round_}" '
        f'fill="{colour}" fill-opacity="{strength}" stroke="{colour}" stroke-width="1.5"{dash}/>'
    )
    return shape + (text(x + width / 2, y + height / 2, words, kind=kind) if words else "")


def arrow(*points, tip=True):
    """A line through the points with a tip at the last."""
    path = "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
    out = f'<path class="line" d="{path}"/>'
    if tip:
        (x0, y0), (x1, y1) = points[-2:]
        a = math.atan2(y1 - y0, x1 - x0)
        corners = [(x1, y1)] + [
            (x1 - 9 * math.cos(a + s), y1 - 9 * math.sin(a + s)) for s in (0.45, -0.45)
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
        out += f'<polygon class="tip" points="{path}"/>'
    return out


def dot(x, y, colour, radius=5, *, strength=1.0):
    fill = f'fill="{colour}" fill-opacity="{strength:g}"'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" {fill}/>'


def wave(x, y, width, height, colour=BLUE, *, seed=3, bars=None):
    """Something that looks like speech: bars whose heights swell and fade like syllables."""
    bars = bars or int(width / 4)
    step = width / bars
    path = ""
    for i in range(bars):
        t = i / (bars - 1)
        swell = abs(math.sin(math.pi * seed * t)) ** 0.8 * math.sin(math.pi * t) ** 0.4
        ripple = 0.35 + 0.65 * abs(math.sin(12.9898 * (i + seed)) * math.cos(4.1414 * i))
        h = max(1.5, height / 2 * swell * ripple)
        path += f"M{x + (i + 0.5) * step:.1f} {y - h:.1f}v{2 * h:.1f}"
    return (
        f'<path d="{path}" stroke="{colour}" stroke-width="{min(2.2, step * 0.6):.2g}" '
        f'stroke-linecap="round" fill="none"/>'
    )


def grid(x, y, cells, size, colour, *, gap=1.5):
    """A matrix drawn as squares, rows of numbers from 0 to 1 as opacity."""
    out = []
    for r, row in enumerate(cells):
        for c, value in enumerate(row):
            out.append(
                f'<rect x="{x + c * (size + gap):.1f}" y="{y + r * (size + gap):.1f}" '
                f'width="{size:g}" height="{size:g}" rx="1.5" fill="{colour}" '
                f'fill-opacity="{0.1 + 0.9 * value:.2f}"/>'
            )
    return "".join(out)
