"""Draws every picture of this folder: python images/draw.py (add --png for the link preview).

The drawings are functions below; their file names are their names. Only the link preview needs
more than Python: Chromium turns overview.svg into overview.png.
"""

import argparse
import math
import shutil
import subprocess
import tempfile
import textwrap
from pathlib import Path

from svg import BLUE, GREEN, GREY, ORANGE, PURPLE, arrow, box, dot, drawing, grid, text, wave

HERE = Path(__file__).parent


def layers(x, y, width, colour, *, name="Transformer layer"):
    """A stack of layers, drawn upwards, with the points where states are read."""
    parts = []
    marks = [("0", y), ("1", y - 50), ("2", y - 100), ("L", y - 174)]
    for label, top in (("1", y - 42), ("2", y - 92), ("L", y - 166)):
        parts.append(box(x, top, width, 34, colour, f"{name} {label}", strength=0.16))
    for height in (y - 122, y - 111, y - 100):
        parts.append(dot(x + width / 2, height - 4, GREY, 2))
    for label, height in marks:
        parts.append(
            f'<path class="line" stroke-dasharray="3 3" d="M{x} {height}H{x + width + 12}"/>'
        )
        parts.append(dot(x + width + 26, height, ORANGE, 13, strength=0.22))
        parts.append(text(x + width + 26, height, label, kind="small bold"))
    return parts


def anatomy():
    parts = []
    columns = {"wav2vec 2.0": 30, "HuBERT": 310}
    for name, x in columns.items():
        middle = x + 95
        parts += [text(middle, 28, name, kind="large"), wave(x, 590, 190, 50)]
        parts += [text(middle, 632, ["waveform", "16 000 samples a second"], kind="small soft")]
        parts += [arrow((middle, 562), (middle, 546))]
        parts += [
            box(
                x,
                492,
                190,
                54,
                GREEN,
                ["7 convolutions", "a frame every 320 samples"],
                kind="small",
            )
        ]
        parts += [arrow((middle, 492), (middle, 476))]
        parts += [box(x, 424, 190, 52, GREEN, ["projection", "and position"], kind="small")]
        parts += [arrow((middle, 424), (middle, 404), tip=False)]
        parts += layers(x, 404, 190, BLUE)
        parts += [arrow((middle, 238), (middle, 202))]
    parts += [
        box(
            30,
            64,
            190,
            62,
            PURPLE,
            ["pre-training: which is the", "true code of a masked", "frame?"],
            kind="small",
            dash="5 4",
        ),
        box(
            30,
            140,
            190,
            62,
            PURPLE,
            ["fine-tuned (CTC):", "a letter or blank", "for every frame"],
            kind="small",
        ),
        box(
            310,
            64,
            190,
            138,
            PURPLE,
            [
                "pre-training: which",
                "cluster does a masked",
                "frame belong to?",
                "(k-means, first of MFCCs,",
                "then of its own states)",
            ],
            kind="small",
            dash="5 4",
        ),
    ]
    x, middle = 590, 675
    parts += [
        text(767, 28, "Whisper", kind="large"),
        wave(x, 590, 42, 50, bars=14),
        wave(x + 42, 590, 128, 1),
    ]
    parts += [text(middle, 632, ["waveform, filled up", "with silence to 30 s"], kind="small soft")]
    parts += [arrow((middle, 562), (middle, 546))]
    parts += [
        box(x, 492, 170, 54, GREEN, ["log-mel spectrogram", "a column every 10 ms"], kind="small")
    ]
    parts += [arrow((middle, 492), (middle, 476))]
    parts += [
        box(
            x,
            424,
            170,
            52,
            GREEN,
            ["2 convolutions, position", "a frame every 20 ms"],
            kind="small",
        )
    ]
    parts += [arrow((middle, 424), (middle, 404), tip=False)]
    parts += layers(x, 404, 170, BLUE, name="encoder layer")
    d = 850
    parts += [
        arrow((middle, 238), (middle, 216), (820, 216), (820, 329), (d, 329)),
        text(middle, 198, "all encoder frames", kind="small soft"),
        box(d, 238, 150, 182, PURPLE, "", strength=0.06),
        text(d + 75, 258, "decoder layers", kind="bold"),
        box(d + 10, 372, 130, 38, PURPLE, ["self-attention", "to the text so far"], kind="small"),
        box(d + 10, 310, 130, 38, PURPLE, ["cross-attention", "to the sound"], kind="small"),
        arrow((d + 75, 372), (d + 75, 348)),
        arrow((d + 75, 310), (d + 75, 276)),
        arrow((d + 75, 446), (d + 75, 410)),
        box(d, 446, 150, 40, GREEN, "text tokens so far", kind="small"),
        arrow((d + 75, 238), (d + 75, 166)),
        box(d, 126, 150, 40, PURPLE, "next text token", kind="small"),
        arrow((d + 150, 146), (d + 172, 146), (d + 172, 466), (d + 150, 466)),
    ]
    parts += [
        dot(d - 10, 546, ORANGE, 13, strength=0.22),
        text(d - 10, 546, "k", kind="small bold"),
        text(d + 10, 546, "= state after layer k,", kind="small", anchor="start"),
        text(d + 10, 564, "0 = what enters layer 1", kind="small", anchor="start"),
    ]
    return drawing(
        1040,
        660,
        "The three model families of this book",
        "wav2vec 2.0 and HuBERT: a waveform goes through seven convolutions, a projection and a "
        "stack of Transformer layers; they differ in what they learn to predict. Whisper: a mel "
        "spectrogram of 30 seconds goes through two convolutions and encoder layers; decoder "
        "layers attend to all encoder frames and to the text so far and give the next text token.",
        parts,
    )


