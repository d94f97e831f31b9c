"""ABX: by its definition, on planted spaces, and where it must refuse."""

import numpy as np
import pytest
import reference_abx as reference
from scipy.stats import norm

from speech_interp.methods import abx as module
from speech_interp.methods.abx import abx
from speech_interp.methods.abx_distances import frame_distances, reference_spans, warp
from speech_interp.methods.abx_task import abx_task
from speech_interp.methods.abx_uncertainty import abx_by_layer

rng = np.random.default_rng(0)


def random_table(count=60):
    draw = np.random.default_rng(1)
    return {
        "phone": draw.choice(["A", "B", "C"], count),
        "before": draw.choice(["s", "t"], count),
        "after": draw.choice(["n", "m"], count),
        "speaker": draw.choice(["x", "y", "z"], count),
    }


def rows_of(table, items):
    return [(x, {n: c[k] for n, c in table.items()}) for k, x in enumerate(items)]


def as_dictionary(scores, by=(), across=()):
    c, out = scores.cells, {}
    for k, (error, triples) in enumerate(zip(scores.errors[0], scores.triples, strict=True)):
        sides = [tuple(c[n][k] for n in names)
                 for names in (by, across, [f"{n}_x" for n in across])]  # fmt: skip
        out[(c["phone"][k], c["phone_b"][k], *sides)] = (error, triples)
    return out


@pytest.mark.parametrize("distance", ["angular", "euclidean"])
@pytest.mark.parametrize(
    ("by", "across"),
    [
        ((), ()),
        (("speaker",), ()),
        (("before", "after", "speaker"), ()),
        ((), ("speaker",)),
        (("before", "after"), ("speaker",)),
        (("before",), ("speaker", "after")),
    ],
)
def test_every_cell_is_that_of_the_definition(by, across, distance):
    table, states = random_table(), rng.normal(size=(1, 60, 4)).astype(np.float32)
    metric = {"angular": reference.angle, "euclidean": reference.euclid}[distance]
    expected = reference.cells(rows_of(table, states[0].tolist()), metric, "phone", by, across)
    task = abx_task(table, on="phone", by=[by] if by else (), across=across)
    found = as_dictionary(abx(states, task, distance=distance, progress=False), by, across)
    assert found.keys() == expected.keys()
    for key, (error, triples) in expected.items():
        assert found[key] == (pytest.approx(error, abs=1e-12), triples), key


@pytest.mark.parametrize("across", [(), ("speaker",)])
def test_warped_frames_are_those_of_the_definition(across):
    table, count = random_table(40), 40
    lengths = rng.integers(1, 7, count)
    stops = np.cumsum(lengths)
    spans = np.stack([stops - lengths, stops], axis=1)
    frames = rng.normal(size=(2, stops[-1], 3)).astype(np.float32)
    by = ("before",)
    task = abx_task(table, on="phone", by=by, across=across)
    scores = abx(frames, task, spans=spans, progress=False)
    items = [frames[0, a:b].tolist() for a, b in spans]
    expected = reference.cells(
        rows_of(table, items),
        lambda x, y: reference.warped(x, y, reference.angle),
        "phone", by, across,
    )  # fmt: skip
    found = as_dictionary(scores, by, across)
    assert found.keys() == expected.keys()
    for key, (error, _) in expected.items():
        assert found[key][0] == pytest.approx(error, abs=1e-12), key


def test_collapsed_is_the_score_of_zerospeech():
    table, states = random_table(90), rng.normal(size=(1, 90, 4))
    by = ("before", "after", "speaker")
    expected = reference.cells(rows_of(table, states[0].tolist()), reference.angle, "phone", by)
    task = abx_task(table, on="phone", by=(("before", "after"), "speaker"))
    scores = abx(states, task, progress=False)
    assert scores.collapsed()[0] == pytest.approx(reference.zerospeech(expected))
    _, matrix = scores.by_pair()
    assert np.nanmean(matrix[0]) == pytest.approx(scores.collapsed()[0])


