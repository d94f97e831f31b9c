"""What a page keeps can be shown by its name elsewhere on the page."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from speech_interp.show import pages
from speech_interp.show.pages import with_interval
from speech_interp.statistics.layer_scores import LayerScores


@pytest.fixture
def glued(monkeypatch):
    kept = {}
    monkeypatch.setattr("myst_nb.glue", lambda name, value, display: kept.update({name: value}))
    return kept


def test_many_numbers_at_once_under_their_names(glued):
    pages.keep(found=np.float32(0.5), count=torch.tensor(3), word="above")
    pages.keep("hubert", {"best": np.int64(4)}, low=1.5)
    assert glued == {"found": 0.5, "count": 3, "word": "above", "hubert_best": 4, "low": 1.5}
    assert all(type(value) in (float, int, str) for value in glued.values())


def test_names_may_come_from_the_run(glued):
    pages.keep({f"layer_{k}": k for k in range(2)})
    assert glued == {"layer_0": 0, "layer_1": 1}


def test_a_kept_figure_is_not_drawn_where_it_is_made(glued):
    figure, _ = plt.subplots()
    pages.keep_figure("answer", figure)
    assert glued["answer"] is figure
    assert not plt.fignum_exists(figure.number)


def test_a_score_is_written_with_its_interval():
    draws = np.linspace(-1, 1, 1001)[:, None] + np.array([[0.0, 5.0]])
    scores = LayerScores(np.array([0.0, 5.0]), draws)
    assert with_interval(scores, 1) == "5.00 [4.05, 5.95]"
    assert with_interval(scores, digits=1) == "0.0 [-0.9, 0.9]"
