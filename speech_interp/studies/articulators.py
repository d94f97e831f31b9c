"""Frames of a model beside the movements of the vocal tract that made the sound."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped
from numpy import ndarray

from speech_interp.speech.corpus import Utterance
from speech_interp.states.hidden_states import HiddenStates, hidden_states
from speech_interp.statistics.spaces import as_numpy


@dataclass(frozen=True, eq=False)
class TrackFrames:
    """States of single frames and where the articulators were at their centres."""

    states: Float[ndarray, "layer frame unit"]
    targets: Float[ndarray, "frame channel"]  # per speaker: mean 0, variance 1
    labels: Shaped[ndarray, " frame"]  # the phone that is said
    utterances: Int[ndarray, " frame"]  # number of the utterance
    speakers: Shaped[ndarray, " frame"]
    texts: Shaped[ndarray, " frame"]


def track_frames(
    model,
    utterances: Sequence[Utterance],
    channels: Sequence[str],
    *,
    every: int = 2,
    lag_s: float = 0.0,
) -> TrackFrames:
    """Return every so-manieth frame of each utterance, each in a pass of its own.

    `model`: what `load_model` returns, or a function from a wave to `HiddenStates`. `channels` name
    tracks. `lag_s` moves the targets: where the articulators will be so much later (or were, if
    negative); beyond the ends they stay where they are. Raises ValueError for a missing track.
    """
    states, targets, rows = [], [], []
    for number, u in enumerate(utterances):
        if lacking := [name for name in channels if name not in u.tracks]:
            raise ValueError(f"{u.id} has no track {lacking[0]!r}, only {sorted(u.tracks)}")
        seen = _frames_of(model, u)
        times_s = seen.times_s[::every]
        states.append(as_numpy(seen.values[:, ::every]))
        tracks = [u.tracks[name] for name in channels]
        places = [
            np.interp(times_s + lag_s, np.arange(len(t.values)) / t.rate_hz, t.values)
            for t in tracks
        ]
        targets.append(np.stack(places, axis=1))
        starts = [p.start_s for p in u.phones[1:]]
        said = np.searchsorted(starts, times_s, side="right")
        rows += [(u.phones[k].label, number, u.speaker, u.text) for k in said]
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    values = np.concatenate(targets)
    for speaker in np.unique(columns[2]):
        own = columns[2] == speaker
        values[own] = (values[own] - values[own].mean(axis=0)) / values[own].std(axis=0)
    return TrackFrames(np.concatenate(states, axis=1), values.astype(np.float32), *columns)


def _frames_of(model: Any, utterance: Utterance) -> HiddenStates:
    if hasattr(model, "module"):
        return hidden_states(model, utterance.wave)
    return model(utterance.wave)


def one_hot(labels: Shaped[ndarray, " frame"]) -> Float[ndarray, "1 frame label"]:
    """Return what a reader knows who is told the label and nothing else, as one layer."""
    return (labels[:, None] == np.unique(labels)).astype(np.float32)[None]


def beside(
    label: Float[ndarray, "1 frame label"], states: Float[ndarray, "layer frame unit"]
) -> Float[ndarray, "layer frame both"]:
    """Return each layer with the label beside it: what is gained over the label is the layer's."""
    wide = np.broadcast_to(label, (len(states), *label.shape[1:]))
    return np.concatenate([wide, states], axis=2)
