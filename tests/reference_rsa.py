"""RSA in plain loops: slow, obvious, and independent of the package."""

import math

import numpy as np


def distance(a, b, kind):
    if kind == "euclidean":
        return math.sqrt(sum((p - q) ** 2 for p, q in zip(a, b, strict=True)))
    if kind == "pearson":
        a, b = a - sum(a) / len(a), b - sum(b) / len(b)
    product = sum(p * q for p, q in zip(a, b, strict=True))
    return 1 - product / math.sqrt(sum(p * p for p in a) * sum(q * q for q in b))


def rdm(x, kind):
    n = len(x)
    return np.array([distance(x[i], x[j], kind) for i in range(n) for j in range(i + 1, n)])


def crossvalidated(x, conditions, folds):
    """Squared distances: the difference in one fold times that in another, for all such pairs."""
    names, parts = sorted(set(conditions)), sorted(set(folds))

    def mean(c, f):
        own = [x[k] for k in range(len(x)) if conditions[k] == c and folds[k] == f]
        return sum(own) / len(own)

    values = []
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            products = [
                ((mean(a, f) - mean(b, f)) * (mean(a, g) - mean(b, g))).mean()
                for f in parts
                for g in parts
                if f != g
            ]
            values.append(sum(products) / len(products))
    return np.array(values)


def rank(values):
    return [sum(w < v for w in values) + (1 + sum(w == v for w in values)) / 2 for v in values]


def cosine(x, y):
    norms = sum(p * p for p in x) * sum(q * q for q in y)
    return sum(p * q for p, q in zip(x, y, strict=True)) / math.sqrt(norms)


def centre(x):
    return np.asarray(x) - sum(x) / len(x)


def pairs_covariance(n):
    """How squared distances vary together when every item has noise of its own."""
    pairs = [{i, j} for i in range(n) for j in range(i + 1, n)]
    return np.array([[{2: 4, 1: 1, 0: 0}[len(p & q)] for q in pairs] for p in pairs], float)


def whitened(x, y, n):
    inverse = np.linalg.inv(pairs_covariance(n))
    return (x @ inverse @ y) / math.sqrt((x @ inverse @ x) * (y @ inverse @ y))


def tau_a(x, y):
    count, total = 0, 0
    for i in range(len(x)):
        for j in range(i):
            total += np.sign(x[i] - x[j]) * np.sign(y[i] - y[j])
            count += 1
    return total / count


def compare(x, y, kind, n):
    return {
        "spearman": lambda: cosine(centre(rank(x)), centre(rank(y))),
        "pearson": lambda: cosine(centre(x), centre(y)),
        "cosine": lambda: cosine(x, y),
        "whitened cosine": lambda: whitened(x, y, n),
        "whitened pearson": lambda: whitened(centre(x), centre(y), n),
        "kendall": lambda: tau_a(x, y),
    }[kind]()
