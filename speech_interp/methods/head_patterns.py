"""The patterns of all heads of a model over many utterances, and what a head is called after.

Of each utterance only the measures of its heads are kept, never a map.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped
from numpy import ndarray
from scipy.stats import rankdata

from speech_interp.methods.attention_edits import frames_in_order
from speech_interp.methods.attention_patterns import (
    MEASURES,
    TYPES,
    frame_labels,
    head_patterns,
)
from speech_interp.models.families import family_of
from speech_interp.speech.corpus import SILENCE, Utterance
from speech_interp.states.attention import AttentionStep, record_attention
from speech_interp.states.frames import frame_grid
from speech_interp.states.hidden_states import encoder_of, model_inputs
from speech_interp.statistics.layer_scores import LayerScores


@dataclass(frozen=True, eq=False)
class HeadPatterns:
    """Every measure of every head, utterance by utterance: small, and joined by `merge`."""

    values: dict[str, Float[ndarray, "utterance layer head"]]

    @classmethod
    def of_steps(
        cls,
        steps: Iterable[AttentionStep],
        *,
        speech_count: int | None = None,
        labels: Sequence[str] | ndarray | None = None,
    ) -> "HeadPatterns":
        """Return the patterns of one utterance from the attentions of its layers, in order."""
        found = [head_patterns(s, speech_count=speech_count, labels=labels) for s in steps]
        if not found:
            raise ValueError("steps: got none, expected the attentions of at least one layer")
        return cls({name: np.stack([f[name] for f in found])[None] for name in MEASURES})

    def __len__(self) -> int:
        return len(self.values["globalness"])

    def merge(self, other: "HeadPatterns") -> "HeadPatterns":
        """Return the patterns of the utterances of both, in order."""
        pairs = {name: (self.values[name], other.values[name]) for name in MEASURES}
        for name, (one, two) in pairs.items():
            if one.shape[1:] != two.shape[1:]:
                raise ValueError(
                    f"{name}: (layer, head) are {one.shape[1:]} and {two.shape[1:]}, expected equal"
                )
        return HeadPatterns({name: np.concatenate(pair) for name, pair in pairs.items()})

    def mean(self, chosen=slice(None)) -> dict[str, Float[ndarray, "layer head"]]:
        """Return each measure, mean over utterances, or over those that `chosen` picks."""
        return {name: value[chosen].mean(0) for name, value in self.values.items()}

    def by_layer(self, measure: str, *groupings: Sequence) -> LayerScores:
        """Return a measure, mean over heads, with what it comes to when groups are drawn anew."""
        return LayerScores.of_items(self.values[measure].mean(2), *groupings)

    def shuffled(self, seed: int = 0) -> "HeadPatterns":
        """Return the same with the heads of each utterance in an order of its own: a null."""
        rng = np.random.default_rng(seed)
        count, layers, heads = self.values["globalness"].shape
        orders = np.stack([rng.permutation(layers * heads) for _ in range(count)])
        flat = {name: v.reshape(count, -1) for name, v in self.values.items()}
        return HeadPatterns(
            {
                name: np.take_along_axis(v, orders, 1).reshape(count, layers, heads)
                for name, v in flat.items()
            }
        )


def speech_frames(model, utterance: Utterance) -> dict:
    """Return how many frames are the recording ("speech_count"), and the phone of each ("labels").

    The options of `HeadPatterns.of_steps` for one utterance.
    """
    grid = frame_grid(model)
    count = grid.count(len(utterance.wave))
    return {"speech_count": count, "labels": frame_labels(utterance.phones, grid.times_s(count))}


def encoder_attention(
    model, utterance: Utterance, *, moved: int | None = None, by: str = "position"
) -> tuple[list[AttentionStep], dict]:
    """Return the encoder's attentions in one utterance, and the options of `of_steps` for them.

    `moved`: a seed that puts the frames out of order before the model adds its positions. Then
    `by` says what queries and keys are numbered by: their "position" in the new order, or their
    "content", so that neighbours in the sound are neighbours in the map.
    """
    if by not in ("position", "content"):
        raise ValueError(f'by is {by!r}, expected "position" or "content"')
    known = speech_frames(model, utterance)
    count = known["speech_count"]
    inputs = {family_of(model.family).inputs: model_inputs(model, utterance.wave)}
    if moved is None:
        return record_attention(encoder_of(model), **inputs), known
    order = np.random.default_rng(moved).permutation(count)
    with frames_in_order(model, order):
        steps = record_attention(encoder_of(model), **inputs)
    if by == "content":
        back = torch.from_numpy(np.argsort(order))
        places = torch.cat([back, torch.arange(count, steps[0].key_count)])
        # Only the weights make a map: what the layer does with its rows stays as it was.
        steps = [step.reordered(places) for step in steps]
    else:
        known["labels"] = known["labels"][order]
    return steps, known


def collect_patterns(
    model,
    utterances: Iterable[Utterance],
    *,
    record: Callable[..., tuple[Iterable[AttentionStep], dict]] = encoder_attention,
    **options,
) -> HeadPatterns:
    """Return the patterns of many utterances, each in a pass of its own.

    `record(model, utterance, **options)` gives the attentions of a stack and the options of
    `HeadPatterns.of_steps`. Raises ValueError for no utterances.
    """
    total = None
    for utterance in utterances:
        steps, known = record(model, utterance, **options)
        found = HeadPatterns.of_steps(steps, **known)
        total = found if total is None else total.merge(found)
    if total is None:
        raise ValueError("utterances: got none, expected at least one")
    return total


def relabelled(labels: Shaped[ndarray, " frame"], *, seed: int = 0) -> Shaped[ndarray, " frame"]:
    """Return the labels with those of the runs of sound in another order, a null for `same_phone`.

    Runs keep their place and length, silence stays where it is.
    """
    starts = np.flatnonzero(np.r_[True, labels[1:] != labels[:-1]])
    of_run = labels[starts].copy()
    sound = np.flatnonzero(of_run != SILENCE)
    of_run[sound] = np.random.default_rng(seed).permutation(of_run[sound])
    return np.repeat(of_run, np.diff([*starts, len(labels)]))


def head_types(scores: dict[str, Float[ndarray, "layer head"]]) -> Shaped[ndarray, "layer head"]:
    """Return the type of each head: the one of `TYPES` in whose order of heads it stands highest.

    Every head gets a type, in an untrained network too. Where ranks are equal, the standardised
    score decides.
    """
    ranks = []
    for name in TYPES:
        flat = np.asarray(scores[name], dtype=float).ravel()
        spread = flat.std() or 1.0
        ranks.append(rankdata(flat) + 1e-3 * np.tanh((flat - flat.mean()) / spread))
    winner = np.argmax(ranks, axis=0).reshape(np.shape(scores[TYPES[0]]))
    return np.array(TYPES)[winner]