def states(x, y, size=11, *, columns=8, rows=5, colour=BLUE):
    """Hidden states: layers upwards, frames to the right."""
    cells = [
        [abs(math.sin(1.3 * r + 0.9 * c) * math.cos(0.7 * c - r)) for c in range(columns)]
        for r in range(rows)
    ]
    return grid(x, y, cells, size, colour)


METHODS = {
    "Part I: Representation understanding": [
        "What do the representations hold?",
        "probing", "dimensionality reduction", "CKA", "CCA and RSA", "CTC and decoder lenses",
        "ABX",
    ],
    "Part II: Feature importance scoring": [
        "What does the model use?",
        "attention", "attention rollout", "attention norm", "Value Zeroing", "gradients",
        "perturbations",
    ],
}  # fmt: skip


def part(x, y, colour, title, *, inset=20, chip=168, height=32, break_at=99):
    """A part of the tutorial: its question and its methods, two in a row."""
    question, *methods = METHODS[title]
    parts = [
        box(x, y, 2 * (chip + inset) + 10, 3 * height + 110, colour, "", strength=0.07),
        text(x + inset, y + 26, title, kind="bold", anchor="start"),
        text(x + inset, y + 49, question, kind="small soft", anchor="start"),
    ]
    for i, name in enumerate(methods):
        row, column = divmod(i, 2)
        corner = (x + inset + (chip + 10) * column, y + 72 + (height + 8) * row)
        lines = textwrap.wrap(name, break_at)
        parts.append(box(*corner, chip, height, colour, lines, kind="small"))
    return parts


def model(x, y, width):
    """A stack of layers under the words `speech model`."""
    parts = [box(x, y, width, 200, BLUE, "", strength=0.06)]
    parts += [text(x + width / 2, y + 22, "speech model", kind="bold")]
    for i in range(4):
        corner = (x + 20, y + 152 - 36 * i)
        parts.append(box(*corner, width - 40, 26, BLUE, f"layer {i + 1}", kind="small"))
    return parts


OVERVIEW = (
    "Speech goes into a speech model; its hidden states, layer by frame by unit, are studied "
    "in two ways. Part I, representation understanding, asks what the representations hold: "
    "probing, dimensionality reduction, CKA, CCA and RSA, lenses, ABX. Part II, feature "
    "importance scoring, asks what the model uses: attention, rollout, attention norm, Value "
    "Zeroing, gradients, perturbations."
)
TALL = {"inset": 12, "chip": 153, "height": 42, "break_at": 16}