def test_two_gaussians_have_the_error_of_the_formula():
    """One unit, means 0 and m, deviation 1: the error is known from three independent normals."""
    m, count = 1.5, 400
    labels = np.repeat(["a", "b"], count)
    x = np.r_[rng.normal(size=count), m + rng.normal(size=count)][None, :, None]
    value = abx(x, abx_task({"s": labels}, on="s"), distance="euclidean", progress=False)
    # |x - a| > |x - b| where (b - a) and (2 x - a - b) have one sign; both are normal and
    # uncorrelated, with means m, -m and variances 2, 6
    u, v = norm.cdf(m / np.sqrt(2)), norm.cdf(-m / np.sqrt(6))
    assert value.collapsed()[0] == pytest.approx(u * v + (1 - u) * (1 - v), abs=0.02)


def test_noise_is_at_one_half_and_copies_tie():
    labels = np.repeat(["a", "b"], 60)
    task = abx_task({"s": labels}, on="s")
    assert abx(rng.normal(size=(1, 120, 9)), task, progress=False).collapsed()[0] == pytest.approx(
        0.5, abs=0.03
    )
    assert abx(np.ones((1, 120, 3)), task, progress=False).collapsed()[0] == 0.5
    parts = np.ones((1, 120, 3))
    parts[0, ::2] = [1, 0, 0]  # half of all items coincide in one place, half in another
    assert abx(parts, task, progress=False).collapsed()[0] == pytest.approx(0.5, abs=0.01)


def test_large_groups_are_cut_into_rows_without_a_change(monkeypatch):
    table, states = random_table(80), rng.normal(size=(2, 80, 3))
    task = abx_task(table, on="phone", across=("speaker",))
    whole = abx(states, task, progress=False).errors
    monkeypatch.setattr(module, "BLOCK_ENTRIES", 160)
    np.testing.assert_allclose(abx(states, task, progress=False).errors, whole, atol=1e-12)


def test_layers_are_scored_as_alone():
    table, states = random_table(), rng.normal(size=(3, 60, 5))
    task = abx_task(table, on="phone", by=("speaker",))
    together = abx(states, task, progress=False).errors
    for k in range(3):
        np.testing.assert_array_equal(together[k], abx(states[[k]], task, progress=False).errors[0])


def test_items_may_be_drawn():
    table = random_table(200)
    task = abx_task(table, on="phone", by=("speaker",), most_items=4, seed=3)
    again = abx_task(table, on="phone", by=("speaker",), most_items=4, seed=3)
    np.testing.assert_array_equal(task.items, again.items)
    assert np.bincount(task.class_of).max() == 4 and task.triples.max() == 4 * 3 * 4
    assert (task.items != abx_task(table, on="phone", by=("speaker",), most_items=4).items).any()


def test_intervals_cover_what_varies():
    """Errors differ between speakers by construction; their interval shows it, that of one not."""
    draw = np.random.default_rng(5)
    speakers = np.repeat(list("abcdefgh"), 40)
    labels = np.tile(np.repeat(["p", "q"], 20), 8)
    apart = np.repeat(np.linspace(0, 3, 8), 40) * (labels == "p")
    states = (draw.normal(size=320) + apart)[None, :, None]
    task = abx_task({"phone": labels, "speaker": speakers}, on="phone", by=("speaker",))
    scores = abx(states, task, distance="euclidean", progress=False)
    drawn = scores.scores("speaker", resamples=300)
    assert drawn.score()[0] == scores.collapsed()[0]
    low, high = drawn.interval()[:, 0]
    each = scores.errors[0].reshape(8, 2).mean(1)
    expected = 1.96 * each.std() / np.sqrt(8)
    assert high - low == pytest.approx(2 * expected, rel=0.25)
    assert drawn.minus(drawn).score()[0] == 0
    with pytest.raises(ValueError, match="no level"):
        scores.scores("phone")


def test_a_speaker_is_drawn_on_both_sides():
    table, states = random_table(120), rng.normal(size=(2, 120, 5))
    task = abx_task(table, on="phone", by=(("before", "after"),), across=("speaker",))
    scores = abx(states, task, progress=False)
    drawn = scores.scores("speaker", ("before", "after"), resamples=200)
    np.testing.assert_allclose(drawn.score(), scores.collapsed())
    low, high = drawn.interval()
    assert (low < drawn.score()).all() and (drawn.score() < high).all()


def test_the_path_of_a_stretched_copy_costs_nothing():
    x = rng.normal(size=(4, 3))
    slow = np.repeat(x, [1, 3, 2, 1], axis=0)
    cost, path = warp(frame_distances(x, slow, "euclidean"))
    assert cost == pytest.approx(0, abs=1e-6)
    assert path.tolist() == [[0, 0], [1, 1], [1, 2], [1, 3], [2, 4], [2, 5], [3, 6]]
    back, _ = warp(frame_distances(slow, x, "euclidean"))
    assert back == cost
    d = rng.random((5, 7))
    assert warp(d)[0] == pytest.approx(warp(d.T)[0])


