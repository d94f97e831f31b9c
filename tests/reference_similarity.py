"""Slow, obvious CKA in plain loops, independent of the package."""

import numpy as np


def biased_cka(x, y):
    """Linear CKA from the definition: tr(KHLH) with the n x n matrices written out."""
    n = len(x)
    h = np.eye(n) - np.full((n, n), 1 / n)

    def hsic(a, b):
        return np.trace((a @ a.T) @ h @ (b @ b.T) @ h) / (n - 1) ** 2

    return hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))


def hsic_debiased(k, m):
    """HSIC_1 of two Gram matrices, term by term, in loops over items."""
    n = len(k)
    trace = sum(k[i, j] * m[j, i] for i in range(n) for j in range(n) if i != j)
    total_k = sum(k[i, j] for i in range(n) for j in range(n) if i != j)
    total_m = sum(m[i, j] for i in range(n) for j in range(n) if i != j)
    paths = sum(
        k[i, j] * m[j, q] for i in range(n) for j in range(n) for q in range(n) if i != j and j != q
    )
    value = trace + total_k * total_m / ((n - 1) * (n - 2)) - 2 / (n - 2) * paths
    return value / (n * (n - 3))


def debiased_cka_of_grams(k, m):
    return hsic_debiased(k, m) / np.sqrt(hsic_debiased(k, k) * hsic_debiased(m, m))


def debiased_cka(x, y):
    return debiased_cka_of_grams(x @ x.T, y @ y.T)


def rbf_gram(x, bandwidth):
    """exp(-d^2 / (2 bandwidth^2 median(d^2))), the median over all n x n squared distances."""
    n = len(x)
    square = np.array([[sum((x[i] - x[j]) ** 2) for j in range(n)] for i in range(n)])
    return np.exp(-square / (2 * bandwidth**2 * np.median(square)))
