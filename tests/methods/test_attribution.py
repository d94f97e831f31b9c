"""Attribution on games and models whose truth is known."""

import numpy as np
import pytest
import torch
from known_games import ADDITIVE, METHODS, additive, exact_shapley, glove_game, table_game

from speech_interp.methods import attribution, games


def linear_score():
    weight = torch.tensor([1.0, -2.0, 0.5, 3.0])
    return weight, lambda x: x @ weight


def test_gradient_methods_give_the_analytic_answer_for_a_linear_score():
    weight, score = linear_score()
    x = torch.tensor([[0.5, 1.0, -2.0, 0.25]])
    torch.testing.assert_close(attribution.saliency(score, x)[0], weight.abs())
    torch.testing.assert_close(attribution.input_x_gradient(score, x)[0], weight * x[0])
    explained, gap = attribution.integrated_gradients(score, x, baseline=torch.full_like(x, 0.1))
    torch.testing.assert_close(explained[0], weight * (x[0] - 0.1), atol=1e-5, rtol=0)
    assert gap < 1e-5
    smooth = attribution.smooth_grad(score, x, samples=4)
    torch.testing.assert_close(smooth[0], weight.abs())


def test_integrated_gradients_of_a_cube_are_known_and_complete():
    def cube(x):
        return (x**3).sum(1)

    x = torch.tensor([[1.0, -2.0, 3.0]])
    explained, gap = attribution.integrated_gradients(cube, x)
    torch.testing.assert_close(explained, x**3, atol=1e-4, rtol=0)
    assert gap < 1e-4


def test_the_completeness_gap_is_reported_and_shrinks_with_steps():
    def bent(x):
        return (40 * (x - 0.4)).sigmoid().sum(1)

    x = torch.tensor([[0.45, 0.9]])
    few = attribution.integrated_gradients(bent, x, steps=3)
    many = attribution.integrated_gradients(bent, x, steps=200)
    difference = float(bent(x) - bent(torch.zeros_like(x)))
    assert few[1] == pytest.approx(abs(float(few[0].sum()) - difference), abs=1e-5)
    assert many[1] < few[1] / 3


def test_smooth_grad_is_the_mean_gradient_around_the_input_and_seeded():
    def square(x):
        return (x**2).sum(1)

    x = torch.tensor([[1.0, -2.0, 3.0, 0.5]])
    smooth = attribution.smooth_grad(square, x, samples=400, noise=0.1, seed=1)
    torch.testing.assert_close(smooth, (2 * x).abs(), atol=0.1, rtol=0)
    state = torch.get_rng_state()
    again = attribution.smooth_grad(square, x, samples=400, noise=0.1, seed=1)
    assert torch.equal(smooth, again) and torch.equal(state, torch.get_rng_state())
    assert not torch.equal(smooth, attribution.smooth_grad(square, x, samples=400, seed=2))


def test_shapley_values_of_the_glove_game_are_the_textbook_ones():
    exact = exact_shapley(glove_game, 4)
    torch.testing.assert_close(exact, torch.tensor([4.0, 1.0, 1.0, 1.0]))
    game = table_game(glove_game, 4)
    sampled = attribution.shapley_sampling(game, orders=600)
    torch.testing.assert_close(sampled, exact, atol=0.35, rtol=0)
    regressed = attribution.kernel_shap(game, coalitions=400)
    torch.testing.assert_close(regressed, exact, atol=0.35, rtol=0)


@pytest.mark.parametrize("worth", [glove_game, additive])
def test_shapley_values_sum_to_what_all_are_worth_together(worth):
    count = 4 if worth is glove_game else 5
    game = table_game(worth, count)
    gain = worth(set(range(count))) - worth(set())
    for orders in (1, 7):
        assert float(attribution.shapley_sampling(game, orders=orders).sum()) == pytest.approx(gain)
    assert float(attribution.kernel_shap(game).sum()) == pytest.approx(gain, abs=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_in_an_additive_game_every_method_gives_each_its_worth(method):
    tolerance = 0.1 if method is attribution.lime else 1e-3  # LIME's lasso shrinks a little
    explained = method(table_game(additive, 5))
    torch.testing.assert_close(explained, ADDITIVE, atol=tolerance, rtol=0)


@pytest.mark.parametrize(("worth", "count"), [(glove_game, 4), (additive, 5)])
def test_exact_shapley_values_are_those_of_all_orders(worth, count):
    values = attribution.shapley_exact(table_game(worth, count))
    torch.testing.assert_close(values, exact_shapley(worth, count), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="game has 13 segments, expected at most 12"):
        attribution.shapley_exact(table_game(worth, 13))


def test_leave_one_out_is_the_difference():
    game = table_game(glove_game, 4)
    assert attribution.leave_one_out(game).tolist() == [6.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("method", METHODS[1:])
def test_sampling_methods_are_seeded_and_leave_the_generators_alone(method):
    game = table_game(glove_game, 4)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = method(game, seed=3), method(game, seed=3)
    assert torch.equal(first, second)
    assert torch.equal(states[0], torch.get_rng_state())
    assert (states[1] == np.random.get_state()[1]).all()  # noqa: NPY002


def sound_with_burst():
    """Return noise with a 1 kHz burst in the fifth of ten windows, and a score that hears it."""
    times_s = np.arange(16_000) / 16_000
    wave = np.random.default_rng(0).normal(0, 0.05, 16_000)
    burst = (times_s >= 0.4) & (times_s < 0.5)
    wave[burst] += 0.5 * np.sin(2 * np.pi * 1000 * times_s[burst])
    phase = torch.tensor(2 * np.pi * 1000 * times_s, dtype=torch.float32)
    tones = torch.stack([phase.sin(), phase.cos()])

    def score(waves):
        # Energy at 1 kHz in short windows, squashed: not linear, and of no use to look elsewhere.
        parts = (waves[:, None] * tones).unflatten(-1, (20, 800)).sum(-1)
        return torch.log1p(parts.square().sum(1)).sum(1)

    return wave.astype(np.float32), score


@pytest.mark.parametrize("replacement", ["silence", "noise", "mean"])
@pytest.mark.parametrize("method", METHODS)
def test_a_planted_burst_ranks_first_for_every_perturbation(method, replacement):
    wave, score = sound_with_burst()
    parts = games.windows(1.0, 0.1)
    game = games.make_game(score, wave, parts, replacement=replacement)
    assert int(method(game).argmax()) == 4


def test_a_planted_burst_ranks_first_for_gradients_that_claim_to_find_it():
    wave, score = sound_with_burst()
    inputs = torch.tensor(wave)[None]
    spans = [(1600 * k, 1600 * (k + 1)) for k in range(10)]
    explained, gap = attribution.integrated_gradients(score, inputs)
    for samples in (attribution.input_x_gradient(score, inputs), explained):
        mass, outside = attribution.pool_samples(samples[0], spans)
        assert int(mass.argmax()) == 4 and abs(outside) < 1e-3
    assert gap < 0.01 * float(score(inputs))
    kept = attribution.keep_segments(explained[0], spans, count=1)
    assert kept[6400:8000].all() and not kept[:6400].any() and not kept[8000:].any()


def test_pooling_preserves_the_mass_of_the_map():
    torch.manual_seed(0)
    samples = torch.randn(1000)
    sums, outside = attribution.pool_samples(samples, [(10, 200), (200, 640)])
    assert float(sums.sum()) + outside == pytest.approx(float(samples.sum()), abs=1e-4)
    assert float(sums[0]) == pytest.approx(float(samples[10:200].sum()), abs=1e-5)
