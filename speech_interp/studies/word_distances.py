"""Is the same word by another speaker nearer than another word by the same speaker?"""

from collections.abc import Sequence
from itertools import permutations

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from speech_interp.statistics.layer_scores import LayerScores
from speech_interp.statistics.resampling import group_codes, paired_by
from speech_interp.statistics.spaces import as_numpy


def same_word_nearer(
    states: Float[ndarray, "layer speaker word unit"] | Float[Tensor, "layer speaker word unit"],
    words: Sequence[str],
    texts: Sequence[str],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> LayerScores:
    """Return how often it is, by the cosine of word vectors around the mean of their layer.

    Word i is the same for all speakers; `words` names it, `texts` the sentence it stands in. A word
    that occurs twice never counts as *another* word. 0.5 is what a vector scores that knows neither
    words nor speakers. Intervals draw speakers and sentences anew, at the same time.
    """
    states = as_numpy(states)
    layer_count, speaker_count, word_count, _ = states.shape
    if len(words) != word_count or len(texts) != word_count:
        raise ValueError(f"{len(words)} words and {len(texts)} texts, states hold {word_count}")
    x = states - states.mean(axis=(1, 2), keepdims=True)
    x = x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
    other = np.asarray(words)[:, None] != np.asarray(words)
    sentence = group_codes(texts)
    sentence_count = len(set(sentence.tolist()))
    sums = np.zeros((layer_count, speaker_count, speaker_count, sentence_count, 2))
    for s, t in permutations(range(speaker_count), 2):
        same_word = (x[:, s] * x[:, t]).sum(-1)[:, :, None]  # (layer, word, 1)
        same_speaker = x[:, s] @ x[:, s].swapaxes(-1, -2)  # (layer, word, word)
        won = ((same_word > same_speaker) * other).sum(-1)  # (layer, word)
        np.add.at(sums[:, s, t, :, 0].T, sentence, won.T)
        np.add.at(sums[:, s, t, :, 1].T, sentence, other.sum(-1)[:, None])
    weights = _draws(speaker_count, sentence_count, resamples, seed)
    drawn = np.einsum("rstk,lstkc->rlc", weights, sums)
    total = sums.sum((1, 2, 3))
    names = paired_by(np.arange(speaker_count)), paired_by(texts)
    return LayerScores(
        total[:, 0] / total[:, 1], drawn[..., 0] / drawn[..., 1], paired_by=" and ".join(names)
    )


def _draws(speakers: int, sentences: int, resamples: int, seed: int) -> Float[ndarray, "r s t k"]:
    """Return how often each (speaker, other speaker, sentence) is drawn; a speaker is never two."""
    rng = np.random.default_rng(seed)
    by_speaker = rng.multinomial(speakers, np.full(speakers, 1 / speakers), 4 * resamples)
    # A draw of one speaker alone has no pair of speakers.
    by_speaker = by_speaker[(by_speaker > 0).sum(1) > 1][:resamples]
    by_sentence = rng.multinomial(sentences, np.full(sentences, 1 / sentences), resamples)
    return np.einsum("rs,rt,rk->rstk", by_speaker, by_speaker, by_sentence).astype(float)
