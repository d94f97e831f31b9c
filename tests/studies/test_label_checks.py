"""The hiss of a planted [s] is found where it was planted, and nowhere else."""

import numpy as np
import pytest

from speech_interp.speech.corpus import Interval, Utterance
from speech_interp.studies.label_checks import hiss_at_boundaries, shift_ms, step_db


def planted(*, late_s=0.0):
    """A low tone, from 0.5 s on noise without low frequencies; labels `late_s` after the change."""
    rng, t = np.random.default_rng(0), np.arange(16_000) / 16_000
    noise = np.fft.rfft(rng.normal(size=16_000))
    noise[:4000] = 0
    wave = np.where(t < 0.5, np.sin(2 * np.pi * 300 * t), np.fft.irfft(noise, 16_000))
    edge = 0.5 + late_s
    phones = (Interval("AA", 0, edge), Interval("S", edge, 1.0))
    return Utterance(id="u", text="", phones=phones, audio=wave.astype(np.float32))


@pytest.mark.parametrize("late_s", [0.0, 0.02, -0.028])
def test_a_planted_shift_of_the_labels_is_measured(late_s):
    curves = hiss_at_boundaries(planted(late_s=late_s))
    assert curves.shape == (1, 61)
    assert shift_ms(curves) == pytest.approx(-1000 * late_s, abs=4)
    assert step_db(curves) > 20


def test_other_labels_have_no_boundary_or_no_step():
    assert hiss_at_boundaries(planted(), ["S", "AA"]).shape == (0, 61)
    quiet = planted()
    flat = Utterance(id="u", text="", phones=quiet.phones, audio=quiet.wave[::-1].copy()[:16_000])
    assert step_db(hiss_at_boundaries(flat)) < -20  # the hiss comes first
    with pytest.raises(ValueError, match="labels holds 1, u has 2"):
        hiss_at_boundaries(quiet, ["S"])
