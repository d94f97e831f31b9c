"""Games of which the truth is known, and the methods that are asked about them."""

import itertools

import numpy as np
import torch

from speech_interp.methods import attribution
from speech_interp.methods.games import Game

METHODS = [
    attribution.leave_one_out,
    attribution.shapley_sampling,
    attribution.kernel_shap,
    attribution.lime,
]


def table_game(worth, count):
    """Return a game over `count` one-sample segments, scored by `worth(set of present ones)`."""

    def score(waves):
        present = [tuple(np.flatnonzero(w > 0.5)) for w in waves.numpy()]
        return torch.tensor([float(worth(set(map(int, p)))) for p in present])

    spans = tuple((k, k + 1) for k in range(count))
    return Game(score, torch.ones(count), spans, torch.zeros(count), at_once=3)


def exact_shapley(worth, count):
    """Return Shapley values by going through every order of the players."""
    values = np.zeros(count)
    orders = list(itertools.permutations(range(count)))
    for order in orders:
        present = set()
        for player in order:
            before = worth(present)
            present = present | {player}
            values[player] += worth(present) - before
    return torch.tensor(values / len(orders), dtype=torch.float32)


def glove_game(present):
    """One left glove (0), two right ones (1, 2): a pair is worth 6. Plus 1 for player 3 alone."""
    return 6.0 * (0 in present and bool(present & {1, 2})) + (3 in present)


ADDITIVE = torch.tensor([3.0, -1.0, 0.5, 2.0, 0.0])


def additive(present):
    return 4.0 + sum(float(ADDITIVE[k]) for k in present)