def overview():
    parts = [
        wave(24, 250, 150, 90),
        text(99, 318, "speech", kind="bold"),
        text(99, 340, "no given units", kind="small soft"),
        arrow((184, 250), (222, 250)),
        *model(232, 150, 150),
        arrow((392, 250), (430, 250)),
        states(442, 208, 15),
        text(507, 318, "hidden states", kind="bold"),
        text(507, 340, "layer, frame, unit", kind="small soft"),
        arrow((584, 240), (612, 240), (612, 118), (640, 118)),
        arrow((584, 260), (612, 260), (612, 382), (640, 382)),
        *part(640, 16, ORANGE, "Part I: Representation understanding"),
        *part(640, 262, PURPLE, "Part II: Feature importance scoring"),
    ]
    return drawing(1040, 484, "Overview of the tutorial", OVERVIEW, parts)


def overview_tall():
    """The overview for a phone, at its own size."""
    parts = [
        wave(4, 126, 72, 60),
        text(40, 182, "speech", kind="bold"),
        arrow((84, 126), (102, 126)),
        *model(106, 12, 130),
        arrow((242, 126), (260, 126)),
        states(268, 98, 9),
        text(309, 176, ["hidden", "states"], kind="bold"),
        arrow((309, 200), (309, 230), (8, 230), (8, 350), (24, 350)),
        arrow((8, 350), (8, 606), (24, 606)),
        *part(24, 246, ORANGE, "Part I: Representation understanding", **TALL),
        *part(24, 498, PURPLE, "Part II: Feature importance scoring", **TALL),
    ]
    return drawing(366, 744, "Overview of the tutorial", OVERVIEW, parts)


def emblem(title, takes, gives, words):
    """What a method takes, an arrow, what it gives; words under each side."""
    parts = ['<g transform="translate(16 2)">', *takes, arrow((112, 34), (138, 34)), *gives, "</g>"]
    for x, line in zip((72, 212), words, strict=True):
        parts.append(text(x, 91, textwrap.wrap(line, 19), kind="small soft"))
    return drawing(284, 114, title, f"{title}: takes {words[0]}, gives {words[1]}.", parts)


def curve(x, y, heights, colour, *, step=12):
    points = " ".join(f"{x + step * i:g},{y - h:g}" for i, h in enumerate(heights))
    dots = "".join(dot(x + step * i, y - h, colour, 2.6) for i, h in enumerate(heights))
    axes = f'<path class="line" d="M{x - 8} {y - 56}V{y + 4}H{x + step * len(heights)}"/>'
    return (
        f'{axes}<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}'
    )


def square(x, y, size, colour, *, cells=6, width=0.8, seed=0.0):
    """A square matrix, strong along its diagonal."""
    rows = [
        [
            min(1, math.exp(-abs(r - c) * width) + 0.15 * abs(math.sin(r * 3 + c + seed)))
            for c in range(cells)
        ]
        for r in range(cells)
    ]
    return grid(x, y, rows, size, colour)


def hidden_states():
    return emblem(
        "Reading hidden states",
        [wave(6, 34, 96, 52)],
        [states(152, 8, 9, columns=8, rows=5)],
        ("sound", "states of every layer, frame by frame"),
    )


def probing():
    return emblem(
        "Probing",
        [states(10, 8, 10)],
        [curve(164, 62, [12, 30, 44, 50, 46, 34], ORANGE)],
        ("states and labels", "decodability by layer"),
    )


def articulation():
    path = "M162 40 C176 8 190 12 204 34 S236 66 252 30"
    return emblem(
        "Articulation",
        [states(10, 8, 10)],
        [f'<path d="{path}" fill="none" stroke="{ORANGE}" stroke-width="3"/>'],
        ("states", "path of the tongue"),
    )


def prosody():
    return emblem(
        "Stress",
        [states(10, 8, 10)],
        [
            *(dot(x, 34, BLUE, r, strength=0.35) for x, r in ((170, 16), (222, 8))),
            text(170, 34, "PER", kind="small bold"),
            text(222, 34, "mit", kind="small"),
        ],
        ("states", "the stressed syllable"),
    )


def tone():
    contours = [
        (ORANGE, "M158 14H186"),
        (BLUE, "M200 26L228 8"),
        (GREEN, "M158 50C166 66 176 66 186 46"),
        (PURPLE, "M200 44L228 64"),
    ]
    lines = [
        f'<path d="{way}" fill="none" stroke="{colour}" stroke-width="3" stroke-linecap="round"/>'
        for colour, way in contours
    ]
    return emblem("Tone", [states(10, 8, 10)], lines, ("states", "one of four tones"))


