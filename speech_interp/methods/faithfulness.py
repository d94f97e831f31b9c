"""Is an attribution true of the model? Remove what it names, keep what it names, and look."""

import copy
import itertools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from speech_interp.methods.games import Game
from speech_interp.states.hidden_states import encoder_layers, encoder_of


def deletion_curve(
    game: Game, attribution: Float[Tensor, " segment"], *, counts: Sequence[int] | None = None
) -> Float[Tensor, " removed"]:
    """Return the score as 0, 1, ..., all segments are removed, highest first: it should fall.

    `counts`: only after so many removals, which saves passes.
    """
    return game(1 - _growing(attribution, counts))


def insertion_curve(
    game: Game, attribution: Float[Tensor, " segment"], *, counts: Sequence[int] | None = None
) -> Float[Tensor, " added"]:
    """Return the score as 0, 1, ..., all segments are put in, highest first: it should rise."""
    return game(_growing(attribution, counts))


def random_curves(
    game: Game,
    *,
    orders: int = 10,
    insertion: bool = False,
    counts: Sequence[int] | None = None,
    seed: int = 0,
) -> Float[Tensor, "order step"]:
    """Return the same curves for random orders: what an attribution must beat."""
    draw = torch.Generator().manual_seed(seed)
    curve = insertion_curve if insertion else deletion_curve
    orders_drawn = [torch.rand(len(game.spans), generator=draw) for _ in range(orders)]
    return torch.stack([curve(game, order, counts=counts) for order in orders_drawn])


def planted_rank(attribution: Float[Tensor, " segment"], segments: Sequence, truth) -> float:
    """Return how often a segment inside the truth ranks above one outside: .5 by chance, at most 1.

    The area under the ROC curve; ties count half. A segment is inside if its middle is. Raises
    ValueError if the truth holds all segments, or none.
    """
    middle = [(s.start_s + s.end_s) / 2 for s in segments]
    inside = torch.tensor([truth.start_s <= t < truth.end_s for t in middle])
    if inside.all() or not inside.any():
        raise ValueError(f"truth holds {int(inside.sum())} of {len(segments)} segments")
    values = torch.as_tensor(attribution).cpu().double()
    above = values[inside][:, None] - values[~inside]
    return float(((above > 0).double() + 0.5 * (above == 0).double()).mean())


def comprehensiveness(
    game: Game, attribution: Float[Tensor, " segment"], *, share: float = 0.2
) -> float:
    """Return how far the score falls without the top `share` of the segments; high is faithful."""
    top = _top(attribution, share)
    whole, without = game(torch.stack([torch.ones_like(top), 1 - top]))
    return float(whole - without)


def sufficiency(game: Game, attribution: Float[Tensor, " segment"], *, share: float = 0.2) -> float:
    """Return how far the score falls with only the top `share` left; low is faithful."""
    top = _top(attribution, share)
    whole, only = game(torch.stack([torch.ones_like(top), top]))
    return float(whole - only)


def top_agreement(
    a: Float[Tensor, " position"], b: Float[Tensor, " position"], *, share: float = 0.2
) -> float:
    """Return the share of the top positions of `a` that are top in `b`; by chance: `share`."""
    top_a, top_b = _top(a, share), _top(b, share)
    return float((top_a * top_b).sum() / top_a.sum())


def mean_agreement(maps: Sequence[Float[Tensor, " position"]], *, share: float = 0.2) -> float:
    """Return `top_agreement`, mean over all pairs of maps: of heads trained from other seeds, say.

    Which map comes first does not matter: both top lists are equally long.
    """
    pairs = itertools.combinations(maps, 2)
    return sum(top_agreement(a, b, share=share) for a, b in pairs) / math.comb(len(maps), 2)


def chance_agreement(count: int, *, share: float = 0.2) -> float:
    """Return what `top_agreement` is for random maps: `share`, rounded to whole positions."""
    return _top_count(count, share) / count


def agreement_beyond_chance(
    maps: Sequence[Float[Tensor, " position"]], *, share: float = 0.2
) -> float:
    """Return `mean_agreement` on a scale where random maps have 0 and equal maps 1.

    Chance depends on the number of positions, so spans of time can be compared only on this scale.
    """
    chance = chance_agreement(len(maps[0]), share=share)
    return (mean_agreement(maps, share=share) - chance) / (1 - chance)


def randomised_from(model, twin, first: int):
    """Return a copy of the model with layers `first` and up as in its random-init `twin`.

    Going down from the top layer is the cascade of [adebayo2018sanity]; `first=0` takes the
    convolutions as well. A map that stays the same all the way down does not show the model.
    """
    changed = copy.deepcopy(model)
    if first == 0:
        encoder_of(changed).load_state_dict(encoder_of(twin).state_dict())
    for number, layer in enumerate(encoder_layers(changed), start=1):
        if number >= first:
            layer.load_state_dict(encoder_layers(twin)[number - 1].state_dict())
    return changed


def _top(attribution: Tensor, share: float) -> Tensor:
    """Return 1 on the highest `share` of positions, at least one of them."""
    count = _top_count(len(attribution), share)
    chosen = torch.zeros(len(attribution))
    chosen[attribution.argsort(descending=True, stable=True)[:count]] = 1
    return chosen


def _top_count(count: int, share: float) -> int:
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}, expected 0 < share <= 1")
    return max(1, math.floor(share * count + 0.5))


def _growing(
    attribution: Tensor, counts: Sequence[int] | None = None
) -> Float[Tensor, "step segment"]:
    """Return presences of the highest segments: 0, 1, ..., all of them, or so many as `counts`."""
    rank = attribution.argsort(descending=True, stable=True).argsort()
    steps = torch.arange(len(attribution) + 1) if counts is None else torch.tensor(list(counts))
    return (rank < steps[:, None]).float()
