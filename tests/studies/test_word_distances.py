"""Planted words and planted voices are told apart; intervals cover more than the words drawn."""

import numpy as np
import pytest
import torch

from speech_interp.studies.word_distances import same_word_nearer

WORDS, TEXTS = [*"abcdefghij", "a"], list("00001111222")


def planted(word_size, speaker_size, *, seed=0, speakers=5):
    rng = np.random.default_rng(seed)
    by_word = dict(zip(sorted(set(WORDS)), rng.normal(size=(10, 30)), strict=True))
    word = np.stack([by_word[w] for w in WORDS])
    voice = rng.normal(size=(speakers, 1, 30))
    x = word_size * word + speaker_size * voice + 0.1 * rng.normal(size=(speakers, 11, 30))
    return x[None]


def slow(x, words):
    x = x - x.mean(axis=(0, 1))
    won = []
    for s in range(len(x)):
        for t in range(len(x)):
            for i, word in enumerate(words):
                for j, another in enumerate(words):
                    if s != t and word != another:
                        cosine = [
                            a @ b / np.linalg.norm(a) / np.linalg.norm(b)
                            for a, b in ((x[s, i], x[t, i]), (x[s, i], x[s, j]))
                        ]
                        won.append(cosine[0] > cosine[1])
    return np.mean(won)


@pytest.mark.parametrize(("word", "voice"), [(1, 0.1), (0.1, 1), (1, 1)])
def test_score_equals_the_plain_loop(word, voice):
    x = planted(word, voice)
    found = same_word_nearer(x, WORDS, TEXTS)
    assert found.score()[0] == pytest.approx(slow(x[0], WORDS))
    low, high = found.interval()[:, 0]
    assert low <= found.score()[0] <= high


def test_words_score_one_voices_nothing_and_noise_half():
    assert same_word_nearer(planted(1, 0), WORDS, TEXTS).score()[0] > 0.99
    assert same_word_nearer(planted(0, 1), WORDS, TEXTS).score()[0] < 0.1
    noise = same_word_nearer(planted(0, 0, speakers=12), WORDS, TEXTS)
    assert noise.score()[0] == pytest.approx(0.5, abs=0.05)


def test_errors_name_what_came():
    with pytest.raises(ValueError, match="3 words and 11 texts, states hold 11"):
        same_word_nearer(planted(1, 1), WORDS[:3], TEXTS)


def test_tensors_of_half_precision():
    rng = np.random.default_rng(0)
    half = torch.tensor(rng.normal(size=(2, 3, 6, 8)), dtype=torch.bfloat16)
    words, texts = list("abcdef"), ["x", "y"] * 3
    found = same_word_nearer(half, words, texts, resamples=20)
    full = same_word_nearer(half.float().numpy(), words, texts, resamples=20)
    assert np.array_equal(found.values, full.values)
