"""What every player is made of: the sound as MP3, the waveform, script and style, safe text."""

import hashlib
import io
import re
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float

LONGEST_S = 300  # everything is inside the page
BIT_RATE = 40_000  # 5 s make 33 kB of base64
RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # that MP3 holds


@dataclass(frozen=True)
class Player:
    """What `listen` returns; a notebook shows its HTML, anything else one line of text."""

    html: str
    description: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.description


def encode_mp3(wave: Float[np.ndarray, "sample"], rate_hz: int) -> bytes:
    """The wave as MP3, constant bit rate; louder than full scale is turned down, not clipped.

    Raises ValueError for a rate that MP3 does not hold.
    """
    if rate_hz not in RATES_HZ:
        held = ", ".join(map(str, RATES_HZ))
        raise ValueError(f"rate_hz is {rate_hz}, MP3 holds only {held}: resample the wave")
    peak = float(np.abs(wave).max())
    target = io.BytesIO()
    # libsndfile maps 0..1 onto the bit rates of the format from high to low.
    highest, lowest = (320_000, 32_000) if rate_hz >= 32_000 else (160_000, 8_000)
    soundfile.write(
        target,
        wave / max(peak, 1.0),
        rate_hz,
        format="MP3",
        subtype="MPEG_LAYER_III",
        bitrate_mode="CONSTANT",
        compression_level=(highest - BIT_RATE) / (highest - lowest),
    )
    return target.getvalue()


def wave_row(samples, rate):
    """The waveform: one vertical line for each bin, from its lowest to its highest sample."""
    duration = len(samples) / rate
    count = int(np.clip(round(duration * 120), 200, 1800))
    edges = np.linspace(0, len(samples), count + 1)[:-1].astype(int)
    edges = np.minimum(edges, len(samples) - 1)
    scale = max(float(np.abs(samples).max()), 1e-4)
    top = np.rint(500 - 480 * np.maximum.reduceat(samples, edges) / scale).astype(int)
    bottom = np.rint(500 - 480 * np.minimum.reduceat(samples, edges) / scale).astype(int)
    lines = "".join(f"M{x} {a}V{b}" for x, (a, b) in enumerate(zip(top, bottom, strict=True)))
    ticks = "".join(
        f'<span class="si-tick{" si-before" if t > 0.9 * duration else ""}" '
        f'style="left:{100 * t / duration:.3f}%">{t:g} s</span>'
        for t in _ticks(duration)
    )
    return (
        '<div class="si-row si-wave"><span class="si-name"></span><div class="si-lane">'
        f'<svg viewBox="0 0 {count} 1000" preserveAspectRatio="none" role="img" '
        f'aria-label="waveform of {duration:.2f} s"><path d="{lines}" fill="none" '
        'stroke="currentColor" stroke-width="1.2" vector-effect="non-scaling-stroke" '
        'stroke-linecap="round"/></svg></div></div>'
        '<div class="si-row si-axis" aria-hidden="true"><span class="si-name"></span>'
        f'<div class="si-lane">{ticks}</div></div>'
    )


def _ticks(duration):
    step = next((s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if duration / s <= 12), 30)
    return [round(i * step, 6) for i in range(int(duration * 0.97 / step) + 1)]


@cache
def assets():
    """Script and style without comments and indentation, and a name for this version of both."""
    here = Path(__file__)
    script = here.with_name("player.js").read_text(encoding="utf-8")
    script = re.sub(r"^\s*//.*\n|(?<=[;{}]) // .*$|^\s+", "", script, flags=re.MULTILINE)
    style = here.with_name("player.css").read_text(encoding="utf-8").replace("\n", "")
    version = hashlib.sha256((script + style).encode()).hexdigest()[:8]
    return script.replace("VERSION", version), style, version


def ink(colour):
    """Black or white, whichever reads better on `colour` (always a contrast of 4.5 or more)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000" if luminance > 0.179 else "#fff"


def clean_text(text):
    """Text without control characters, which HTML cannot hold."""
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]", "\ufffd", str(text))


def safe_text(text):
    """Text as HTML shows it, within attributes too."""
    return escape(clean_text(text), quote=True)
