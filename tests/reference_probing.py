"""Slow, obvious probes and scores in plain loops, independent of the package."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp


def standardised(train, test):
    mean, std = train.mean(0), train.std(0)
    std = np.where(std == 0, 1, std)
    return (train - mean) / std, (test - mean) / std


def logistic_chances(train, labels, test, penalty):
    """Softmax regression from its definition: mean loss + penalty/2 |w|^2, BFGS in float64."""
    train, test = standardised(np.float64(train), np.float64(test))
    classes = np.unique(labels)
    wanted = (labels[:, None] == classes).astype(float)
    shape = (train.shape[1] + 1, len(classes))

    def loss(flat):
        weights = flat.reshape(shape)
        scores = train @ weights[1:] + weights[0]
        excess = scores - logsumexp(scores, axis=1, keepdims=True)
        error = (np.exp(excess) - wanted) / len(train)
        slope = np.vstack([error.sum(0), train.T @ error + penalty * weights[1:]])
        value = -(wanted * excess).sum() / len(train) + penalty / 2 * (weights[1:] ** 2).sum()
        return value, slope.ravel()

    found = minimize(loss, np.zeros(np.prod(shape)), jac=True, method="BFGS", tol=1e-7)
    weights = found.x.reshape(shape)
    scores = test @ weights[1:] + weights[0]
    return classes, np.exp(scores - logsumexp(scores, axis=1, keepdims=True))


def logistic(train, labels, test, penalty):
    classes, chances = logistic_chances(train, labels, test, penalty)
    return classes[chances.argmax(1)]


def ridge(train, targets, test, penalty):
    """Normal equations: (X'X + penalty n I) w = X'(t - mean t)."""
    train, test = standardised(np.float64(train), np.float64(test))
    mean = targets.mean(0)
    left = train.T @ train + penalty * len(train) * np.eye(train.shape[1])
    return mean + test @ np.linalg.solve(left, train.T @ (targets - mean))


def out_of_fold(predict, x, y, folds, penalty):
    guess = np.empty_like(y)
    for train, test in folds:
        guess[test] = predict(x[train], y[train], x[test], penalty)
    return guess


def macro_f1(truth, guess):
    scores = []
    for label in np.unique(truth):
        hit = sum((t == label) and (g == label) for t, g in zip(truth, guess, strict=True))
        precision = hit / max(1, sum(guess == label))
        recall = hit / sum(truth == label)
        scores.append(2 * precision * recall / (precision + recall) if hit else 0.0)
    return np.mean(scores)


def online_bits(x, codes, order, sizes, penalty, slip):
    """Codelength, label by label."""
    class_count = codes.max() + 1
    bits = 0.0
    for place, item in enumerate(order):
        if place < sizes[0]:
            bits += np.log2(class_count)
            continue
        seen = order[: max(size for size in sizes if size <= place)]
        classes, chances = logistic_chances(x[seen], codes[seen], x[[item]], penalty)
        chance = dict(zip(classes, chances[0], strict=True)).get(codes[item], 0.0)
        bits -= np.log2((1 - slip) * chance + slip / class_count)
    return bits