def syntax():
    branches = '<path class="line" d="M196 8L172 32M196 8L220 32M172 32L158 58M172 32L186 58"/>'
    places = ((196, 8), (172, 32), (220, 32), (158, 58), (186, 58))
    nodes = [dot(x, y, GREEN, 5) for x, y in places]
    return emblem(
        "Syntax", [states(10, 8, 10)], [branches, *nodes], ("states", "shape of a sentence")
    )


def dimensionality_reduction():
    groups = [(BLUE, 176, 20), (ORANGE, 212, 28), (GREEN, 188, 54)]
    points = [
        dot(
            x + 9 * math.cos(2.4 * i) * (i % 3) / 1.6,
            y + 7 * math.sin(2.4 * i) * (i % 3) / 1.6,
            c,
            2.8,
        )
        for c, x, y in groups
        for i in range(7)
    ]
    return emblem(
        "Dimensionality reduction",
        [states(10, 8, 10)],
        points,
        ("states", "a map to look at"),
    )


def cka():
    takes = [states(4, 8, 8, columns=4, rows=6), states(62, 8, 8, columns=5, rows=6, colour=GREEN)]
    return emblem(
        "CKA",
        takes,
        [square(164, 4, 9, ORANGE)],
        ("two sets of states", "likeness, layer by layer"),
    )


def cca():
    takes = [states(4, 8, 8, columns=4, rows=6), states(62, 8, 8, columns=5, rows=6, colour=GREEN)]
    bars = [
        box(160, 8 + 16 * i, length, 11, ORANGE, strength=0.5, round_=2)
        for i, length in enumerate((66, 50, 30, 12))
    ]
    return emblem("CCA", takes, bars, ("two sets of states", "directions they share"))


def rsa():
    takes = [square(4, 10, 6.5, BLUE, width=0.5), square(60, 10, 6.5, GREEN, width=0.4, seed=1)]
    cloud = [dot(164 + 9 * i, 60 - 7 * i + 9 * math.sin(4 * i), ORANGE, 2.8) for i in range(8)]
    axes = '<path class="line" d="M156 6V66H234"/>'
    return emblem("RSA", takes, [axes, *cloud], ("two sets of distances", "their correlation"))


def lenses():
    takes = [box(6, 50 - 22 * i, 96, 17, BLUE, strength=0.2, round_=4) for i in range(3)]
    gives = [
        box(152, 50 - 22 * i, 84, 17, PURPLE, word, kind="small", round_=4)
        for i, word in enumerate(("n", "nie t", "night"))
    ]
    return emblem("CTC and decoder lenses", takes, gives, ("any layer", "what it would say"))


def abx():
    takes = []
    for x, y, label, colour in ((26, 20, "A", BLUE), (86, 26, "B", GREEN), (40, 54, "X", BLUE)):
        takes += [dot(x, y, colour, 13, strength=0.25), text(x, y, label, kind="bold")]
    gives = [text(194, 34, ["X nearer to A", "than to B?"], kind="small")]
    return emblem("ABX", takes, gives, ("three sounds", "share of errors"))


def attention():
    return emblem(
        "Attention",
        [
            box(8, 6, 94, 24, BLUE, "query", kind="small"),
            box(8, 38, 94, 24, GREEN, "key", kind="small"),
        ],
        [square(164, 4, 9, PURPLE, width=0.6)],
        ("one head", "weights, frame by frame"),
    )


def rollout():
    takes = [square(34 * i + 2, 8 + 8 * i, 5, PURPLE, cells=5, seed=i) for i in range(3)]
    return emblem(
        "Attention rollout",
        takes,
        [square(164, 4, 9, PURPLE, width=0.35)],
        ("weights of all layers", "paths back to the input"),
    )


def attention_norm():
    lengths = [
        box(72, 6 + 10 * i, length, 6, GREEN, strength=0.5, round_=2)
        for i, length in enumerate((30, 8, 22, 34, 12, 26))
    ]
    return emblem(
        "Attention norm",
        [square(4, 6, 8, PURPLE, width=0.6), *lengths],
        [square(164, 4, 9, PURPLE, width=1.3, seed=2)],
        ("weights and value vectors", "length of what is passed on"),
    )


