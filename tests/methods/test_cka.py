"""Three spaces of different widths over the same 20 items, far from the origin."""

import numpy as np
import pytest
import torch
from reference_similarity import biased_cka, debiased_cka, debiased_cka_of_grams
from reference_similarity import rbf_gram as slow_rbf_gram

from speech_interp.methods.cka import (
    centre_gram,
    cka_matrix,
    cka_of_moments,
    gram_cka,
    linear_cka,
    rbf_cka,
    rbf_gram,
)
from speech_interp.methods.cka_uncertainty import bootstrap_interval, permutation_test
from speech_interp.statistics.moments import Moments


@pytest.fixture
def spaces():
    """Three spaces of different widths over the same 20 items, far from the origin."""
    rng = np.random.default_rng(1)
    shared = rng.normal(size=(20, 3))
    return [shared @ rng.normal(size=(3, d)) + rng.normal(size=(20, d)) + 30 for d in (2, 7, 40)]


def rotation(size, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]


def linked_spaces(rng, count, width):
    """Two spaces with linear CKA known for infinitely many items: y = x b + noise."""
    b = np.random.default_rng(5).normal(size=(width, width)) / np.sqrt(width)
    covariance_y = b.T @ b + np.eye(width)
    truth = np.linalg.norm(b) ** 2 / (np.sqrt(width) * np.linalg.norm(covariance_y))
    x = rng.normal(size=(count, width))
    return x, x @ b + rng.normal(size=(count, width)), truth


@pytest.mark.parametrize("form", ["gram", "feature", None])
def test_all_forms_equal_the_slow_definition(spaces, form):
    biased = cka_matrix(spaces, debiased=False, form=form)
    debiased = cka_matrix(spaces, form=form)
    for i, x in enumerate(spaces):
        for j, y in enumerate(spaces):
            assert biased[i, j] == pytest.approx(biased_cka(x, y), abs=1e-10)
            assert debiased[i, j] == pytest.approx(debiased_cka(x, y), abs=1e-8)


def test_gram_form_is_the_same_in_blocks(spaces, monkeypatch):
    whole = cka_matrix(spaces, form="gram")
    monkeypatch.setattr("speech_interp.methods.cka.GRAM_BLOCK_BYTES", 8 * 20 * 3 * 6)  # 6 rows
    np.testing.assert_allclose(cka_matrix(spaces, form="gram"), whole, atol=1e-12)


def test_two_families_give_the_off_diagonal_block(spaces):
    full = cka_matrix(spaces)
    np.testing.assert_allclose(cka_matrix(spaces[:2], spaces[1:]), full[:2, 1:], atol=1e-12)
    assert linear_cka(spaces[0], spaces[2]) == pytest.approx(full[0, 2])


