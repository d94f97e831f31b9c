"""Draws every picture of this folder: python images/draw.py (add --png for the link preview).

The drawings are functions below; their file names are their names. Only the link preview needs
more than Python: Chromium turns overview.svg into overview.png.
"""

import argparse
import shutil
import subprocess
import tempfile
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
        parts.append(f'<path class="line" stroke-dasharray="3 3" d="M{x} {height}H{x + width + 12}"/>')
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
        parts += [box(x, 492, 190, 54, GREEN, ["7 convolutions", "a frame every 320 samples"], kind="small")]
        parts += [arrow((middle, 492), (middle, 476))]
        parts += [box(x, 424, 190, 52, GREEN, ["projection", "and position"], kind="small")]
        parts += [arrow((middle, 424), (middle, 404), tip=False)]
        parts += layers(x, 404, 190, BLUE)
        parts += [arrow((middle, 238), (middle, 202))]
    parts += [
        box(30, 64, 190, 62, PURPLE, ["pre-training: which is the", "true code of a masked", "frame?"], kind="small", dash="5 4"),
        box(30, 140, 190, 62, PURPLE, ["fine-tuned (CTC):", "a letter or blank", "for every frame"], kind="small"),
        box(310, 64, 190, 138, PURPLE, ["pre-training: which", "cluster does a masked", "frame belong to?", "(k-means, first of MFCCs,", "then of its own states)"], kind="small", dash="5 4"),
    ]
    x, middle = 590, 675
    parts += [text(767, 28, "Whisper", kind="large"), wave(x, 590, 42, 50, bars=14), wave(x + 42, 590, 128, 1)]
    parts += [text(middle, 632, ["waveform, filled up", "with silence to 30 s"], kind="small soft")]
    parts += [arrow((middle, 562), (middle, 546))]
    parts += [box(x, 492, 170, 54, GREEN, ["log-mel spectrogram", "a column every 10 ms"], kind="small")]
    parts += [arrow((middle, 492), (middle, 476))]
    parts += [box(x, 424, 170, 52, GREEN, ["2 convolutions, position", "a frame every 20 ms"], kind="small")]
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


DRAWINGS = {"anatomy": anatomy}


def link_preview():
    """overview.png, 1200 x 630 as link previews want it."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(
            "<style>body{margin:0;background:#fff;display:grid;place-items:center;height:630px}"
            "svg{width:1140px;height:auto}</style>" + (HERE / "overview.svg").read_text()
        )
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1200,630"]
        target = f"--screenshot={HERE / 'overview.png'}"
        subprocess.run([chromium, *options, target, page.as_uri()], check=True, capture_output=True)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--png", action="store_true", help="also the link preview")
    options = options.parse_args()
    for name, draw in DRAWINGS.items():
        (HERE / f"{name}.svg").write_text(draw())
    if options.png:
        link_preview()


if __name__ == "__main__":
    main()