def context_mixing():
    takes = [
        box(
            4 + 21 * i,
            18,
            16,
            32,
            GREY if i == 2 else BLUE,
            "0" if i == 2 else "",
            kind="small bold",
            strength=0.08 if i == 2 else 0.4,
            dash="3 3" if i == 2 else "",
            round_=4,
        )
        for i in range(5)
    ]
    heights = (12, 40, 0, 24, 8)
    gives = [
        box(150 + 18 * i, 62 - h, 13, h, ORANGE, strength=0.5, round_=2)
        if h
        else text(156.5, 0, "")
        for i, h in enumerate(heights)
    ]
    return emblem(
        "Value Zeroing",
        takes,
        gives,
        ("one frame's value set to zero", "which frames change, how much"),
    )


def gradient_attribution():
    heat = "".join(
        f'<rect x="{152 + 14 * i}" y="6" width="14" height="56" '
        f'fill="{ORANGE}" fill-opacity="{v}"/>'
        for i, v in enumerate((0.05, 0.15, 0.6, 0.45, 0.1, 0.05))
    )
    takes = [
        wave(6, 34, 60, 44),
        box(76, 20, 28, 28, PURPLE, "y", kind="bold"),
        arrow((76, 58), (44, 58)),
    ]
    return emblem(
        "Gradient-based attribution",
        takes,
        [heat, wave(152, 34, 84, 44)],
        ("one output for one sound", "slope at every sample"),
    )


def perturbation_attribution():
    gap = (
        wave(6, 34, 36, 44, bars=9)
        + wave(42, 34, 26, 0, GREY, bars=7)
        + wave(68, 34, 36, 44, bars=9)
    )
    frame = box(42, 10, 26, 48, GREY, strength=0.08, dash="3 3", round_=3)
    drops = [
        box(150 + 18 * i, 62 - h, 13, h, ORANGE, strength=0.5, round_=2)
        for i, h in enumerate((8, 14, 46, 22, 6))
    ]
    return emblem(
        "Perturbation-based attribution",
        [gap, frame],
        drops,
        ("sound with a part removed", "drop of the output, part by part"),
    )


MARK = ((0.3, BLUE), (0.62, BLUE), (1.0, ORANGE), (0.74, PURPLE), (0.4, PURPLE))


def mark(x, y, size):
    """The mark of the book: five bars of a waveform, cut into layers."""
    parts, step, cell = [], size / 5, size / 8
    for i, (height, colour) in enumerate(MARK):
        count = round(height * 6)
        for k in range(count):
            top = y + size / 2 + (k - count / 2) * (cell + 1.5 * size / 64)
            parts.append(
                f'<rect x="{x + i * step + step * 0.12:.2f}" y="{top:.2f}" '
                f'width="{step * 0.76:.2f}" height="{cell:.2f}" rx="{size / 40:.2f}" '
                f'fill="{colour}"/>'
            )
    return "".join(parts)


def logo():
    return drawing(64, 64, "Logo", "Bars of a waveform, cut into layers.", [mark(4, 0, 56)])


def favicon():
    return drawing(32, 32, "Logo", "Bars of a waveform, cut into layers.", [mark(1, 0, 30)])


DRAWINGS = [
    anatomy, overview, overview_tall, logo, favicon,
    hidden_states, probing, articulation, prosody, tone, syntax,
    dimensionality_reduction,
    cka, cca, rsa, lenses, abx,
    attention, rollout, attention_norm, context_mixing,
    gradient_attribution, perturbation_attribution,
]  # fmt: skip


def link_preview():
    """overview.png, 1200 x 630 as link previews want it."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(
            "<style>body{margin:0;background:#fff;display:grid;place-items:center;height:630px;"
            "font-family:system-ui,sans-serif;color:#1f2933}h1{margin:0}svg{width:1080px;height:auto}</style>"
            "<h1>Interpretability Techniques for Speech Models</h1>"
            + (HERE / "overview.svg").read_text()
        )
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1200,630"]
        target = f"--screenshot={HERE / 'overview.png'}"
        subprocess.run([chromium, *options, target, page.as_uri()], check=True, capture_output=True)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--png", action="store_true", help="also the link preview")
    options = options.parse_args()
    for draw in DRAWINGS:
        (HERE / f"{draw.__name__}.svg").write_text(draw(), encoding="utf-8")
    if options.png:
        link_preview()


if __name__ == "__main__":
    main()
