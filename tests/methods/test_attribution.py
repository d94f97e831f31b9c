"""Attribution on games and models whose truth is known."""

import itertools

import numpy as np
import pytest
import torch

from speech_interp.methods import attribution, faithfulness
from speech_interp.methods.attribution import Game, Window

METHODS = [
    attribution.leave_one_out,
    attribution.shapley_sampling,
    attribution.kernel_shap,
    attribution.lime,
]


def table_game(worth, count):
    """Return a game over `count` one-sample segments, scored by `worth(set of present ones)`."""

    def score(waves):
        present = [tuple(np.flatnonzero(w > 0.5)) for w in waves.numpy()]
        return torch.tensor([float(worth(set(map(int, p)))) for p in present])

    spans = tuple((k, k + 1) for k in range(count))
    return Game(score, torch.ones(count), spans, torch.zeros(count), at_once=3)


def exact_shapley(worth, count):
    """Return Shapley values by going through every order of the players."""
    values = np.zeros(count)
    orders = list(itertools.permutations(range(count)))
    for order in orders:
        present = set()
        for player in order:
            before = worth(present)
            present = present | {player}
            values[player] += worth(present) - before
    return torch.tensor(values / len(orders), dtype=torch.float32)


def glove_game(present):
    """One left glove (0), two right ones (1, 2): a pair is worth 6. Plus 1 for player 3 alone."""
    return 6.0 * (0 in present and bool(present & {1, 2})) + (3 in present)


ADDITIVE = torch.tensor([3.0, -1.0, 0.5, 2.0, 0.0])


def additive(present):
    return 4.0 + sum(float(ADDITIVE[k]) for k in present)


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


def test_a_coalition_is_computed_once_whoever_asks():
    heard = []

    def worth(present):
        heard.append(frozenset(present))
        return glove_game(present)

    game = table_game(worth, 4)
    for method in METHODS:
        method(game)
    attribution.shapley_exact(game)
    faithfulness.random_curves(game)
    assert len(heard) == len(set(heard)) == 2**4


def test_a_score_of_several_columns_is_asked_about_one_without_new_passes():
    passes = []

    def score(waves):
        passes.append(len(waves))
        return torch.stack([waves.sum(1), waves @ torch.tensor([1.0, 0, 0])], dim=1)

    game = Game(score, torch.ones(3), tuple((k, k + 1) for k in range(3)), torch.zeros(3))
    assert attribution.leave_one_out(game.about(0)).tolist() == [1, 1, 1]
    before = sum(passes)
    assert attribution.leave_one_out(game.about(1)).tolist() == [1, 0, 0]
    assert sum(passes) == before


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


def test_a_game_replaces_exactly_the_absent_segments():
    wave = np.random.default_rng(0).normal(size=16_000).astype(np.float32)
    segments = [Window("a", 0.1, 0.2), Window("b", 0.5, 0.75)]
    heard = []

    def score(waves):
        heard.append(waves)
        return waves.sum(1)

    game = attribution.make_game(score, wave, segments, replacement="noise", seed=4)
    game(torch.tensor([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0]]))
    whole, without_a, without_b = torch.cat(heard).numpy()
    assert (whole == wave).all()
    fill = attribution.replace(wave, "noise", seed=4)
    expected = wave.copy()
    expected[1600:3200] = fill[1600:3200]
    assert (without_a == expected).all()
    assert (without_b[8000:12000] == fill[8000:12000]).all()
    assert (without_b[:8000] == wave[:8000]).all() and (without_b[12000:] == wave[12000:]).all()


def test_replacements_are_what_they_are_called():
    wave = (0.1 + np.sin(np.arange(16_000) * 0.3)).astype(np.float32)
    assert not attribution.replace(wave, "silence").any()
    np.testing.assert_allclose(attribution.replace(wave, "mean"), wave.mean(), rtol=1e-6)
    assert attribution.replace(wave, "noise").std() == pytest.approx(wave.std(), rel=0.05)
    shaped = attribution.replace(wave, "shaped noise")
    spectra = [np.abs(np.fft.rfft(w))[1:-1] for w in (wave, shaped)]
    np.testing.assert_allclose(*spectra, rtol=1e-2, atol=1.0)
    assert abs(np.corrcoef(wave, shaped)[0, 1]) < 0.9
    with pytest.raises(ValueError, match="replacement is 'quiet', expected one of"):
        attribution.replace(wave, "quiet")


def test_noise_like_a_sound_has_its_loudness_and_is_seeded():
    x = torch.tensor(noise())[None]
    quiet = attribution.noise_like(x)
    assert quiet.shape == x.shape and float(quiet.std()) == pytest.approx(float(x.std()), rel=0.05)
    assert torch.equal(quiet, attribution.noise_like(x))
    assert not torch.equal(quiet, attribution.noise_like(x, seed=1))


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ([Window("a", 0.2, 0.2)], "segment 0 is empty"),
        ([Window("a", 0.1, 0.4), Window("b", 0.3, 0.5)], "segment 1 begins before segment 0 ends"),
        ([Window("a", 2.0, 2.5)], "segment 0 is empty"),
    ],
)
def test_impossible_segments_are_named(segments, message):
    with pytest.raises(ValueError, match=message):
        attribution.make_game(lambda w: w.sum(1), np.zeros(16_000, np.float32), segments)


def test_windows_cover_the_sound_without_gap_or_overlap():
    parts = attribution.windows(1.03, 0.1)
    assert parts[0].start_s == 0 and parts[-1].end_s == 1.03
    assert all(a.end_s == b.start_s for a, b in itertools.pairwise(parts))
    assert all(p.end_s - p.start_s > 0.04 for p in parts)


def test_a_sound_shorter_than_half_a_window_is_one_window():
    (part,) = attribution.windows(0.04, 0.1)
    assert (part.start_s, part.end_s) == (0, 0.04)


def test_a_game_over_a_wave_of_float64_gives_the_same_scores():
    wave = np.random.default_rng(0).normal(size=1600)
    both = [
        attribution.make_game(lambda w: w.sum(1), x, attribution.windows(0.1, 0.02))(
            torch.tensor([[1.0, 0, 1, 0, 0], [0, 0, 0, 0, 0]])
        )
        for x in (wave, wave.astype(np.float32))
    ]
    torch.testing.assert_close(*both)


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
    parts = attribution.windows(1.0, 0.1)
    game = attribution.make_game(score, wave, parts, replacement=replacement)
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


def noise(seed=0, count=8000):
    return np.random.default_rng(seed).normal(0.1, 0.3, count).astype(np.float32)
