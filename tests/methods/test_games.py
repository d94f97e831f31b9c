"""Games: what stays, what is replaced, and that nothing is computed twice."""

import itertools

import numpy as np
import pytest
import torch
from known_games import METHODS, glove_game, table_game

from speech_interp.methods import attribution, faithfulness, games
from speech_interp.methods.games import Game, Window


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


def test_a_game_replaces_exactly_the_absent_segments():
    wave = np.random.default_rng(0).normal(size=16_000).astype(np.float32)
    segments = [Window("a", 0.1, 0.2), Window("b", 0.5, 0.75)]
    heard = []

    def score(waves):
        heard.append(waves)
        return waves.sum(1)

    game = games.make_game(score, wave, segments, replacement="noise", seed=4)
    game(torch.tensor([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0]]))
    whole, without_a, without_b = torch.cat(heard).numpy()
    assert (whole == wave).all()
    fill = games.replace(wave, "noise", seed=4)
    expected = wave.copy()
    expected[1600:3200] = fill[1600:3200]
    assert (without_a == expected).all()
    assert (without_b[8000:12000] == fill[8000:12000]).all()
    assert (without_b[:8000] == wave[:8000]).all() and (without_b[12000:] == wave[12000:]).all()


def test_replacements_are_what_they_are_called():
    wave = (0.1 + np.sin(np.arange(16_000) * 0.3)).astype(np.float32)
    assert not games.replace(wave, "silence").any()
    np.testing.assert_allclose(games.replace(wave, "mean"), wave.mean(), rtol=1e-6)
    assert games.replace(wave, "noise").std() == pytest.approx(wave.std(), rel=0.05)
    shaped = games.replace(wave, "shaped noise")
    spectra = [np.abs(np.fft.rfft(w))[1:-1] for w in (wave, shaped)]
    np.testing.assert_allclose(*spectra, rtol=1e-2, atol=1.0)
    assert abs(np.corrcoef(wave, shaped)[0, 1]) < 0.9
    with pytest.raises(ValueError, match="replacement is 'quiet', expected one of"):
        games.replace(wave, "quiet")


def test_noise_like_a_sound_has_its_loudness_and_is_seeded():
    x = torch.tensor(noise())[None]
    quiet = games.noise_like(x)
    assert quiet.shape == x.shape and float(quiet.std()) == pytest.approx(float(x.std()), rel=0.05)
    assert torch.equal(quiet, games.noise_like(x))
    assert not torch.equal(quiet, games.noise_like(x, seed=1))


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
        games.make_game(lambda w: w.sum(1), np.zeros(16_000, np.float32), segments)


def test_windows_cover_the_sound_without_gap_or_overlap():
    parts = games.windows(1.03, 0.1)
    assert parts[0].start_s == 0 and parts[-1].end_s == 1.03
    assert all(a.end_s == b.start_s for a, b in itertools.pairwise(parts))
    assert all(p.end_s - p.start_s > 0.04 for p in parts)


def test_a_sound_shorter_than_half_a_window_is_one_window():
    (part,) = games.windows(0.04, 0.1)
    assert (part.start_s, part.end_s) == (0, 0.04)


def test_a_game_over_a_wave_of_float64_gives_the_same_scores():
    wave = np.random.default_rng(0).normal(size=1600)
    both = [
        games.make_game(lambda w: w.sum(1), x, games.windows(0.1, 0.02))(
            torch.tensor([[1.0, 0, 1, 0, 0], [0, 0, 0, 0, 0]])
        )
        for x in (wave, wave.astype(np.float32))
    ]
    torch.testing.assert_close(*both)


def noise(seed=0, count=8000):
    return np.random.default_rng(seed).normal(0.1, 0.3, count).astype(np.float32)
