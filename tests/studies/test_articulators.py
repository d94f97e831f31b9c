"""Frames stand beside the places of the articulators at their own moment."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from speech_interp.methods.probing import grouped_folds, regress
from speech_interp.speech.corpus import Interval, Track, Utterance
from speech_interp.states.hidden_states import HiddenStates
from speech_interp.statistics.predictions import correlation
from speech_interp.studies.articulators import beside, one_hot, track_frames

TIMES_S = np.arange(0.0125, 0.99, 0.02)


def moving(number, speaker):
    """A tongue on a sine of its own speed; the wave is the sine at its sampling."""
    t, speed = np.arange(0, 1, 0.01), 2 + number
    track = Track(10 * np.sin(speed * t).astype(np.float32) + 3, 100.0, "mm")
    return Utterance(
        id=f"{speaker}{number}", text=str(number), speaker=speaker, tracks={"tongue": track},
        phones=(Interval("AA", 0, 0.5), Interval("S", 0.5, 1.0)),
        audio=np.full(16_000, speed, np.float32),
    )  # fmt: skip


def knows_the_tongue(wave):
    place = torch.tensor(np.sin(wave[0] * TIMES_S))[None, :, None].float()
    return HiddenStates(values=torch.cat([place, -place]), times_s=TIMES_S)


SPOKEN = [moving(number, speaker) for speaker in "ab" for number in range(6)]


def test_targets_are_those_of_the_frame_and_scaled_by_speaker():
    frames = track_frames(knows_the_tongue, SPOKEN, ["tongue"])
    assert frames.states.shape == (2, 12 * len(TIMES_S[::2]), 1)
    assert np.corrcoef(frames.states[0, :, 0], frames.targets[:, 0])[0, 1] > 0.999
    for speaker in "ab":
        own = frames.targets[frames.speakers == speaker]
        assert own.mean() == pytest.approx(0, abs=1e-5) and own.std() == pytest.approx(1, abs=1e-5)
    assert list(frames.labels[: len(TIMES_S[::2])]) == ["AA"] * 13 + ["S"] * 12


def test_a_planted_lag_is_found():
    lags_s = (-0.2, 0.0, 0.2)
    ahead = [
        replace(u, tracks={"tongue": Track(np.roll(u.tracks["tongue"].values, 20), 100.0, "mm")})
        for u in SPOKEN
    ]
    score = []
    for lag_s in lags_s:
        frames = track_frames(knows_the_tongue, ahead, ["tongue"], lag_s=lag_s)
        folds = grouped_folds(frames.texts)
        score.append(regress(frames.states, frames.targets, folds).score(correlation)[0, 0])
    assert np.argmax(score) == 2


def test_what_a_layer_adds_to_the_label_is_seen_beside_it():
    frames = track_frames(knows_the_tongue, SPOKEN, ["tongue"])
    folds, label = grouped_folds(frames.texts), one_hot(frames.labels)
    alone = regress(label, frames.targets, folds).score(correlation)[0, 0]
    both = regress(beside(label, frames.states), frames.targets, folds).score(correlation)
    noise = np.random.default_rng(0).normal(size=frames.states.shape).astype(np.float32)
    nothing = regress(beside(label, noise), frames.targets, folds).score(correlation)
    assert both.min() > 0.99 > alone + 0.1
    assert np.abs(nothing - alone).max() < 0.1


def test_a_missing_track_is_named():
    with pytest.raises(ValueError, match=r"a0 has no track 'jaw', only \['tongue'\]"):
        track_frames(knows_the_tongue, SPOKEN, ["jaw"])
