"""What was written beside what was said: plain words, edit distance, error rates."""

from collections.abc import Sequence

from speech_interp.speech.corpus import Utterance
from speech_interp.states.alignment import AlignmentError, words_of


def plain(text: str) -> str:
    """Return the words of a text in lower case without punctuation; "" for a text without words."""
    try:
        return " ".join(words_of(Utterance(id="text", text=text)))
    except AlignmentError:
        return ""


def edit_distance(a: Sequence, b: Sequence) -> int:
    """Return the fewest insertions, deletions and substitutions that turn `a` into `b`."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def character_error(written: str, truth: str) -> float:
    """Return the edits that turn `written` into `truth`, as a share of the signs of `truth`.

    Both as `plain` texts, gaps between words included; above 1 where much was written that nobody
    said. Raises ValueError for a truth without words.
    """
    return _share_of_edits(plain(written), plain(truth), truth)


def word_error(written: str, truth: str) -> float:
    """Return the edits of words that turn `written` into `truth`, as a share of its words."""
    return _share_of_edits(plain(written).split(), plain(truth).split(), truth)


def _share_of_edits(written: Sequence, truth: Sequence, text: str) -> float:
    if not truth:
        raise ValueError(f"truth is {text!r}, expected a text with words")
    return edit_distance(written, truth) / len(truth)
