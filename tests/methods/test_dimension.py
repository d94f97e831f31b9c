"""Intrinsic dimension of manifolds whose dimension is known."""

import numpy as np
import pytest

from speech_interp.methods.dimension import (
    dimension_by_layer,
    neighbourhood_dimension,
    participation_by_layer,
    two_neighbour_dimension,
)
from speech_interp.methods.projections import components_by_layer

ESTIMATORS = [two_neighbour_dimension, neighbourhood_dimension]


def in_many_units(x, units=40, seed=0):
    """The same shape, turned into a space of many units."""
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(units, units)))[0]
    return x @ turn[: x.shape[1]] + 3


def manifolds(n=3000):
    rng = np.random.default_rng(1)
    t, height = rng.uniform(1.5 * np.pi, 4.5 * np.pi, n), rng.uniform(0, 20, n)
    ball = rng.normal(size=(n, 4))
    return {
        "line": (1, rng.uniform(size=(n, 1))),
        "rolled-up sheet": (2, np.c_[t * np.cos(t), height, t * np.sin(t)]),
        "surface of a ball in 4": (3, ball / np.linalg.norm(ball, axis=1, keepdims=True)),
        "cube of 5": (5, rng.uniform(size=(n, 5))),
    }


@pytest.mark.parametrize("name", manifolds())
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_known_manifolds(name, estimator):
    truth, x = manifolds()[name]
    assert estimator(in_many_units(x)) == pytest.approx(truth, rel=0.12)


def test_scale_does_not_matter_and_noise_is_seen_at_the_smallest_scale():
    sheet = in_many_units(manifolds()["rolled-up sheet"][1])
    for estimator in ESTIMATORS:
        assert estimator(1000 * sheet) == pytest.approx(estimator(sheet))
    thick = sheet + np.random.default_rng(2).normal(size=sheet.shape) * 0.05
    assert two_neighbour_dimension(thick) > neighbourhood_dimension(thick) > 2.2


@pytest.mark.parametrize("count, estimator", [(2, ESTIMATORS[0]), (20, ESTIMATORS[1])])
def test_layers_have_the_value_of_the_plain_call_and_an_interval_around_the_truth(count, estimator):
    rng = np.random.default_rng(3)
    layers = [in_many_units(rng.uniform(size=(600, d))) for d in (1, 2, 3)]
    scores = dimension_by_layer(layers, np.arange(600), count=count)
    np.testing.assert_allclose(scores.score(), [estimator(x) for x in layers])
    low, high = scores.interval()
    assert (low < scores.score()).all() and (scores.score() < high).all()
    assert (high[:-1] < low[1:]).all() and (high - low < 0.35 * scores.score()).all()


def test_participation_is_that_of_the_components_and_of_a_known_spectrum():
    rng = np.random.default_rng(4)
    speakers, texts = np.repeat(np.arange(10), 200), np.tile(np.arange(200), 10)
    layers = (
        rng.normal(size=(2, 2000, 6)) * np.array([[[1, 1, 1, 0, 0, 0]], [[3, 1, 1, 1, 1, 1]]]) + 9
    )
    scores = participation_by_layer(layers, speakers, texts)
    found = components_by_layer(layers)
    np.testing.assert_allclose(scores.score(), [c.participation_ratio for c in found])
    np.testing.assert_allclose(scores.score(), [3, 14**2 / 86], rtol=0.05)
    few = participation_by_layer(layers[:, :9, :], speakers[::200][:9], np.arange(9)).score()
    assert few[0] == pytest.approx(
        components_by_layer(layers[:1, :9])[0].participation_ratio
    )  # through products of items where they are fewer
    low, high = scores.interval()
    assert (low < scores.score()).all() and (scores.score() < high).all()


def test_errors_name_what_came():
    with pytest.raises(ValueError, match=r"items \[0, 3\] and others lie in the same place"):
        two_neighbour_dimension(np.array([[0.0], [1], [2.5], [0]]))
    with pytest.raises(ValueError, match="count is 1, expected at least 2"):
        neighbourhood_dimension(np.arange(9.0)[:, None], count=1)
