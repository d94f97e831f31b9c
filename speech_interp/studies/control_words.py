"""Control words: what a cue is held against, so that its place or kind is not taken for its use.

A word near the target counts for more than a far one, and a content word for more than an article.
A control stands as far from the target as a cue does, and can be asked to be a content word too.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from speech_interp.speech.corpus import Utterance

FUNCTION_WORDS = frozenset(
    """a an the this that these those all some one no not and or but so if as than then when while
    i you he she it we they me him her us them my your his its our their who which what there
    is are was were be been am do does did has have had will would can could may might must
    of in on at to from for with by after before under over into out up down off about near
    """.split()
)

Allowed = Callable[[Utterance, int], bool]  # may word number k be the control of an utterance?


def any_word(utterance: Utterance, word: int) -> bool:
    """Every word before the target may be the control."""
    return True


def content_word(utterance: Utterance, word: int) -> bool:
    """Return whether a word is neither a function word nor the one right before the target."""
    is_content = utterance.words[word].label.lower().strip(".,?!") not in FUNCTION_WORDS
    return is_content and word < utterance.info["target"] - 1


def with_control(utterances: Sequence[Utterance], allowed: Allowed) -> list[Utterance]:
    """Return the utterances that have a control word of the kind that is `allowed`."""
    return [u for u in utterances if _candidates(u, allowed)]


def matched_controls(utterances: Sequence[Utterance], allowed: Allowed = any_word) -> list[int]:
    """Return for each utterance a word before its target that is not its cue, as a control.

    The control of one utterance stands as far from its target as the cue of another one does, each
    used once: over all utterances cues and controls have the same distances, or as nearly the same
    as the sentences allow. Among such choices, the one whose controls are most nearly as long as
    the cues, in seconds. Raises ValueError for an utterance without an `allowed` control.
    """
    count = len(utterances)
    cost, word = np.zeros((count, count)), np.zeros((count, count), int)
    for i, utterance in enumerate(utterances):
        cue, target = utterance.info["cue"], utterance.info["target"]
        candidates = _candidates(utterance, allowed)
        if not candidates:
            raise ValueError(f"{utterance.id}: no word before the target but the cue is allowed")
        wanted = utterance.words[cue].duration_s
        off = {k: abs(utterance.words[k].duration_s - wanted) for k in candidates}
        for j, other in enumerate(utterances):
            distance = other.info["target"] - other.info["cue"]
            costs = {k: 10.0 * abs(target - k - distance) + off[k] for k in candidates}
            word[i, j] = min(costs, key=costs.__getitem__)
            cost[i, j] = costs[word[i, j]]
    return word[linear_sum_assignment(cost)].tolist()


def other_cues(corpus: Sequence[Utterance], utterance: Utterance) -> dict[str, list[str]]:
    """Return words to put in place of the cue, from the corpus itself, by what they argue for.

    "same": cues of other sentences for the spelling that is right here; "opposite": cues for the
    other spelling of the pair; "unrelated": one cue of every other pair.
    """
    found: dict[str, set] = {"same": set(), "opposite": set()}
    unrelated: dict[str, str] = {}
    cue = _cue(utterance)
    for u in corpus:
        if u.info["pair"] != utterance.info["pair"]:
            unrelated.setdefault(u.info["pair"], _cue(u))
        elif _cue(u) != cue:
            same = u.info["spelling"] == utterance.info["spelling"]
            found["same" if same else "opposite"].add(_cue(u))
    kinds = found | {"unrelated": set(unrelated.values()) - {cue}}
    return {kind: sorted(words) for kind, words in kinds.items()}


def distances(utterances: Sequence[Utterance], words: Sequence[int]) -> list[int]:
    """Return how many words before the target each word stands."""
    return [u.info["target"] - k for u, k in zip(utterances, words, strict=True)]


def _cue(utterance: Utterance) -> str:
    return utterance.words[utterance.info["cue"]].label.lower()


def _candidates(utterance: Utterance, allowed: Allowed) -> list[int]:
    before = range(utterance.info["target"])
    return [k for k in before if k != utterance.info["cue"] and allowed(utterance, k)]