def test_probabilities_with_zeros_have_a_distance():
    p, q = np.array([[1.0, 0, 0], [0.5, 0.5, 0]]), np.array([[0, 0, 1.0]])
    d = frame_distances(p, q, "kl")
    a, b = p[1] + 1e-6, q[0] + 1e-6
    expected = 0.5 * ((p[1] - q[0]) * (np.log(a) - np.log(b))).sum()
    assert np.isfinite(d).all() and d[1, 0] == pytest.approx(expected, rel=1e-5)
    assert frame_distances(p, p, "kl")[0, 0] == pytest.approx(0, abs=1e-6)


def test_spans_of_the_reference():
    """A frame whose centre (k + 0.5) / 50 lies in the interval, ends included."""
    spans = reference_spans([0.0, 0.01, 0.29, 0.1], [0.1, 0.05, 0.31, 0.1 + 0.2])
    centres = (np.arange(100) + 0.5) / 50
    for (a, b), (start, end) in zip(
        spans, [(0, 0.1), (0.01, 0.05), (0.29, 0.31), (0.1, 0.3)], strict=True
    ):
        inside = np.flatnonzero((centres >= start - 1e-9) & (centres <= end + 1e-9))
        assert (a, b) == (inside[0], inside[-1] + 1)


def test_errors_name_what_came():
    table = random_table()
    with pytest.raises(ValueError, match=r"no column \['tone'\]"):
        abx_task(table, on="tone")
    with pytest.raises(ValueError, match="no triple"):
        abx_task({"s": ["a", "b", "c"]}, on="s")
    with pytest.raises(ValueError, match="twice"):
        abx_task(table, on="phone", by=("speaker",), across=("speaker",))
    with pytest.raises(ValueError, match=r"lacks 1 labels"):
        abx_task({"s": [0.0, np.nan, 1.0]}, on="s")
    task = abx_task(table, on="phone")
    with pytest.raises(ValueError, match=r"states have shape \(1, 59, 2\).*60 items"):
        abx(np.ones((1, 59, 2)), task)
    with pytest.raises(ValueError, match="state 7 is all zeros"):
        states = np.ones((1, 60, 2))
        states[0, 7] = 0
        abx(states, task, progress=False)
    with pytest.raises(ValueError, match="not finite"):
        abx(np.full((1, 60, 2), np.nan), task, progress=False)
    spans = np.stack([np.arange(60), np.arange(1, 61)], axis=1)
    spans[4] = 4
    with pytest.raises(ValueError, match=r"item 4 has frames \[4, 4\]"):
        abx(np.ones((1, 60, 2)), task, spans=spans, progress=False)
    with pytest.raises(ValueError, match="distance is 'cosine'"):
        abx(np.ones((1, 60, 2)), task, distance="cosine", progress=False)
    with pytest.raises(ValueError, match="probabilities"):
        abx(np.ones((1, 60, 2)), task, distance="kl", progress=False)


def test_halves_spread_as_new_speakers_do():
    """Twelve speakers from a known population: intervals are as wide as repeated draws spread."""
    draw = np.random.default_rng(8)

    def experiment():
        speakers = np.repeat(np.arange(12), 20)
        texts = np.tile(np.repeat(np.arange(10), 2), 12)
        labels = np.tile(["p", "q"], 120)
        shift = np.repeat(draw.normal(1, 0.5, 12), 20) * (labels == "p")
        table = {"phone": labels, "speaker": speakers}
        return (draw.normal(size=240) + shift)[None, :, None], table, (speakers, texts)

    values, widths = [], []
    for trial in range(40):
        states, table, groups = experiment()
        found = abx_by_layer(
            states, table, on="phone", by=("speaker",), groups=groups, distance="euclidean",
            seed=trial,
        )  # fmt: skip
        low, high = found.interval()[:, 0]
        values.append(found.score()[0])
        widths.append(high - low)
    assert 2 * 1.96 * np.std(values) == pytest.approx(np.mean(widths), rel=0.45)
    assert found.minus(found).score()[0] == 0
