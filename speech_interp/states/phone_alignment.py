"""When each phone was said: from the words, their pronunciations, and a scorer of frames.

A model of letters knows no phones. So a linear scorer of phones is learnt from speech whose phones
are known, such as the tutorial corpus, on one layer of any model; `align_phones` then lays the
pronunciation of a text over the frames of other speech.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from speech_interp.speech.corpus import PHONES, SILENCE, Utterance
from speech_interp.states.alignment import (
    AlignmentError,
    Chain,
    best_path,
    frame_edges,
    spans,
    words_of,
)
from speech_interp.states.hidden_states import HiddenStates
from speech_interp.statistics.spaces import as_numpy

Pronunciations = Mapping[str, Sequence[str]]
SHRINKAGE = 0.1  # share of the covariance replaced by its mean variance: frames are few


@dataclass(frozen=True)
class PhoneScorer:
    """Linear scores of every phone and of silence, from one layer of states."""

    labels: tuple[str, ...]
    layer: int
    weights: Float[ndarray, "label unit"]
    offsets: Float[ndarray, " label"]

    def log_probs(self, states: HiddenStates) -> Float[ndarray, "frame label"]:
        """How probable each label is in each frame, were all equally frequent."""
        scores = as_numpy(states.values[self.layer]).astype(float) @ self.weights.T + self.offsets
        return scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)


def fit_phones(
    states: Sequence[HiddenStates], utterances: Sequence[Utterance], *, layer: int
) -> PhoneScorer:
    """A scorer of frames, from the states of utterances whose phones are known.

    Each label is a Gaussian over states, with one covariance for all: linear discriminant
    analysis. How frequent a phone is does not count, since the text says which ones come.
    """
    labels = np.concatenate(list(map(_labels_of_frames, states, utterances)))
    frames = np.concatenate([as_numpy(s.values[layer]) for s in states]).astype(float)
    kinds, kind = np.unique(labels, return_inverse=True)
    means = np.stack([frames[kind == k].mean(axis=0) for k in range(len(kinds))])
    around = frames - means[kind]
    covariance = around.T @ around / len(frames)
    spherical = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * spherical
    weights = np.linalg.solve(covariance, means.T).T
    offsets = -0.5 * (means * weights).sum(axis=1)
    return PhoneScorer(tuple(map(str, kinds)), layer, weights, offsets)


def align_phones(
    scorer: PhoneScorer,
    states: HiddenStates,
    utterance: Utterance,
    pronunciations: Pronunciations,
) -> Utterance:
    """The utterance with the `words` and `phones` of its `text`, timed.

    A pause may stand before, after and between words, none within. As in the corpus, phones fill
    the whole time, pauses are "SIL", words begin and end with phones. `states` are the
    utterance's, from the model that `scorer` learnt on. `info["alignment"]` is the mean
    log-probability of a frame. Raises `AlignmentError` for a word without pronunciation, a phone
    that the scorer has not learnt, and more phones than frames.
    """
    words = words_of(utterance)
    chain = _phone_chain(words, scorer, pronunciations)
    path, score = best_path(scorer.log_probs(states), chain)
    edges_s = frame_edges(states.times_s, utterance.duration_s)
    labels = [scorer.labels[column] for column in chain.columns]
    return replace(
        utterance,
        words=spans(words, chain.owners[path], edges_s),
        phones=spans(labels, path, edges_s),
        info=utterance.info | {"alignment": score},
    )


def pronunciations_of(utterances: Sequence[Utterance]) -> dict[str, tuple[str, ...]]:
    """How each word is said most often in `utterances`: from lower-case word to phones."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for utterance in utterances:
        for word in utterance.words:
            middles = ((p.label, (p.start_s + p.end_s) / 2) for p in utterance.phones)
            said = tuple(label for label, s in middles if word.start_s <= s < word.end_s)
            counts[word.label.lower()][said] += 1
    return {word: count.most_common(1)[0][0] for word, count in counts.items()}


def read_pronunciations(path: str | Path) -> dict[str, tuple[str, ...]]:
    """The first pronunciation of each word in a dictionary of CMUdict's format.

    A line holds a word and its phones in ARPABET, `ABOUT  AH0 B AW1 T`; ";;;" and "#" begin
    comments, "ABOUT(2)" is a further pronunciation. Unstressed AH is our "AX".
    """
    found: dict[str, tuple[str, ...]] = {}
    for line in Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
        word, *phones = line.split(";;;")[0].split(" #")[0].split() or ["#"]
        if word.startswith("#") or word.endswith(")"):
            continue
        labels = tuple("AX" if p == "AH0" else p.rstrip("012") for p in phones)
        if not labels or not set(labels) <= set(PHONES):
            raise AlignmentError(f"{path}: {line!r} is not a word and its phones in ARPABET")
        found.setdefault(word.lower(), labels)
    return found


def _labels_of_frames(states: HiddenStates, utterance: Utterance) -> ndarray:
    """The phone at the centre of each frame."""
    if not utterance.phones:
        raise AlignmentError(f"{utterance.id}: no phones to learn from")
    ends_s = [phone.end_s for phone in utterance.phones[:-1]]
    place = np.searchsorted(ends_s, states.times_s, side="right")
    return np.array([phone.label for phone in utterance.phones])[place]


def _phone_chain(words, scorer: PhoneScorer, pronunciations: Pronunciations) -> Chain:
    """Silence, which may be skipped, around every word; the phones of each word in order."""
    missing = sorted({word for word in words if not pronunciations.get(word)})
    if missing:
        raise AlignmentError(
            f"no pronunciation of {', '.join(missing)}; add it: "
            f'pronunciations | {{"{missing[0]}": ("AE", "Z", ...)}}'
        )
    wanted = {SILENCE, *(p for word in words for p in pronunciations[word])}
    unknown = sorted(wanted - set(scorer.labels))
    if unknown:
        raise AlignmentError(f"the scorer has not learnt {', '.join(unknown)}")
    labels, owners, may_skip = [SILENCE], [-1], [False]
    for number, word in enumerate(words):
        phones = list(pronunciations[word])
        labels += [*phones, SILENCE]
        owners += [number] * len(phones) + [-1]
        may_skip += [number > 0] + [False] * len(phones)
    columns = np.array([scorer.labels.index(label) for label in labels])
    return Chain(columns, np.array(owners), np.array(may_skip))
