"""Word times from cross-attention, beside all monotone paths and planted heads."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from recorded_attention import recorded

from speech_interp import load_corpus, load_model
from speech_interp.methods import alignment_heads as heads
from speech_interp.states.alignment import spread, words_of


def test_owners_are_the_best_of_all_monotone_paths():
    torch.manual_seed(0)
    weights = torch.rand(5, 3, 8).softmax(-1)
    gain = (weights - weights.mean(1, keepdim=True)) / weights.std(1, unbiased=False, keepdim=True)
    found = heads.frames_of_tokens(weights)
    for head in range(5):
        best = max(
            (
                [0] * a + [1] * (b - a) + [2] * (8 - b)
                for a, b in itertools.combinations(range(1, 8), 2)
            ),
            key=lambda path: sum(float(gain[head, t, f]) for f, t in enumerate(path)),
        )
        assert found[head].tolist() == best


def test_frames_at_which_all_tokens_look_decide_nothing():
    weights = torch.zeros(1, 3, 9)
    for token in range(3):
        weights[0, token, 3 * token : 3 * token + 3] = 0.02
    weights[..., 0] += 0.9  # a sink
    assert heads.frames_of_tokens(weights)[0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def cross_step(weights):
    """A cross-attention whose weights are planted, as far as a softmax allows."""
    (step,) = [s for s in recorded("whisper")[2] if (s.stack, s.layer) == ("cross", 1)]
    count = weights.shape[2]
    keys = torch.eye(count).expand(len(weights), -1, -1)
    rows = torch.zeros(weights.shape[1], 24)
    planted = {"queries": weights.clamp_min(1e-9).log(), "keys": keys, "values": keys}
    return replace(step, **planted, residual=rows, output=rows)


def test_a_planted_alignment_head_gives_the_true_times_and_another_does_not():
    """Decoder sequence: prompt, three words of 1, 2, 1 tokens, end. Row k writes token k + 1."""
    places, spans = [[1], [2, 3], [4]], [(0, 5), (5, 9), (9, 14), (14, 20)]
    weights = torch.full((2, 5, 24), 1e-4)
    for row, (start, stop) in enumerate(spans):
        weights[0, row, start:stop] = 1
    weights[0, 4, 20:22] = 1
    weights[1, :, 3] = 1  # constant frame
    step = cross_step(weights / weights.sum(-1, keepdim=True))
    times_s = 0.02 * np.arange(22)  # two frames are padding
    found = heads.word_starts(step, places, times_s)
    np.testing.assert_allclose(found[0], [0, 0.1, 0.28])
    errors = heads.start_errors_ms(found, [0.0, 0.1, 0.28])
    assert errors[0] == pytest.approx(0) and errors[1] > 40


def test_the_median_leaves_the_first_word_out():
    found = np.array([[5.0, 1.0, 2.2, 3.0]])
    assert heads.start_errors_ms(found, [0, 1.1, 2.0, 3.3]) == pytest.approx([200])


def test_errors_name_what_came():
    (encoder, *_) = recorded("whisper")[2]
    with pytest.raises(ValueError, match="'encoder', expected 'cross'"):
        heads.word_starts(encoder, [[1]], np.arange(3.0))
    with pytest.raises(ValueError, match="4 tokens and 3 frames"):
        heads.frames_of_tokens(torch.rand(1, 4, 3))
    with pytest.raises(ValueError, match="2 words were found and 3 are true"):
        heads.start_errors_ms(np.zeros((1, 2)), [0, 1, 2])


def test_real_cross_attention_knows_when_words_begin():
    """Some head of the real Whisper is nearer to the truth than words spread evenly are."""
    model, u = load_model("openai/whisper-tiny.en"), load_corpus("sentences")[0]
    steps, words = heads.teacher_forced(model, u)
    assert [w.label.lower().strip(".?,") for w in words] == words_of(u)
    errors = heads.timing_errors_ms(model, u, steps, words)
    assert errors.shape == (4, 6) and np.isfinite(errors).all()
    even = [i.start_s for i in spread(words_of(u), 0, u.duration_s)]
    truth = [w.start_s for w in u.words if w.label != "SIL"]
    assert errors.min() < heads.start_errors_ms(np.array([even]), truth)[0]
