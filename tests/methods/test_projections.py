"""Components, discriminants and shares against scikit-learn, plain definitions, planted truths."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from speech_interp.methods.projections import (
    BLOCK,
    component_shares,
    components_by_layer,
    coordinates,
    linear_discriminants,
    shares_by_layer,
    tsne,
    unique_shares,
    without_labels,
)
from speech_interp.statistics.moments import Moments

RNG = np.random.default_rng(0)
LAYERS = RNG.normal(size=(3, 60, 8)) * np.arange(1, 9) + 5
CLASSES = np.array(list("abc") * 20)


def test_components_equal_those_of_scikit_learn():
    for states, found in zip(LAYERS, components_by_layer(LAYERS), strict=True):
        theirs = PCA().fit(states)
        np.testing.assert_allclose(found.explained, theirs.explained_variance_ratio_, atol=1e-12)
        ours = np.abs(coordinates(found, states, count=8))
        np.testing.assert_allclose(ours, np.abs(theirs.transform(states)), atol=1e-8)


def test_components_rebuild_the_states():
    found = components_by_layer(LAYERS[:1])[0]
    rebuilt = coordinates(found, LAYERS[0], count=8) @ found.directions + found.mean
    np.testing.assert_allclose(rebuilt, LAYERS[0])


def test_streamed_components_equal_those_of_all_items():
    streams = [Moments() for _ in LAYERS]
    for start in range(0, 60, 17):
        for moments, states in zip(streams, LAYERS, strict=True):
            moments.add([states[start : start + 17]])
    for one, two in zip(components_by_layer(streams), components_by_layer(LAYERS), strict=True):
        np.testing.assert_allclose(one.variances, two.variances)
        np.testing.assert_allclose(one.directions, two.directions, atol=1e-9)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_float32_components_equal_a_float64_decomposition(offset):
    """Several blocks of float32, far from the origin: singular values of the same numbers."""
    rng = np.random.default_rng(6)
    states = rng.normal(size=(2 * BLOCK + 300, 12)) * np.geomspace(1, 0.05, 12) + offset
    states = states.astype(np.float32)
    exact = states.astype(np.float64)
    _, singular, directions = np.linalg.svd(exact - exact.mean(0), full_matrices=False)
    found, expected = components_by_layer([states])[0], singular**2 / (len(states) - 1)
    np.testing.assert_allclose(found.variances, expected, rtol=0, atol=1e-6 * expected[0])
    np.testing.assert_allclose(found.mean, exact.mean(0), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(np.abs((found.directions * directions).sum(1)), 1, atol=1e-6)


def test_participation_ratio_of_a_known_spectrum():
    """Variances 4, 4, 1, 1: (10)^2 / 34."""
    q = np.linalg.qr(np.c_[np.ones(40), RNG.normal(size=(40, 4))])[0][:, 1:]  # centred, orthogonal
    found = components_by_layer([q * np.array([2, 2, 1, 1])])[0]
    assert found.participation_ratio == pytest.approx(100 / 34)


def test_discriminants_equal_those_of_scikit_learn():
    x = LAYERS[0] + 3 * RNG.normal(size=(3, 8))[np.unique(CLASSES, return_inverse=True)[1]]
    moments = Moments()
    one_hot = (CLASSES[:, None] == np.unique(CLASSES)).astype(float)
    moments.add([x, one_hot])
    found = linear_discriminants(moments)
    theirs = LinearDiscriminantAnalysis(solver="eigen").fit(x, CLASSES)
    np.testing.assert_allclose(
        found.ratios / found.ratios.sum(), theirs.explained_variance_ratio_, atol=1e-9
    )
    for ours, other in zip(found(x).T, theirs.transform(x).T, strict=True):
        assert abs(np.corrcoef(ours, other)[0, 1]) == pytest.approx(1)
    spread = [np.var(found(x)[CLASSES == c], axis=0) for c in "abc"]
    np.testing.assert_allclose(np.mean(spread, axis=0), 1)


def test_discriminants_need_items_or_shrinkage():
    moments = Moments()
    moments.add([RNG.normal(size=(12, 20)), np.eye(3)[np.arange(12) % 3]])
    with pytest.raises(ValueError, match="no inverse: more items or shrinkage"):
        linear_discriminants(moments)
    assert linear_discriminants(moments, shrinkage=0.5).directions.shape == (2, 20)
    with pytest.raises(ValueError, match="shrinkage is 2"):
        linear_discriminants(moments, shrinkage=2)


def test_what_was_taken_out_is_gone_and_the_rest_stays():
    clock = RNG.normal(size=60)
    with_clock = LAYERS[0] + np.outer(clock, RNG.normal(size=8)) * 50
    left = without_labels(with_clock, clock[:, None])
    assert np.abs(np.corrcoef(clock, left.T)[0, 1:]).max() < 1e-9
    np.testing.assert_allclose(left, without_labels(LAYERS[0], clock[:, None]) + left.mean(0)
                               - LAYERS[0].mean(0), atol=1e-9)  # fmt: skip


def slow_share(score, names):
    """Adjusted share of variance between classes, from its definition, loop by loop."""
    total = sum((v - score.mean()) ** 2 for v in score)
    within = 0
    for name in set(names):
        own = score[names == name]
        within += sum((v - own.mean()) ** 2 for v in own)
    n, k = len(score), len(set(names))
    return 1 - (within / (n - k)) / (total / (n - 1))


def test_shares_equal_their_definition():
    scores, length = RNG.normal(size=(60, 3)), RNG.normal(size=60)
    scores[:, 1] += CLASSES == "a"
    scores[:, 2] += length
    found = component_shares(scores, {"phone": CLASSES, "length": length})
    for k in range(3):
        assert found["phone"][k] == pytest.approx(slow_share(scores[:, k], CLASSES))
        r = np.corrcoef(scores[:, k], length)[0, 1]
        assert found["length"][k] == pytest.approx(1 - (1 - r**2) * 59 / 58)


def test_labels_that_have_nothing_to_do_with_it_explain_nothing_on_average():
    """Thirty classes for 60 items would explain half of the variance without the correction."""
    rng, names = np.random.default_rng(1), np.arange(60) % 30
    found = component_shares(rng.normal(size=(60, 400)), {"none": names.astype(str)})["none"]
    assert abs(found.mean()) < 0.03


def test_unique_shares_leave_out_what_another_factor_stands_for():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 4000))
    scores = np.c_[a + b, a]
    twin = a + 1e-3 * rng.normal(size=4000)
    found = unique_shares(scores, {"a": a, "twin of a": twin, "b": b})
    np.testing.assert_allclose(found["b"], [0.5, 0], atol=0.03)
    np.testing.assert_allclose(found["a"], 0, atol=0.01)
    alone = component_shares(scores, {"a": a})["a"]
    np.testing.assert_allclose(alone, [0.5, 1], atol=0.03)


def test_shares_by_layer_know_the_planted_speaker():
    """Speaker on the first component of layer 1 and not of layer 0; halves agree."""
    rng = np.random.default_rng(3)
    speakers, texts = np.repeat(np.arange(8), 30).astype(str), np.tile(np.arange(30), 8)
    layers = rng.normal(size=(2, 240, 4)) * [4, 1, 1, 1]
    layers[1, :, 0] += 16 * np.repeat(np.arange(8), 30)
    found = components_by_layer(layers)
    groups = (speakers, texts)
    scores = shares_by_layer(found, layers, speakers, groups=groups)
    for layer in range(2):
        own = coordinates(found[layer], layers[layer], count=1)[:, 0]
        assert scores.score()[layer] == pytest.approx(slow_share(own, speakers))
    (low, high) = scores.interval()
    assert low[1] > 0.9 and low[0] < 0 < high[0] < 0.2
    both = shares_by_layer(found, layers, speakers, groups=groups, count=3)
    np.testing.assert_allclose(both.score()[:, 0], scores.score())
    gap = shares_by_layer(found, layers, rng.normal(size=240), groups=groups).minus(scores)
    assert gap.score()[1] < -0.7


def test_tsne_keeps_planted_clusters_apart():
    rng = np.random.default_rng(4)
    of = np.repeat(np.arange(3), 30)
    drawn = tsne(8 * rng.normal(size=(3, 20))[of] + rng.normal(size=(90, 20)), perplexity=10)
    assert drawn.shape == (90, 2)
    means = np.stack([drawn[of == k].mean(0) for k in range(3)])
    assert (np.square(drawn[:, None] - means).sum(2).argmin(1) == of).all()


def test_errors_name_what_came():
    found = components_by_layer(LAYERS[:1])[0]
    with pytest.raises(ValueError, match="count is 9, expected 1 to 8"):
        coordinates(found, LAYERS[0], count=9)
    with pytest.raises(ValueError, match="have 1 items, expected at least 2"):
        components_by_layer(LAYERS[:1, :1])
    with pytest.raises(ValueError, match="perplexity is 60"):
        tsne(LAYERS[0], perplexity=60)
    with pytest.raises(ValueError, match="'phone' has 3 items, scores have 60"):
        component_shares(LAYERS[0], {"phone": ["a", "b", "c"]})
    with pytest.raises(ValueError, match="'phone' is the same for all items"):
        component_shares(LAYERS[0], {"phone": ["a"] * 60})
    with pytest.raises(ValueError, match="grouping 0 has 3 groups"):
        shares_by_layer([found], LAYERS[:1], CLASSES, groups=(CLASSES,))
