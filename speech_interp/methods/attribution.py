"""Attribution: how much of a score does each part of the sound explain?

Gradient methods go through the model and give one number for each input value. Perturbation methods
see only a *game*: segments of the sound stay or are replaced, and the score changes. Captum does
the computing [kokhlikyan2020captum]; what is explained, a score, comes from `states.scores`.
"""

import math
from collections.abc import Sequence
from contextlib import contextmanager

import captum.attr
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from speech_interp.methods.games import Game, Score, Span

# Gradients: maps of the shape of the input: (1, sample), (1, channel, frame) or (1, bin, frame)


def saliency(score: Score, inputs: Float[Tensor, "1 ..."]) -> Float[Tensor, "1 ..."]:
    """Return |d score / d input| [simonyan2014deep]."""
    return captum.attr.Saliency(score).attribute(_leaf(inputs))


def input_x_gradient(score: Score, inputs: Float[Tensor, "1 ..."]) -> Float[Tensor, "1 ..."]:
    """Return input times gradient: exact for a linear score without constant."""
    return captum.attr.InputXGradient(score).attribute(_leaf(inputs)).detach()


def integrated_gradients(
    score: Score,
    inputs: Float[Tensor, "1 ..."],
    *,
    baseline: Float[Tensor, "1 ..."] | float = 0.0,
    steps: int = 32,
    at_once: int = 4,
) -> tuple[Float[Tensor, "1 ..."], float]:
    """Return the map and its completeness gap [sundararajan2017axiomatic].

    The gap is |sum of the map - (score(input) - score(baseline))|, in units of the score. If it is
    not small beside that difference, take more `steps`, or another `baseline`: models that
    normalise loudness score the same all the way to silence, and jump there.
    """
    method = captum.attr.IntegratedGradients(score)
    explained, gap = method.attribute(
        inputs.detach(),
        baselines=baseline,
        n_steps=steps,
        internal_batch_size=at_once,
        return_convergence_delta=True,
    )
    return explained.detach().float(), abs(float(gap))


def smooth_grad(
    score: Score,
    inputs: Float[Tensor, "1 ..."],
    *,
    samples: int = 16,
    noise: float = 0.1,
    at_once: int = 4,
    seed: int = 0,
) -> Float[Tensor, "1 ..."]:
    """Return the mean gradient under Gaussian noise, its absolute value [smilkov2017smoothgrad].

    `noise` is a fraction of the standard deviation of the input.
    """
    method = captum.attr.NoiseTunnel(captum.attr.Saliency(score))
    with _seeded(seed):
        explained = method.attribute(
            _leaf(inputs),
            nt_type="smoothgrad",
            nt_samples=samples,
            nt_samples_batch_size=at_once,
            stdevs=noise * float(inputs.std()),
            abs=False,
        )
    return explained.abs()


# Games: methods that see only which segments are there


def leave_one_out(game: Game, *, progress: bool = False) -> Float[Tensor, " segment"]:
    """Return how far the score falls without each segment [pastor-etal-2024-explaining].

    Over fixed windows this is occlusion.
    """
    return _explain(game, captum.attr.FeatureAblation, progress, seed=0)


def shapley_sampling(
    game: Game, *, orders: int = 25, seed: int = 0, progress: bool = False
) -> Float[Tensor, " segment"]:
    """Return Shapley values from random orders; they sum to score(all) - score(none) exactly."""
    return _explain(game, captum.attr.ShapleyValueSampling, progress, seed, n_samples=orders)


def shapley_exact(game: Game) -> Float[Tensor, " segment"]:
    """Return Shapley values from all 2^n coalitions of n segments, at most 12.

    A segment's value is its mean gain over all orders in which segments can come in.
    """
    count = len(game.spans)
    if count > 12:
        raise ValueError(f"game has {count} segments, expected at most 12: use shapley_sampling")
    every = torch.arange(2**count)[:, None] >> torch.arange(count) & 1  # (coalition, segment)
    worth, values = game(every.float()), []
    for segment in range(count):
        without = (every[:, segment] == 0).nonzero()[:, 0]
        weight = [1 / (count * math.comb(count - 1, n)) for n in every[without].sum(1).tolist()]
        gain = worth[without + 2**segment] - worth[without]
        values.append((torch.tensor(weight) * gain).sum())
    return torch.stack(values)


def kernel_shap(
    game: Game, *, coalitions: int = 100, seed: int = 0, progress: bool = False
) -> Float[Tensor, " segment"]:
    """Return Shapley values from a weighted regression over coalitions [lundberg2017shap]."""
    return _explain(game, captum.attr.KernelShap, progress, seed, n_samples=coalitions)


def lime(
    game: Game, *, coalitions: int = 100, seed: int = 0, progress: bool = False
) -> Float[Tensor, " segment"]:
    """Return the weights of a sparse linear fit to nearby coalitions [ribeiro2016lime]."""
    return _explain(game, captum.attr.Lime, progress, seed, n_samples=coalitions)


# From samples to segments


def pool_samples(
    explained: Float[Tensor, " sample"], spans: Sequence[Span]
) -> tuple[Float[Tensor, " segment"], float]:
    """Return the sum of a map over each segment, and over what is in none: nothing is lost."""
    sums = torch.stack([explained[start:stop].sum() for start, stop in spans])
    return sums, float(explained.sum() - sums.sum())


def keep_segments(
    explained: Float[Tensor, " sample"], spans: Sequence[Span], *, count: int
) -> Float[Tensor, " sample"]:
    """Return 1 on the `count` segments of most positive mass, 0 elsewhere.

    With phones as segments: phoneme-discretised saliency [guptaPhonemeDiscretizedSaliency2024].
    """
    mass, _ = pool_samples(explained.clamp_min(0), spans)
    mask = torch.zeros_like(explained)
    for segment in mass.argsort(descending=True)[:count].tolist():
        start, stop = spans[segment]
        mask[start:stop] = 1
    return mask


def _explain(game: Game, method: type, progress: bool, seed: int, **options) -> Tensor:
    """Return a Captum perturbation method over presences: absent everywhere is its baseline."""
    present = game.all_present
    with _seeded(seed), torch.no_grad():
        explained = method(game).attribute(
            present,
            baselines=torch.zeros_like(present),
            perturbations_per_eval=game.at_once,
            show_progress=progress,
            **options,
        )
    return explained[0].detach().float()


def _leaf(inputs: Tensor) -> Tensor:
    return inputs.detach().clone().requires_grad_()


@contextmanager
def _seeded(seed: int):
    """Draw from torch's and numpy's generators with a seed, and leave both as they were."""
    state = np.random.get_state()  # noqa: NPY002 (Captum draws from the global generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002
