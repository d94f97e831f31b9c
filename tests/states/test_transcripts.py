"""Edit distance against an exhaustive recursion, and texts whose errors can be counted."""

import itertools

import pytest

from speech_interp.states.transcripts import character_error, edit_distance, plain, word_error


def by_recursion(a, b):
    if not a or not b:
        return len(a) + len(b)
    if a[0] == b[0]:
        return by_recursion(a[1:], b[1:])
    return 1 + min(by_recursion(a[1:], b), by_recursion(a, b[1:]), by_recursion(a[1:], b[1:]))


def test_edit_distance_is_that_of_an_exhaustive_recursion():
    words = ["".join(w) for n in range(5) for w in itertools.product("ab", repeat=n)]
    for a, b in itertools.product(words, words):
        assert edit_distance(a, b) == by_recursion(a, b)
    assert edit_distance(["a", "boat"], ["a", "goat", "boat"]) == 1


def test_plain_text_has_no_case_and_no_punctuation():
    assert plain(" The boat's keel, (broken)\u2014again.") == "the boat's keel broken again"
    assert plain("...") == "" and plain("") == ""


def test_errors_are_shares_of_the_truth_whatever_the_length_of_the_text():
    assert word_error("a boat", "A boat.") == 0
    assert word_error("a goat", "a boat") == 0.5
    assert word_error("", "a boat") == 1
    assert word_error("a a a a a boat", "a boat") == 2
    assert character_error("a goat", "a boat") == pytest.approx(1 / 6)
    assert character_error("aboat", "a boat") == pytest.approx(1 / 6)  # the gap is a sign


def test_a_truth_without_words_has_no_error_rate():
    for error in (word_error, character_error):
        with pytest.raises(ValueError, match=r"truth is '\.\.\.', expected a text with words"):
            error("a", "...")
