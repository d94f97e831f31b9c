"""Neighbours, purity, trust: against slow loops, scikit-learn, closed forms and planted truths."""

import numpy as np
import pytest
from sklearn.manifold import trustworthiness as their_trustworthiness

from speech_interp.methods import neighbourhoods
from speech_interp.methods.neighbourhoods import (
    chance_purity,
    continuity,
    nearest,
    procrustes_agreement,
    purity,
    shared_neighbours,
    shuffled_purity,
    trustworthiness,
)

RNG = np.random.default_rng(0)
STATES = RNG.normal(size=(50, 6)) + 20  # far from the origin
SPEAKERS = np.repeat(list("abcde"), 10)
TEXTS = np.tile(np.arange(10), 5)


def slow_nearest(x, i, count, cosine=False, groups=()):
    """The neighbours of item i by a plain loop."""
    far = []
    for j in range(len(x)):
        if j == i or any(g[i] == g[j] for g in groups):
            continue
        if cosine:
            d = 1 - x[i] @ x[j] / np.linalg.norm(x[i]) / np.linalg.norm(x[j])
        else:
            d = np.linalg.norm(x[i] - x[j])
        far.append((d, j))
    return [j for _, j in sorted(far)[:count]]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("groups", [(), (SPEAKERS,), (SPEAKERS, TEXTS)])
def test_neighbours_equal_a_plain_loop(metric, groups, monkeypatch):
    monkeypatch.setattr(neighbourhoods, "BLOCK", 50 * 7)  # several blocks, the last one short
    found = nearest(STATES, count=5, metric=metric, apart=groups)
    for i in range(50):
        assert found[i].tolist() == slow_nearest(STATES, i, 5, metric == "cosine", groups)


def test_purity_finds_planted_clusters_and_nothing_in_noise():
    of = np.arange(50) % 5
    planted = STATES + 30 * np.eye(6)[of]
    by_item = purity([planted, STATES], of, count=4, apart=[SPEAKERS])
    assert by_item.shape == (2, 50)
    assert (by_item[0] == 1).all()
    noise = np.random.default_rng(1).normal(size=(1500, 5))
    labels = np.arange(1500) % 7
    assert purity([noise], labels)[0].mean() == pytest.approx(chance_purity(labels), abs=0.02)


def test_a_voice_makes_neighbours_look_pure_unless_they_are_of_others():
    """Each speaker says one kind of sound only: the neighbours share it because of the voice."""
    rng = np.random.default_rng(2)
    speakers = np.repeat(np.arange(10), 40)
    phones = speakers % 2
    x = rng.normal(size=(400, 10)) + 10 * np.eye(10)[speakers]
    assert purity([x], phones)[0].mean() > 0.99
    others = purity([x], phones, apart=[speakers])[0].mean()
    assert others == pytest.approx(4 / 9, abs=0.15)  # of nine other voices four say the same


def test_chance_counts_the_neighbours_that_are_allowed(monkeypatch):
    monkeypatch.setattr(neighbourhoods, "BLOCK", 50 * 7)
    labels = np.random.default_rng(5).integers(0, 3, 50)
    shares = []
    for i in range(50):
        allowed = [j for j in range(50) if SPEAKERS[j] != SPEAKERS[i] and TEXTS[j] != TEXTS[i]]
        shares.append(np.mean([labels[j] == labels[i] for j in allowed]))
    found = chance_purity(labels, apart=[SPEAKERS, TEXTS])
    assert found == pytest.approx(np.mean(shares)) and found != pytest.approx(chance_purity(labels))
    assert chance_purity(SPEAKERS, apart=[TEXTS]) == pytest.approx(1 / 5)  # of five voices
    assert chance_purity(SPEAKERS) == pytest.approx(9 / 49)
    with pytest.raises(ValueError, match="labels name 3 items, and some item has no others"):
        chance_purity(list("aab"), apart=[[1, 1, 1]])


def test_chance_is_the_mean_of_shuffled_labels():
    labels = np.array([0] * 25 + [1] * 15 + [2] * 10)
    near = nearest(STATES, count=5)
    draws = shuffled_purity(near, labels, shuffles=2000)
    assert draws.mean() == pytest.approx(chance_purity(labels), abs=4 * draws.std() / 2000**0.5)
    assert chance_purity(labels) == pytest.approx((25 * 24 + 15 * 14 + 10 * 9) / (50 * 49))


def test_labels_shuffled_within_groups_stay_there():
    """Where each group has one label, such shuffling changes nothing."""
    near = nearest(STATES, count=5)
    observed = (SPEAKERS[near] == SPEAKERS[:, None]).mean()
    np.testing.assert_allclose(shuffled_purity(near, SPEAKERS, within=SPEAKERS), observed)
    mixed = shuffled_purity(near, TEXTS, within=SPEAKERS, shuffles=5)
    assert len(set(mixed)) > 1


@pytest.mark.parametrize("count", [3, 8])
def test_trustworthiness_equals_that_of_scikit_learn(count):
    drawn = STATES[:, :2]
    ours = trustworthiness(STATES, drawn, count=count)
    assert ours == pytest.approx(their_trustworthiness(STATES, drawn, n_neighbors=count))
    other_way = their_trustworthiness(drawn, STATES, n_neighbors=count)
    assert continuity(STATES, drawn, count=count) == pytest.approx(other_way)


def test_a_torn_map_is_trusted_and_a_folded_one_is_continuous():
    """A ring cut open keeps no false neighbours; a square pressed flat invents some, loses few."""
    angle = np.linspace(0, 2 * np.pi, 80, endpoint=False)
    ring = np.c_[np.cos(angle), np.sin(angle)]
    torn = angle[:, None]
    assert trustworthiness(ring, torn, count=5) > continuity(ring, torn, count=5)
    square = np.random.default_rng(3).uniform(size=(300, 2))
    flat = square[:, :1]
    assert continuity(square, flat, count=5) > trustworthiness(square, flat, count=5)
    assert trustworthiness(square, square * 3 + 1, count=5) == 1


def test_maps_that_were_only_moved_agree_and_unrelated_ones_do_not():
    turn = np.linalg.qr(RNG.normal(size=(2, 2)))[0]
    one = RNG.normal(size=(200, 2))
    two = 3 * one @ turn * [1, 1] + 7
    assert procrustes_agreement(one, two) == pytest.approx(1)
    assert shared_neighbours(one, two) == 1
    other = np.random.default_rng(5).normal(size=(200, 2))
    assert procrustes_agreement(one, other) < 0.1
    assert shared_neighbours(one, other) == pytest.approx(10 / 199, abs=0.02)


def test_errors_name_what_came():
    with pytest.raises(ValueError, match="count is 50, expected 1 to 49"):
        nearest(STATES, count=50)
    with pytest.raises(ValueError, match="count is 37, expected 1 to 36"):
        nearest(STATES, count=37, apart=[SPEAKERS, TEXTS])
    with pytest.raises(ValueError, match="metric is 'taxi'"):
        nearest(STATES, metric="taxi")
    with pytest.raises(ValueError, match="item of zeros"):
        nearest(np.zeros((5, 2)), count=1, metric="cosine")
    with pytest.raises(ValueError, match="one has 50 items and two 40"):
        shared_neighbours(STATES, STATES[:40])
    with pytest.raises(ValueError, match="up to half of the 50 items"):
        trustworthiness(STATES, STATES[:, :2], count=30)
    with pytest.raises(ValueError, match="labels name 1 items"):
        chance_purity(["a"])
