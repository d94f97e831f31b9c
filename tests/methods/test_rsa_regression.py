"""Partial RSA and regression: against least squares, and a planted part that must be found."""

import numpy as np
import pytest

from speech_interp.methods.rsa import compare_rdms
from speech_interp.methods.rsa_distances import rdms
from speech_interp.methods.rsa_regression import partial_rsa, regress_rdms


def spaces_of(seed, items=60, count=4):
    return np.random.default_rng(seed).normal(size=(count, items, 3))


def squares(*spaces):
    """Squared distances: those of two spaces side by side are the sum of those of each."""
    return rdms(spaces, "euclidean") ** 2


def left_of(y, xs):
    """What a least-squares regression with a constant leaves of y."""
    design = np.column_stack([np.ones(len(y)), *xs])
    return y - design @ np.linalg.lstsq(design, y, rcond=None)[0]


def test_partial_is_the_correlation_of_residuals():
    x, y, *controls = squares(*spaces_of(0))
    x = x + y + controls[0]
    expected = np.corrcoef(left_of(x, controls), left_of(y, controls))[0, 1]
    got = partial_rsa(x, y, np.stack(controls), "pearson")
    np.testing.assert_allclose(got, [expected], atol=1e-10)


def test_partial_finds_what_is_there_and_only_that():
    """The layers hold phones and voices; the model follows phones and durations, in part."""
    phone, voice, duration, else_ = spaces_of(1, items=150)
    layers = squares(np.c_[phone, voice], np.c_[duration, voice], np.c_[duration, else_])
    model, control = squares(np.c_[phone, duration])[0], squares(duration)
    plain = compare_rdms(layers, model, "pearson")[:, 0]
    assert (plain > 0.3).all()  # the last two share nothing with the model but duration
    partial = partial_rsa(layers, model, control, "pearson")
    assert partial[0] > 0.4
    assert (np.abs(partial[1:]) < 0.05).all()
    assert (np.abs(partial_rsa(layers, model, control, "spearman")[1:]) < 0.1).all()


def test_regression_is_least_squares_and_finds_the_planted_weights():
    phone, voice, duration, noise = squares(*spaces_of(2, items=80))
    models = np.stack([phone, voice, duration])
    x = 3 * phone + voice + noise
    got = regress_rdms(x, models, "pearson")
    scaled = [(z - z.mean()) / np.linalg.norm(z - z.mean()) for z in (x, *models)]
    fitted = np.linalg.lstsq(np.column_stack(scaled[1:]), scaled[0], rcond=None)[0]
    np.testing.assert_allclose(got.weights[0], fitted, atol=1e-10)
    total = 1 - (left_of(scaled[0], scaled[1:]) ** 2).sum()
    assert got.explained[0] == pytest.approx(total)
    for k in range(3):
        without = 1 - (left_of(scaled[0], np.delete(scaled[1:], k, axis=0)) ** 2).sum()
        assert got.unique[0, k] == pytest.approx(total - without, abs=1e-10)
    assert got.unique[0, 0] > 4 * got.unique[0, 1] > 40 * abs(got.unique[0, 2])


def test_controls_that_explain_everything_are_refused():
    x, y, z, _ = squares(*spaces_of(3))
    with pytest.raises(ValueError, match="y: the controls explain"):
        partial_rsa(x, y, 2 * y + 1, "pearson")
    with pytest.raises(ValueError, match="xs: the controls explain"):
        partial_rsa(np.stack([z, x]), y, x, "pearson")
    with pytest.raises(ValueError, match=r"models\[\d\] is explained fully"):
        regress_rdms(x, np.stack([y, z, y + z]), "pearson")