def test_tensors_of_layers_are_accepted():
    states = torch.randn(4, 30, 8, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(cka_matrix(states), cka_matrix(states.double().numpy()), atol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_float32_spaces_agree_with_float64(scale):
    """Products in float32: more than one block of items, a huge mean, a dominant unit."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2500, 24)) + 100
    x[:, 0] *= 300
    y = np.tanh(x @ rng.normal(size=(24, 16)) / 100) + rng.normal(size=(2500, 16))
    single = [(z * scale).astype(np.float32) for z in (x, y)]
    double = [z.astype(np.float64) for z in single]
    for debiased in (True, False):
        got = cka_matrix(single, form="feature", debiased=debiased)
        np.testing.assert_allclose(got, cka_matrix(double, debiased=debiased), atol=1e-6)
        mixed = cka_matrix(single[:1], double[1:], form="feature", debiased=debiased)
        np.testing.assert_allclose(mixed, got[:1, 1:], atol=1e-6)


@pytest.mark.parametrize("bandwidth", [0.4, 1.0])
def test_rbf_equals_the_slow_definition(spaces, bandwidth):
    k, m = (slow_rbf_gram(x, bandwidth) for x in spaces[:2])
    expected = debiased_cka_of_grams(k, m)
    assert rbf_cka(*spaces[:2], bandwidth=bandwidth) == pytest.approx(expected, abs=1e-10)


def test_gram_matrices_of_any_kernel_in_one_call(spaces):
    grams = [x @ x.T for x in spaces]
    for debiased in (True, False):
        expected = cka_matrix(spaces, debiased=debiased)
        np.testing.assert_allclose(gram_cka(grams, debiased=debiased), expected, atol=1e-10)
        two = gram_cka(grams[:2], grams[1:], debiased=debiased)
        np.testing.assert_allclose(two, expected[:2, 1:], atol=1e-10)
    layers = gram_cka([rbf_gram(x) for x in spaces])
    assert layers[0, 2] == pytest.approx(rbf_cka(spaces[0], spaces[2]))


def test_rbf_with_a_wide_kernel_tends_to_linear(spaces):
    assert rbf_cka(*spaces[:2], bandwidth=100) == pytest.approx(linear_cka(*spaces[:2]), abs=1e-3)


def test_rbf_sees_what_linear_does_not():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 1))
    y = x**2 + 0.1 * rng.normal(size=(400, 1))  # dependent, uncorrelated
    assert linear_cka(x, y) < 0.05
    assert rbf_cka(x, y, bandwidth=0.5) > 0.3


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize("measure", [linear_cka, rbf_cka])
def test_invariance_to_rotation_and_scale_only(spaces, measure, debiased):
    x, y = spaces[1], spaces[2]
    value = measure(x, y, debiased=debiased)
    moved = -3 * x @ rotation(x.shape[1]) + 5
    assert measure(moved, y, debiased=debiased) == pytest.approx(value, abs=1e-9)
    assert measure(x, moved, debiased=debiased) == pytest.approx(1, abs=1e-9)
    stretched = x * np.array([10, 1, 1, 1, 1, 1, 1])
    assert abs(measure(stretched, y, debiased=debiased) - value) > 0.01


@pytest.mark.parametrize("items, units", [(40, 16), (100, 64), (100, 256), (300, 64)])
def test_null_curve(items, units):
    """Independent spaces: biased CKA is near d / (d + n), debiased CKA near 0."""
    rng = np.random.default_rng(0)
    pairs = [rng.normal(size=(2, items, units)) for _ in range(40)]
    biased = np.mean([linear_cka(*pair, debiased=False) for pair in pairs])
    debiased = np.array([linear_cka(*pair) for pair in pairs])
    assert biased == pytest.approx(units / (units + items), abs=0.03)
    assert abs(debiased.mean()) < 3 * debiased.std() / np.sqrt(40) + 1e-3


def test_debiased_estimate_is_centred_on_the_truth():
    rng = np.random.default_rng(2)
    draws = [linked_spaces(rng, 40, 10) for _ in range(150)]
    values = np.array([linear_cka(x, y) for x, y, _ in draws])
    biased = np.mean([linear_cka(x, y, debiased=False) for x, y, _ in draws])
    truth = draws[0][2]
    assert abs(values.mean() - truth) < 0.03
    assert biased - truth > 0.1


def test_centred_gram_has_no_row_means():
    gram = np.random.default_rng(0).normal(size=(9, 9))
    gram = gram + gram.T
    for debiased in (False, True):
        centred = centre_gram(gram, debiased=debiased)
        np.testing.assert_allclose(centred.sum(0), 0, atol=1e-12)
    assert np.all(np.diag(centred) == 0)


def test_errors_name_what_came(spaces):
    x = spaces[0]
    with pytest.raises(ValueError, match=r"unequal numbers of items.*20.*19"):
        linear_cka(x, spaces[1][:-1])
    with pytest.raises(ValueError, match=r"at least 4 items, got 3"):
        linear_cka(x[:3], x[:3])
    with pytest.raises(ValueError, match=r"ys\[0\] has zero variance"):
        linear_cka(x, np.ones((20, 3)))
    with pytest.raises(ValueError, match="zero variance: all its items are equally far apart"):
        linear_cka(x, np.eye(20))
    with pytest.raises(ValueError, match="not finite"):
        linear_cka(np.where(x > 30, np.nan, x), x)
    with pytest.raises(ValueError, match="form is 'kernel'"):
        cka_matrix(spaces, form="kernel")
    with pytest.raises(ValueError, match="space 1 has zero variance"):
        gram_cka([x @ x.T, np.eye(20)])
    with pytest.raises(ValueError, match="unequal numbers of items"):
        gram_cka([np.eye(5), np.eye(6)])
    with pytest.raises(ValueError, match="half of the items"):
        rbf_gram(np.r_[np.zeros((19, 1)), [[1.0]]])
    with pytest.raises(ValueError, match="half-sample one of the spaces has zero variance"):
        bootstrap_interval([np.repeat(np.eye(8)[:, :1], 5, axis=0)], groups=np.repeat(range(8), 5))
    with pytest.raises(ValueError, match="at least 4 items, got 3"):
        bootstrap_interval([x[:7]])
    with pytest.raises(ValueError, match="groups names 3 items"):
        bootstrap_interval([x], groups=[1, 2, 3])
    with pytest.raises(ValueError, match="at least 6"):
        bootstrap_interval([x], [x], groups=np.repeat([0, 1], 10))
    with pytest.raises(ValueError, match="zero variance: all its items are equally far apart"):
        permutation_test([np.eye(20)], x)
    with pytest.raises(ValueError, match="zero variance: all its items are equally far apart"):
        permutation_test([x], np.eye(20))
    with pytest.raises(ValueError, match="within names 3 items"):
        permutation_test([x], x, within=[1, 2, 3])
    sums = Moments()
    sums.add([x])
    other = Moments()
    other.add([spaces[1]])
    with pytest.raises(ValueError, match=r"expected \(2,\)"):
        sums.merge(other)
    with pytest.raises(ValueError, match=r"have \(1, 1\) units, expected \(2,\)"):
        sums.add([x[:, :1], x[:, 1:]])
    with pytest.raises(ValueError, match="at least 4 items, got 0"):
        cka_of_moments(Moments())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_states_of_half_precision_are_taken(dtype):
    half = torch.tensor(np.random.default_rng(0).normal(size=(2, 40, 6)), dtype=dtype)
    np.testing.assert_allclose(cka_matrix(half), cka_matrix(half.double().numpy()), atol=1e-6)
