"""Continua: which of two letters a recogniser hears in a sound between them, by context.

The design of [deheerklootsHumanlikeLinguisticBiases2024]: the same sounds from [l] to [r], alone
and after consonants that only one of both may follow in English. Items are grouped by what `info`
says; the label of a word spells the nearer end.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from speech_interp.methods.lenses import CtcLens
from speech_interp.speech.corpus import Utterance, after_silence
from speech_interp.statistics.layer_scores import LayerScores
from speech_interp.statistics.resampling import draw_weights, paired_by

#: Starts on a frame's grid of 20 ms. The same sound a few milliseconds later falls otherwise into
#: frames, which can change a voice's log-odds by as much as what stands before the sound.
STARTS_S = (0.0, 0.005, 0.010, 0.015)
#: Keeps the curve finite where a voice is heard as one letter at every step; in items.
PRIOR = 0.1
NEWTON_STEPS = 30


@dataclass(frozen=True, eq=False)
class ContinuumOdds:
    """Log-odds of one letter against its rival in every sound; entry i of each array is sound i."""

    odds: Float[np.ndarray, "item layer"]
    speakers: Shaped[np.ndarray, " item"]
    contexts: Shaped[np.ndarray, " item"]
    steps: Int[np.ndarray, " item"]

    def curve(self, context: str) -> Float[np.ndarray, "step layer"]:
        """Return the mean log-odds over speakers at each step of one context."""
        chosen = self._of(context)
        steps = np.unique(self.steps[chosen])
        return np.stack([self.odds[chosen & (self.steps == step)].mean(0) for step in steps])

    def shift(self, context: str, other: str) -> LayerScores:
        """Return how much the log-odds are higher in `context` than in `other`, by layer.

        The same sound of the same speaker in both, subtracted; speakers and steps are drawn anew.
        """
        pairs = [self._sorted(name) for name in (context, other)]
        keys = [list(zip(self.speakers[p], self.steps[p], strict=True)) for p in pairs]
        if keys[0] != keys[1]:
            raise ValueError(f"{context!r} and {other!r} do not hold the same speakers and steps")
        difference = self.odds[pairs[0]] - self.odds[pairs[1]]
        return LayerScores.of_items(difference, self.speakers[pairs[0]], self.steps[pairs[0]])

    def boundary(self, context: str, *, resamples: int = 500, seed: int = 0) -> LayerScores:
        """Return the step at which both letters are equally probable, by layer.

        From a logistic curve over the steps; NaN where the letter does not become less probable
        along them. Speakers and steps are drawn anew.
        """
        at = self._sorted(context)
        names = self.speakers[at], self.steps[at]
        weights = draw_weights(*names, resamples=resamples, seed=seed)
        weights = np.concatenate([np.ones((1, len(at))), weights[weights.sum(1) > 0]])
        found = boundaries(self.steps[at], self.odds[at], weights)
        return LayerScores(found[0], found[1:], paired_by(*names))

    def _of(self, context: str) -> np.ndarray:
        chosen = self.contexts == context
        if not chosen.any():
            raise ValueError(f"context is {context!r}, expected one of {set(self.contexts)}")
        return chosen

    def _sorted(self, context: str) -> np.ndarray:
        chosen = np.flatnonzero(self._of(context))
        return chosen[np.lexsort((self.steps[chosen], self.speakers[chosen]))]


def continuum_odds(
    lens: Callable[[np.ndarray], CtcLens],
    utterances: Sequence[Utterance],
    pairs: Sequence[tuple[str, str]],
    *,
    starts_s: Sequence[float] = STARTS_S,
) -> dict[tuple[str, str], ContinuumOdds]:
    """Return, for each pair (sign, rival), their log-odds over the frames of each target phone.

    `lens` reads a wave, as `ctc_lens` does for one model; each sound goes through it alone, behind
    each of the silences `starts_s`, and the mean over these counts.
    """
    odds = []
    for utterance in utterances:
        moved = [after_silence(utterance, start_s) for start_s in starts_s]
        phones = [u.phones[u.info["target_phone"]] for u in moved]
        read = [(lens(u.wave), phone) for u, phone in zip(moved, phones, strict=True)]
        odds.append(
            [np.mean([x.log_odds(*pair, phone) for x, phone in read], axis=0) for pair in pairs]
        )
    columns = [(u.speaker, u.info["context"], u.info["step"]) for u in utterances]
    names = [np.array(column) for column in zip(*columns, strict=True)]
    by_pair = np.stack(odds, axis=1)
    return {pair: ContinuumOdds(x, *names) for pair, x in zip(pairs, by_pair, strict=True)}


def boundaries(
    steps: Int[np.ndarray, " item"],
    odds: Float[np.ndarray, "item layer"],
    weights: Float[np.ndarray, "draw item"],
) -> Float[np.ndarray, "draw layer"]:
    """Return the step at which logistic curves fitted to the probabilities cross one half.

    Newton's method on the likelihood of all draws and layers at once. NaN where a curve rises.
    """
    middle, width = steps.mean(), steps.std()
    design = np.stack([np.ones(len(steps)), (steps - middle) / width], axis=1)
    wanted = _logistic(odds)  # (item, layer)
    found = np.zeros((len(weights), odds.shape[1], 2))
    for _ in range(NEWTON_STEPS):
        given = _logistic(found @ design.T)  # (draw, layer, item)
        excess = weights[:, None] * (wanted.T - given)
        slope = excess @ design - PRIOR * found
        spread = weights[:, None] * given * (1 - given)
        curvature = np.einsum("dli,ix,iy->dlxy", spread, design, design) + PRIOR * np.eye(2)
        found = found + np.linalg.solve(curvature, slope[..., None])[..., 0]
    height, fall = found[..., 0], found[..., 1]
    crossing = middle - width * height / np.where(fall < 0, fall, np.nan)
    return crossing


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -50, 50)))
