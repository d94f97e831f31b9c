"""Games: what a score is when only some segments of the sound are there.

Perturbation methods of `attribution` and the curves of `faithfulness` see a model only so.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from speech_interp.speech.audio import RATE_HZ, AnyWave, as_array

Score = Callable[[Tensor], Tensor]  # (batch, ...) -> (batch,) or, in games, (batch, column)
Span = tuple[int, int]  # first and one-past-last sample


@dataclass(frozen=True)
class Game:
    """A score of the sound as a function of which segments are present.

    `game(presence)` takes (coalition, segment), 1 = present, and returns (coalition,). What is in
    no segment always stays. An absent segment sounds like `fill` there. A coalition is computed
    once and then `known`: all methods and curves that ask one game share their passes. If the
    score gives several numbers for a sound, (batch, column), `about` picks one, without new passes.
    """

    score: Score
    wave: Float[Tensor, " sample"]
    spans: tuple[Span, ...]
    fill: Float[Tensor, " sample"]
    at_once: int = 8
    column: int | None = None
    known: dict[bytes, Tensor] = field(default_factory=dict, repr=False)

    @torch.no_grad()
    def __call__(self, presence: Float[Tensor, "coalition segment"]) -> Float[Tensor, " coalition"]:
        presence = presence.cpu()
        rows = {row.numpy().tobytes(): row for row in presence > 0.5}
        new = [key for key in rows if key not in self.known]
        for start in range(0, len(new), self.at_once):
            keys = new[start : start + self.at_once]
            scores = self.score(self.sound(torch.stack([rows[key] for key in keys]).float()))
            self.known.update(zip(keys, scores.float().cpu(), strict=True))
        scores = torch.stack([self.known[row.numpy().tobytes()] for row in presence > 0.5])
        return scores if self.column is None else scores[:, self.column]

    def about(self, column: int) -> "Game":
        """Return the game about one column of the score; what is known stays known to both."""
        return dataclasses.replace(self, column=column)

    def sound(
        self, presence: Float[Tensor, "coalition segment"]
    ) -> Float[Tensor, "coalition sample"]:
        """Return the wave of each coalition."""
        waves = self.wave.repeat(len(presence), 1)
        for segment, (start, stop) in enumerate(self.spans):
            absent = presence[:, segment] < 0.5
            waves[absent, start:stop] = self.fill[start:stop]
        return waves

    @property
    def all_present(self) -> Float[Tensor, "1 segment"]:
        """Return the coalition of all segments."""
        return torch.ones(1, len(self.spans))


def make_game(
    score: Score,
    wave: AnyWave,
    segments: Sequence,
    *,
    replacement: str = "silence",
    seed: int = 0,
    at_once: int = 8,
) -> Game:
    """Return the game over segments: intervals with start_s and end_s, or `windows`.

    Raises ValueError for an empty or overlapping segment, or an unknown replacement.
    """
    spans = tuple((round(s.start_s * RATE_HZ), round(s.end_s * RATE_HZ)) for s in segments)
    spans = tuple((max(0, a), min(b, len(wave))) for a, b in spans)
    for number, (start, stop) in enumerate(spans):
        if stop <= start:
            raise ValueError(f"segment {number} is empty: samples {start} to {stop}")
        if number and start < spans[number - 1][1]:
            raise ValueError(f"segment {number} begins before segment {number - 1} ends")
    wave = as_array(wave)
    fill = replace(wave, replacement, seed=seed)
    sound = torch.tensor(wave, dtype=torch.float32)
    return Game(score, sound, spans, torch.tensor(fill), at_once)


def replace(
    wave: Float[ndarray, " sample"], replacement: str, *, seed: int = 0
) -> Float[ndarray, " sample"]:
    """Return what takes the place of the sound: no choice is neutral, so it is always named.

    "silence" zeros; "mean" the mean sample; "noise" white noise as loud as the sound;
    "shaped noise" noise of its long-term spectrum.
    """
    rng = np.random.default_rng(seed)
    if replacement == "silence":
        fill = np.zeros(len(wave))
    elif replacement == "mean":
        fill = np.full(len(wave), wave.mean())
    elif replacement == "noise":
        fill = rng.normal(0, wave.std(), len(wave))
    elif replacement == "shaped noise":
        spectrum = np.abs(np.fft.rfft(wave))
        phase = np.exp(2j * np.pi * rng.random(len(spectrum)))
        fill = np.fft.irfft(spectrum * phase, len(wave))
    else:
        known = ("silence", "mean", "noise", "shaped noise")
        raise ValueError(f"replacement is {replacement!r}, expected one of {known}")
    return fill.astype(np.float32)


def noise_like(inputs: Float[Tensor, "1 sample"], *, seed: int = 0) -> Float[Tensor, "1 sample"]:
    """Return noise of the same spectrum: a baseline for models that normalise loudness."""
    return torch.tensor(replace(inputs[0].detach().cpu().numpy(), "shaped noise", seed=seed))[None]


@dataclass(frozen=True)
class Window:
    """A stretch of time without a linguistic label."""

    label: str
    start_s: float
    end_s: float


def windows(duration_s: float, width_s: float) -> list[Window]:
    """Return windows of equal width side by side; the last one may be up to half a width off."""
    starts = np.arange(0, max(duration_s, width_s) - width_s / 2, width_s)
    edges = [*starts.tolist(), duration_s]
    return [Window(f"{a:.2f} s", a, b) for a, b in pairwise(edges)]
