"""Intervals of ABX over speakers and sentences: half of each, again and again."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from tqdm.auto import tqdm

from speech_interp.methods.abx import abx
from speech_interp.methods.abx_task import Levels, NoTripleError, Table, abx_task
from speech_interp.statistics.layer_scores import LayerScores
from speech_interp.statistics.resampling import Names, draw_halves, paired_by


def abx_by_layer(
    states: Float[ndarray, "layer _item unit"],
    table: Table,
    *,
    on: str,
    by: Levels = (),
    across: Sequence[str] = (),
    groups: tuple[Names, ...],
    distance: str = "angular",
    spans: Int[ndarray, "_item 2"] | None = None,
    resamples: int = 20,
    seed: int = 0,
    progress: bool = False,
) -> LayerScores:
    """Return the collapsed error of every layer with its interval over `groups`.

    `groups`: what varies, such as (speakers, sentences), one name an item each. ABX is computed
    again on the items of half of the groups, drawn without replacement: copies of an item would
    always be near it. The same groups, seed and task give the same halves, so that scores of two
    models can be paired. Where contexts or speakers are levels of the task, `AbxScores.scores`
    draws those at no cost. Halves without a triple are left out; raises NoTripleError where those
    are more than half of them.
    """
    names = {name: np.asarray(table[name]) for name in _names(on, by, across)}
    task = abx_task(names, on=on, by=by, across=across)
    value = abx(states, task, distance=distance, spans=spans, progress=False).collapsed()
    draws = []
    halves = draw_halves(*groups, resamples=resamples, seed=seed).astype(bool)
    for kept in tqdm(halves, desc="halves", disable=not progress):
        part = {name: column[kept] for name, column in names.items()}
        try:
            drawn = abx_task(part, on=on, by=by, across=across)
        except NoTripleError:  # all that was drawn lies on one side; so it does for every model
            continue
        some = states[:, kept] if spans is None else states
        own = None if spans is None else spans[kept]
        draws.append(abx(some, drawn, distance=distance, spans=own, progress=False).collapsed())
    if len(draws) < resamples / 2:
        raise NoTripleError(f"only {len(draws)} of {resamples} halves leave a triple to compare")
    drawn_scores = np.array(draws)
    paired = f"{on} by {by} across {across}, halves of {paired_by(*groups)}"
    return LayerScores(value, drawn_scores - drawn_scores.mean(0) + value, paired)


def _names(on: str, by: Levels, across: Sequence[str]) -> list[str]:
    levels = [[level] if isinstance(level, str) else level for level in by]
    return [on, *(name for level in levels for name in level), *across]
