"""Planted boundaries and shifts, and a general optimiser as oracle of the fitted curve."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.optimize import minimize

from speech_interp import load_corpus
from speech_interp.studies.continua import PRIOR, ContinuumOdds, boundaries, continuum_odds

STEPS = np.arange(11)


def planted(places, noise=0.0, seed=0):
    """Three speakers; log-odds fall by one a step and are 0 at the place of each context."""
    rng = np.random.default_rng(seed)
    rows = [
        (place - step + noise * rng.normal(size=2), speaker, context, step)
        for context, place in places.items()
        for speaker in "abc"
        for step in STEPS
    ]
    order = rng.permutation(len(rows))
    odds, speakers, contexts, steps = zip(*[rows[i] for i in order], strict=True)
    return ContinuumOdds(np.stack(odds), *map(np.array, (speakers, contexts, steps)))


def test_planted_boundaries_are_found_and_intervals_hold_them():
    found = planted({"S": 7.0, "T": 2.0, "": 5.0}, noise=0.5)
    for context, place in (("S", 7), ("T", 2), ("", 5)):
        scores = found.boundary(context, resamples=200)
        np.testing.assert_allclose(scores.score(), place, atol=0.4)
        low, high = scores.interval()
        assert (low - 0.3 < place).all() and (place < high + 0.3).all()
        assert (high > low).all() and (high - low < 2).all()


def test_a_context_shifts_the_odds_of_the_same_sounds():
    found = planted({"S": 7.0, "T": 2.0})
    shift = found.shift("S", "T")
    np.testing.assert_allclose(shift.score(), 5, atol=1e-9)
    np.testing.assert_allclose(shift.interval(), 5, atol=1e-9)
    np.testing.assert_allclose(found.shift("T", "S").score(), -5, atol=1e-9)
    np.testing.assert_allclose(found.curve("S")[:, 0], 7 - STEPS, atol=1e-9)


def test_the_curve_is_the_most_likely_one():
    rng = np.random.default_rng(1)
    steps, odds = np.tile(STEPS, 3), rng.normal(size=(33, 2)) * 2 + (5 - np.tile(STEPS, 3))[:, None]
    weights = rng.multinomial(33, np.full(33, 1 / 33), 4).astype(float)
    found = boundaries(steps, odds, weights)
    x = (steps - steps.mean()) / steps.std()
    for draw, layer in np.ndindex(4, 2):
        p, w = 1 / (1 + np.exp(-odds[:, layer])), weights[draw]

        def unlikely(at, p=p, w=w):
            z = at[0] + at[1] * x
            return (w * (np.logaddexp(0, z) - p * z)).sum() + PRIOR / 2 * (at**2).sum()

        height, fall = minimize(unlikely, np.zeros(2)).x
        expected = steps.mean() - steps.std() * height / fall
        assert found[draw, layer] == pytest.approx(expected, abs=1e-3)


def test_a_letter_that_grows_along_the_steps_has_no_boundary():
    rising = ((STEPS - 5.0)[:, None], np.ones((1, 11)))
    assert np.isnan(boundaries(STEPS, *rising)).all()
    certain = boundaries(STEPS, np.where(STEPS < 4, 40.0, -40.0)[:, None], np.ones((1, 11)))
    assert certain[0, 0] == pytest.approx(3.5, abs=0.2)


def test_contexts_come_from_info_and_frames_from_the_target_phone():
    corpus = [u for u in load_corpus("continua") if u.info["continuum"] == "l-r"]
    chosen = [u for u in corpus if u.info["context"] in ("", "T") and u.speaker == "slt"]

    def lens(wave):
        def log_odds(sign, rival, interval):
            return np.array([interval.start_s, interval.end_s, len(wave), ord(sign) - ord(rival)])

        return SimpleNamespace(log_odds=log_odds)

    by_pair = continuum_odds(lens, chosen, [("L", "R"), ("A", "B")], starts_s=(0.0, 0.01))
    assert list(by_pair) == [("L", "R"), ("A", "B")]
    found = by_pair["L", "R"]
    assert sorted(set(found.contexts)) == ["", "T"] and len(found.odds) == 22
    for row, other, u in zip(found.odds, by_pair["A", "B"].odds, chosen, strict=True):
        target = next(p for p in u.phones if p.label in "LR")
        moved = [target.start_s + 0.005, target.end_s + 0.005, len(u.wave) + 80]
        np.testing.assert_allclose(row, [*moved, -6])
        np.testing.assert_allclose(other, [*moved, -1])
    assert found.steps.tolist() == [u.info["step"] for u in chosen]
    with pytest.raises(ValueError, match="context is 'K', expected one of"):
        found.curve("K")


def test_contexts_without_the_same_sounds_are_not_subtracted():
    found = planted({"S": 7.0, "T": 2.0})
    kept = ~((found.contexts == "T") & (found.steps == 3))
    fewer = ContinuumOdds(
        *(getattr(found, k)[kept] for k in ("odds", "speakers", "contexts", "steps"))
    )
    with pytest.raises(ValueError, match="do not hold the same speakers and steps"):
        fewer.shift("S", "T")


def test_where_a_sound_falls_on_the_grid_of_frames_is_averaged_out():
    """Planted: log-odds that turn with the start within a frame of 20 ms, about one true value."""
    chosen = [u for u in load_corpus("continua") if u.info["continuum"] == "l-r"][:12]
    turns = []

    def lens(wave):
        def log_odds(sign, rival, interval):
            turns.append(3 * np.sin(2 * np.pi * interval.start_s / 0.02))
            return np.array([1.5 + turns[-1]])

        return SimpleNamespace(log_odds=log_odds)

    found = continuum_odds(lens, chosen, [("L", "R")])["L", "R"]
    np.testing.assert_allclose(found.odds, 1.5, atol=1e-9)
    assert np.ptp(turns) > 4  # each single start lies far from it
