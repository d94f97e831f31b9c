"""Maps of heads that do what was planted."""

import torch

LABELS = list("aabbbacccabbcca")


def planted_maps(labels=LABELS):
    """Heads that copy the neighbour, look at one frame, at the same phone elsewhere, everywhere."""
    n = len(labels)
    maps = torch.zeros(4, n, n)
    for q in range(n):
        maps[0, q, min(q + 1, n - 1)] = 1
        maps[1, q, 4] = 1
        run = own_run(labels, q)
        same = [k for k in range(n) if labels[k] == labels[q] and k not in run]
        maps[2, q, same] = 1 / len(same)
        maps[3, q] = 1 / n
    return maps


def own_run(labels, q):
    first = last = q
    while first > 0 and labels[first - 1] == labels[q]:
        first -= 1
    while last + 1 < len(labels) and labels[last + 1] == labels[q]:
        last += 1
    return set(range(first, last + 1))
