"""The tuned lens against least squares, and on layers that hold the truth in another basis."""

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from speech_interp import hidden_states, load_corpus, load_model
from speech_interp.methods.lenses import ctc_lens
from speech_interp.methods.tuned_lens import TunedLens, fit_tuned_lens, sharpen
from speech_interp.statistics.linear import LinearMap

rng = np.random.default_rng(0)


def some_states(frames=300, layers=3, units=5, seed=0):
    torch.manual_seed(seed)
    return torch.randn(layers, frames, units).cumsum(0)


def test_each_map_is_least_squares_with_a_penalty_on_all_frames_together():
    shards = [some_states(40, seed=k) for k in range(4)]
    lens = fit_tuned_lens(shards, penalty=0.1)
    every = torch.cat(shards, 1).double().numpy()
    for layer, fitted in enumerate(lens.maps):
        x, y = every[layer], every[-1]
        centred = x - x.mean(0)
        weight = 0.1 * centred.var(0).mean() * len(x)
        # Ridge is least squares with one more row a unit, of the root of the penalty.
        rows = np.concatenate([centred, np.sqrt(weight) * np.eye(5)])
        wanted = np.concatenate([y - y.mean(0), np.zeros((5, 5))])
        weights = np.linalg.lstsq(rows, wanted, rcond=None)[0]
        np.testing.assert_allclose(fitted.weights, weights, atol=1e-9)
        np.testing.assert_allclose(fitted(x).mean(0), y.mean(0), atol=1e-9)


def test_a_loud_layer_is_mapped_as_a_quiet_one():
    states = some_states()
    loud = states * torch.tensor([1000.0, 0.01, 1])[:, None, None]
    a, b = fit_tuned_lens([states])(states), fit_tuned_lens([loud])(loud)
    torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-4)


def test_the_last_layer_passes_bit_for_bit():
    states = some_states()
    assert torch.equal(fit_tuned_lens([states])(states)[-1], states[-1])


@pytest.fixture(scope="module")
def planted():
    """A recogniser, and lower "layers" that are its last one turned, with noise; test speech."""
    model = load_model("facebook/wav2vec2-base-960h")
    turns = [np.linalg.qr(rng.normal(size=(256, 256)))[0] for _ in range(3)]

    def plant(values):
        last = values[-1]
        noisy = last + 0.05 * last.std() * torch.randn(last.shape)
        return torch.stack([*(noisy @ torch.tensor(t).float() + 1 for t in turns), last])

    corpus = load_corpus("sentences")
    train = [u for u in corpus if u.split == "train" and u.speaker == "slt"][:12]
    test = [u for u in corpus if u.split == "test" and u.speaker == "awb"][:3]
    lens = fit_tuned_lens(plant(hidden_states(model, u.wave).values) for u in train)
    return model, plant, lens, test


def errors(model, test, through):
    return np.mean(
        [ctc_lens(model, u.wave, through=through).character_errors(u.text) for u in test], 0
    )


def test_a_planted_rotation_blinds_the_plain_lens_and_not_the_tuned_one(planted):
    model, plant, lens, test = planted
    plain = errors(model, test, plant)
    tuned = errors(model, test, lambda values: lens(plant(values)))
    assert plain[:-1].min() > 0.75  # reads nothing
    assert np.abs(tuned[:-1] - tuned[-1]).max() < 0.1 and tuned[-1] == plain[-1] < 0.4


def test_maps_of_other_layers_read_nothing(planted):
    model, plant, lens, test = planted
    shuffled = errors(model, test, lambda values: lens.shuffled()(plant(values)))
    assert shuffled[:-1].min() > 0.75 and shuffled[-1] < 0.4


def test_shuffling_leaves_no_map_in_its_place():
    maps = tuple(LinearMap(np.eye(2) * k, np.zeros(2)) for k in range(6))
    for seed in range(20):
        other = TunedLens(maps).shuffled(seed=seed).maps
        assert sorted(m.weights[0, 0] for m in other) == list(range(6))
        assert all(a is not b for a, b in zip(maps, other, strict=True))
    with pytest.raises(ValueError, match="1 maps, expected at least 2"):
        TunedLens(maps[:1]).shuffled()


def test_states_that_do_not_fit_are_refused():
    lens = fit_tuned_lens([some_states()])
    with pytest.raises(ValueError, match="states of 4 layers, expected 3"):
        lens(some_states(layers=4))
    with pytest.raises(ValueError, match="got none"):
        fit_tuned_lens([])
    with pytest.raises(ValueError, match="states of 1 layer, expected at least 2"):
        fit_tuned_lens([some_states(layers=1)])
    with pytest.raises(ValueError, match="nothing to fit"):
        fit_tuned_lens([torch.ones(2, 10, 3)])


def divergence(read, mapped, last):
    """The loss of `sharpen`, by scipy: the mean over frames for each layer."""
    with torch.no_grad():
        given, wanted = (read(x).softmax(-1).double().numpy() for x in (mapped, last))
    return np.array([entropy(wanted, layer, axis=-1).mean() for layer in given])


def test_steps_on_the_loss_find_the_code_that_least_squares_misses():
    """Planted: the head reads one quiet unit; a loud one that it does not read cannot be told."""
    head = torch.nn.Linear(3, 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[0.0, 0, 40], [0, 0, -40]]))
        head.bias.zero_()
    torch.manual_seed(0)

    def states(frames=200):
        last = torch.randn(frames, 3) * torch.tensor([10, 10, 0.1])
        first = torch.stack([last[:, 2] + 0.02 * torch.randn(frames), *torch.randn(2, frames)], 1)
        return torch.stack([first, last])

    training, held_out, test = ([states() for _ in range(n)] for n in (10, 3, 5))
    ridge = fit_tuned_lens(training, penalty=0.1)  # a heavy hand: the quiet unit is shrunk
    lens = sharpen(ridge, head, training, held_out, rounds=20, rate=0.01)
    before, after = (
        np.mean([divergence(head, x(v)[:-1], v[-1]) for v in test], 0) for x in (ridge, lens)
    )
    assert after[0] < before[0] / 2


def test_a_round_that_is_worse_on_held_out_speech_is_not_kept():
    head, states = torch.nn.Linear(5, 4), [some_states(50, seed=k) for k in range(4)]
    ridge = fit_tuned_lens(states)
    wild = sharpen(ridge, head, states[:2], states[2:], rounds=2, rate=100.0)
    for kept, fitted in zip(wild.maps, ridge.maps, strict=True):
        np.testing.assert_allclose(kept.weights, fitted.weights, atol=1e-6)
        np.testing.assert_allclose(kept.constant, fitted.constant, atol=1e-6)
    with pytest.raises(ValueError, match="4 training and 0 held-out utterances"):
        sharpen(ridge, head, states, [])
