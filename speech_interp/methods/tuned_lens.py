"""The tuned lens: an affine map for each layer, so that the head can read what it holds.

A plain lens takes for granted that every layer says things in the code of the last one. The tuned
lens [belrose2023tunedlens] first translates: for each layer the linear map, fitted on other speech,
that brings its states nearest to those of the last layer. Here by ridge regression from sums, so
no states need to be stored; then, if asked for, a few gradient steps on what the head says.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from speech_interp.statistics.linear import LinearMap, ridge
from speech_interp.statistics.moments import Moments


@dataclass(frozen=True, eq=False)
class TunedLens:
    """A map to the last layer's code for every layer below it; give it to a lens as `through`."""

    maps: tuple[LinearMap, ...]

    def __call__(
        self, values: Float[Tensor, "layer frame unit"]
    ) -> Float[Tensor, "layer frame unit"]:
        """Return the translated states; the last layer passes through as it is."""
        if len(values) != len(self.maps) + 1:
            raise ValueError(
                f"states of {len(values)} layers, expected {len(self.maps) + 1}: "
                "a tuned lens belongs to the model that it was fitted on"
            )
        below = values[:-1].double().cpu().numpy()
        read = np.stack([read(x) for read, x in zip(self.maps, below, strict=True)])
        return torch.cat([torch.from_numpy(read).to(values), values[-1:]])

    def shuffled(self, *, seed: int = 0) -> "TunedLens":
        """Return the control: each layer is read through the map of another one.

        Raises ValueError for fewer than two maps.
        """
        count = len(self.maps)
        if count < 2:
            raise ValueError(f"{count} maps, expected at least 2 to shuffle")
        order = np.random.default_rng(seed).permutation(count)
        other = dict(zip(order, np.roll(order, 1), strict=True))  # one circle: none stays in place
        return TunedLens(tuple(self.maps[other[layer]] for layer in range(count)))


def fit_tuned_lens(
    utterances: Iterable[Float[Tensor, "layer frame unit"]], *, penalty: float = 1e-3
) -> TunedLens:
    """Return the tuned lens fitted on the states of training utterances, one at a time.

    `penalty` weighs the squared weights beside the mean squared error, in units of the mean
    variance of a unit of that layer, so that it means the same in a loud layer and a quiet one.
    Fit on other speakers and sentences than those it will read. Raises ValueError for no
    utterances, for fewer than two layers, and for a layer that never varies.
    """
    sums: list[Moments] = []
    for values in utterances:
        if len(values) < 2:
            raise ValueError(f"states of {len(values)} layer, expected at least 2")
        sums = sums or [Moments() for _ in values[:-1]]
        states = values.double().cpu().numpy()
        for moments, layer in zip(sums, states[:-1], strict=True):
            moments.add([layer, states[-1]])
    if not sums:
        raise ValueError("utterances: got none, expected at least one")
    return TunedLens(tuple(_map(moments, penalty) for moments in sums))


def sharpen(
    lens: TunedLens,
    read: Callable[[Float[Tensor, "*batch unit"]], Float[Tensor, "*batch token"]],
    training: Sequence[Float[Tensor, "layer frame unit"]],
    held_out: Sequence[Float[Tensor, "layer frame unit"]],
    *,
    rounds: int = 10,
    rate: float = 1e-3,
) -> TunedLens:
    """Return the lens after gradient steps towards what the head says at the last layer.

    The loss is that of [belrose2023tunedlens], the Kullback-Leibler divergence of what `read` says
    of the mapped states from what it says of the last layer's, in nats, the mean over frames.
    `read` is the model's head, with the norm before it; it stays as it is. One Adam step an
    utterance of `training`; after each round the loss is measured on `held_out`, utterances that
    neither fit nor test the lens, and each layer keeps the map that was best there. Raises
    ValueError for no utterances in either.
    """
    if not training or not held_out:
        raise ValueError(
            f"{len(training)} training and {len(held_out)} held-out utterances, "
            "expected at least one of each"
        )
    like = held_out[0]
    weights = torch.from_numpy(np.stack([own.weights for own in lens.maps])).to(like)
    constants = torch.from_numpy(np.stack([own.constant for own in lens.maps])[:, None]).to(like)
    maps = (weights.requires_grad_(), constants.requires_grad_())
    optimiser = torch.optim.Adam(maps, lr=rate)
    best = [x.detach().clone() for x in maps]
    lowest = _mean_loss(maps, read, held_out)
    for _ in range(rounds):
        for values in training:
            loss = _losses(maps, read, values).sum()
            for x, gradient in zip(maps, torch.autograd.grad(loss, maps), strict=True):
                x.grad = gradient  # of the maps alone: the head keeps none
            optimiser.step()
        found = _mean_loss(maps, read, held_out)
        better = found < lowest
        lowest = torch.where(better, found, lowest)
        for kept, now in zip(best, maps, strict=True):
            kept[better] = now.detach()[better]
    arrays = [x.double().cpu().numpy() for x in best]
    return TunedLens(tuple(LinearMap(w, c[0]) for w, c in zip(*arrays, strict=True)))


def _losses(maps, read, values: Float[Tensor, "layer frame unit"]) -> Float[Tensor, " map"]:
    weights, constants = maps
    with torch.no_grad():
        wanted = read(values[-1]).log_softmax(-1)
    given = read(torch.baddbmm(constants, values[:-1], weights)).log_softmax(-1)
    return (wanted.exp() * (wanted - given)).sum(-1).mean(-1)


@torch.no_grad()
def _mean_loss(maps, read, utterances) -> Float[Tensor, " map"]:
    return torch.stack([_losses(maps, read, values) for values in utterances]).mean(0)


def _map(moments: Moments, penalty: float) -> LinearMap:
    variance = np.diag(moments.scatter(0)).mean() / moments.item_count
    if not variance:
        raise ValueError("a layer has the same states in all frames: nothing to fit")
    return ridge(moments, 0, 1, penalty=penalty * variance)
