"""ABX by its definition: loops over triples, a table of dictionaries; imports nothing of ours."""

import math
from collections import defaultdict


def angle(u, v):
    dot = sum(a * b for a, b in zip(u, v, strict=True))
    length = math.sqrt(sum(a * a for a in u) * sum(b * b for b in v))
    return math.acos(max(-1, min(1, dot / length))) / math.pi


def euclid(u, v):
    return math.dist(u, v)


def warped(x, y, distance):
    """Mean distance along the path of least total distance; of equal ones the shortest."""
    best = {}
    for i in range(len(x)):
        for j in range(len(y)):
            before = [best[p] for p in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if p in best]
            total, steps = min(before, default=(0.0, 0))
            best[i, j] = (total + distance(x[i], y[j]), steps + 1)
    total, steps = best[len(x) - 1, len(y) - 1]
    return total / steps


def cells(rows, distance, on, by=(), across=()):
    """{(a, b, by values, side of A and B, side of X): (error, triples)}; `rows`: (item, labels)."""
    wrong = defaultdict(list)
    for nx, (x, lx) in enumerate(rows):
        for na, (a, la) in enumerate(rows):
            if nx == na or lx[on] != la[on] or any(lx[n] != la[n] for n in by):
                continue
            if any(lx[n] == la[n] for n in across):
                continue
            for b, lb in rows:
                if lb[on] == lx[on] or any(lb[n] != la[n] for n in (*by, *across)):
                    continue
                sides = ((la, by), (la, across), (lx, across))
                key = (la[on], lb[on], *(tuple(of[n] for n in names) for of, names in sides))
                to_a, to_b = distance(x, a), distance(x, b)
                wrong[key].append(0.5 if to_a == to_b else float(to_a > to_b))
    return {key: (sum(w) / len(w), len(w)) for key, w in wrong.items()}


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def zerospeech(found):
    """Cells BY (before, after, speaker): over contexts, over speakers, over pairs."""
    by_speaker, by_pair = defaultdict(list), defaultdict(list)
    for (a, b, (_, _, speaker), _, _), (error, _) in found.items():
        by_speaker[a, b, speaker].append(error)
    for (a, b, _), errors in by_speaker.items():
        by_pair[a, b].append(mean(errors))
    return mean(map(mean, by_pair.values()))
