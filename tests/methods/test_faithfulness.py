"""Faithfulness: known curves, the true order against random ones, cascades of random weights."""

import numpy as np
import pytest
import torch
from known_games import ADDITIVE, additive, table_game
from sklearn.metrics import roc_auc_score
from tiny import tiny_model

from speech_interp.methods import faithfulness
from speech_interp.methods.games import windows
from speech_interp.speech.corpus import Interval
from speech_interp.states.hidden_states import encoder_layers, encoder_of


def test_curves_of_an_additive_game_are_known():
    game = table_game(additive, 5)
    deleted = faithfulness.deletion_curve(game, ADDITIVE)
    torch.testing.assert_close(deleted, torch.tensor([8.5, 5.5, 3.5, 3.0, 3.0, 4.0]))
    inserted = faithfulness.insertion_curve(game, ADDITIVE)
    torch.testing.assert_close(inserted, torch.tensor([4.0, 7.0, 9.0, 9.5, 9.5, 8.5]))
    assert faithfulness.comprehensiveness(game, ADDITIVE, share=0.4) == pytest.approx(5.0)
    assert faithfulness.sufficiency(game, ADDITIVE, share=0.4) == pytest.approx(-0.5)


def test_the_true_order_beats_random_orders():
    game = table_game(additive, 5)
    random = faithfulness.random_curves(game, orders=40)
    assert random.shape == (40, 6)
    assert faithfulness.deletion_curve(game, ADDITIVE).mean() <= random.mean(1).min()
    inserted = faithfulness.random_curves(game, orders=40, insertion=True)
    assert faithfulness.insertion_curve(game, ADDITIVE).mean() >= inserted.mean(1).max()
    assert len({tuple(row.tolist()) for row in random}) > 5


def test_agreement_of_random_maps_is_the_share():
    torch.manual_seed(0)
    agreements = [faithfulness.top_agreement(torch.rand(100), torch.rand(100)) for _ in range(300)]
    assert np.mean(agreements) == pytest.approx(0.2, abs=0.02)
    values = torch.rand(100)
    assert faithfulness.top_agreement(values, 3 * values) == 1
    with pytest.raises(ValueError, match="share is 0"):
        faithfulness.top_agreement(values, values, share=0)


def test_agreement_of_several_maps_is_the_mean_of_all_pairs():
    a, b = torch.arange(10.0), torch.arange(10.0).flip(0)
    assert faithfulness.mean_agreement([a, a, b]) == pytest.approx(1 / 3)
    for count in (3, 16, 79):
        torch.manual_seed(count)
        maps = torch.rand(60, count)
        chance = faithfulness.chance_agreement(count)
        assert faithfulness.mean_agreement(list(maps)) == pytest.approx(chance, abs=0.03)


def test_the_cascade_takes_layers_of_the_twin_from_the_top():
    model, twin = tiny_model("wav2vec2", seed=0), tiny_model("wav2vec2", seed=1)
    for first in (4, 3, 2, 1, 0):
        changed = faithfulness.randomised_from(model, twin, first)
        for number in (1, 2, 3):
            source = twin if number >= first else model
            new, old = (encoder_layers(m)[number - 1].state_dict() for m in (changed, source))
            assert all(torch.equal(new[key], old[key]) for key in old)
        front = encoder_of(changed).feature_extractor.state_dict()
        expected = encoder_of(twin if first == 0 else model).feature_extractor.state_dict()
        assert all(torch.equal(front[key], expected[key]) for key in expected)
    fresh = tiny_model("wav2vec2", seed=0)
    for a, b in zip(model.module.parameters(), fresh.module.parameters(), strict=True):
        assert torch.equal(a, b), "the model itself stays as it is"


def test_curves_after_some_removals_are_points_of_the_whole_curve():
    game = table_game(additive, 5)
    for curve in (faithfulness.deletion_curve, faithfulness.insertion_curve):
        some = curve(game, ADDITIVE, counts=[0, 2, 4])
        torch.testing.assert_close(some, curve(game, ADDITIVE)[::2])
    some = faithfulness.random_curves(game, orders=3, counts=[1, 3])
    torch.testing.assert_close(some, faithfulness.random_curves(game, orders=3)[:, [1, 3]])


def test_the_planted_rank_is_the_area_under_the_curve():
    segments, rng = windows(1.0, 0.1), np.random.default_rng(0)
    values = torch.tensor(rng.normal(size=10).round(1))
    truth = segments[3]
    inside = [k == 3 for k in range(10)]
    expected = roc_auc_score(inside, values)
    assert faithfulness.planted_rank(values, segments, truth) == pytest.approx(expected)
    assert faithfulness.planted_rank(torch.ones(10), segments, truth) == 0.5
    with pytest.raises(ValueError, match="truth holds 0 of 10 segments"):
        faithfulness.planted_rank(values, segments, Interval("", 2.0, 3.0))


def test_agreement_beyond_chance_has_its_zero_at_random_maps():
    rng = np.random.default_rng(0)
    for count in (3, 16, 400):  # one of three, three of sixteen, eighty of 400 are the top
        pairs = [torch.tensor(rng.normal(size=(2, count))) for _ in range(400)]
        found = np.mean([faithfulness.agreement_beyond_chance(list(p)) for p in pairs])
        assert abs(found) < 0.08
        assert faithfulness.agreement_beyond_chance([pairs[0][0]] * 3) == pytest.approx(1)
