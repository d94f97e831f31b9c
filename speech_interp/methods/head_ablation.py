"""Does it matter where heads look? What a score loses when heads are taken away, with controls."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import nn

from speech_interp.methods.attention_edits import Head
from speech_interp.speech.corpus import Utterance
from speech_interp.statistics.layer_scores import LayerScores


def scores_under(
    conditions: Mapping[str, Callable[[Utterance], AbstractContextManager]],
    score: Callable[[Utterance], float | Sequence[float]],
    utterances: Sequence[Utterance],
    *,
    once: nn.Module | None = None,
) -> dict[str, Float[ndarray, "utterance *number"]]:
    """Return the score, or several numbers, of every utterance under each condition.

    A condition returns for an utterance what is entered while it is scored, such as
    `heads_ablated(module, heads)`; `nullcontext()` for the whole model. `once`: a part of the model
    that no condition changes, such as the convolutions: it runs once for each utterance.
    """
    found = {}
    with nullcontext() if once is None else _remembered(once):
        for name, condition in conditions.items():
            rows = []
            for utterance in utterances:
                with condition(utterance):
                    rows.append(score(utterance))
            found[name] = np.array(rows, dtype=float)
    return found


@contextmanager
def _remembered(part: nn.Module):
    """Within, the part answers from memory what it was asked before."""
    answers, forward = {}, part.forward

    def answer(*args, **kwargs):
        asked = next(v for v in (*args, *kwargs.values()) if torch.is_tensor(v))
        key = asked.cpu().numpy().tobytes()
        if key not in answers:
            answers[key] = forward(*args, **kwargs)
        return answers[key]

    part.forward = answer
    try:
        yield
    finally:
        del part.forward


def drop(
    whole: Float[ndarray, " utterance"],
    ablated: Float[ndarray, " _utterance"],
    *groupings: Sequence,
) -> LayerScores:
    """Return by how much a score falls, mean over utterances, paired utterance by utterance.

    The groups of all `groupings` (speakers, sentences) are drawn anew for the interval.
    """
    if whole.shape != ablated.shape:
        raise ValueError(f"whole has shape {whole.shape}, ablated {ablated.shape}: expected equal")
    return LayerScores.of_items((whole - ablated)[:, None], *groupings)


def random_heads(
    heads: Sequence[Head], like: Collection[Head], *, draws: int, seed: int = 0
) -> list[list[Head]]:
    """Return draws of other heads, in each layer as many as `like` has there.

    Layers matter by themselves, so the null keeps them. From a layer of which `like` holds more
    than half, heads of `like` are drawn too. Raises ValueError for a head that is not in `heads`.
    """
    if unknown := sorted(set(like) - set(heads)):
        raise ValueError(f"like has {unknown[0]}, expected heads among the {len(heads)} given")
    rng = np.random.default_rng(seed)
    places = sorted({head[:2] for head in like})
    found = []
    for _ in range(draws):
        chosen = []
        for place in places:
            inside = [h for h in heads if h[:2] == place]
            wanted = sum(h in like for h in inside)
            others = [h for h in inside if h not in like]
            pool = others if len(others) >= wanted else inside
            chosen += [pool[k] for k in sorted(rng.permutation(len(pool))[:wanted])]
        found.append(chosen)
    return found
