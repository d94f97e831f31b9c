"""Effects of ablation: paired differences by hand, draws of heads layer by layer."""

from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch

from speech_interp.methods.head_ablation import drop, random_heads, scores_under
from speech_interp.speech.corpus import Utterance

HEADS = [("encoder", layer, head) for layer in (1, 2, 3) for head in range(4)]


def test_every_utterance_is_scored_inside_its_own_condition():
    inside, spoken = [], [Utterance("3", "a"), Utterance("5", "b")]

    @contextmanager
    def condition(u):
        inside.append(u)
        yield
        inside.remove(u)

    def score(u):
        return int(u.id), len(inside)

    found = scores_under({"a": condition, "b": condition}, score, spoken)
    assert found["a"].tolist() == found["b"].tolist() == [[3, 1], [5, 1]]
    assert not inside


def test_a_part_that_no_condition_changes_runs_once_for_each_utterance():
    front = torch.nn.Linear(1, 1)
    spoken = [Utterance("3", "a"), Utterance("5", "b")]
    twice = {"a": lambda u: nullcontext(), "b": lambda u: nullcontext()}

    class Counted(torch.nn.Module):
        runs = 0

        def forward(self, *, wave):
            self.runs += 1
            return front(wave)

    part = Counted()
    score = lambda u: part(wave=torch.tensor([float(u.id)])).item()  # noqa: E731
    expected = scores_under(twice, score, spoken)
    found = scores_under(twice, score, spoken, once=part)
    assert part.runs == 4 + 2
    for name in twice:
        np.testing.assert_array_equal(found[name], expected[name])
        assert found[name][0] != found[name][1]
    score(spoken[0])
    assert part.runs == 7


def test_a_drop_is_paired():
    """Utterances differ widely, the drop does not: its interval is narrow."""
    rng = np.random.default_rng(0)
    whole = 100 * rng.normal(size=40)
    scores = drop(whole, whole - 1 + 0.1 * rng.normal(size=40), range(40))
    low, high = scores.interval()[:, 0]
    assert 0.9 < low < 1 < high < 1.1
    assert scores.score()[0] == pytest.approx(1, abs=0.05)
    with pytest.raises(ValueError, match="expected equal"):
        drop(whole, whole[:3], range(40))


def test_random_heads_are_others_of_the_same_layers():
    like = [("encoder", 1, 2), ("encoder", 3, 0), ("encoder", 3, 1)]
    draws = random_heads(HEADS, like, draws=50)
    for chosen in draws:
        assert [h[1] for h in chosen] == [1, 3, 3]
        assert len(set(chosen)) == 3 and not set(chosen) & set(like) and set(chosen) <= set(HEADS)
    assert {h for chosen in draws for h in chosen if h[1] == 1} == set(HEADS[:4]) - set(like)
    assert (
        draws == random_heads(HEADS, like, draws=50) != random_heads(HEADS, like, draws=50, seed=1)
    )


def test_where_too_few_others_are_left_all_heads_are_drawn_from():
    like = HEADS[:3]
    draws = random_heads(HEADS, like, draws=20)
    assert all(len(set(chosen)) == 3 and {h[1] for h in chosen} == {1} for chosen in draws)
    assert {h for chosen in draws for h in chosen} == set(HEADS[:4])
    with pytest.raises(ValueError, match="encoder', 9, 0"):
        random_heads(HEADS, [("encoder", 9, 0)], draws=1)
