"""Controls against every possible pairing, and words in place of the cue."""

import itertools

import numpy as np
import pytest
from spoken_words import spoken

from speech_interp.speech.corpus import load_corpus
from speech_interp.studies import control_words
from speech_interp.studies.control_words import content_word, matched_controls


def test_controls_have_the_distances_of_the_cues_and_are_as_long_as_can_be():
    rng = np.random.default_rng(0)
    utterances = [
        spoken(list("abcdefg"), cue=cue, target=6, lengths=rng.uniform(0.1, 0.4, 7).tolist())
        for cue in (1, 2, 3, 3, 4)
    ]
    controls = matched_controls(utterances)
    cues = [u.info["cue"] for u in utterances]
    assert sorted(controls) == sorted(cues)
    assert all(control != cue for control, cue in zip(controls, cues, strict=True))

    def mismatch(words):
        length = [[w.duration_s for w in u.words] for u in utterances]
        return sum(abs(length[i][w] - length[i][cues[i]]) for i, w in enumerate(words))

    allowed = [p for p in itertools.permutations(cues) if all(map(int.__ne__, p, cues))]
    assert mismatch(controls) == pytest.approx(min(map(mismatch, allowed)))


def test_controls_stand_as_near_as_can_be_where_no_word_has_the_distance():
    near = spoken(list("abc"), cue=0, target=2)
    assert matched_controls([near] * 2) == [1, 1]
    with pytest.raises(ValueError, match="no word before the target but the cue is allowed"):
        matched_controls([spoken(list("abc"), cue=0, target=1)])


def test_content_words_are_neither_function_words_nor_right_before_the_target():
    sentence = spoken(["The", "king", "gave", "his", "brave", "knight"], cue=1, target=5)
    assert [k for k in range(5) if content_word(sentence, k)] == [1, 2]
    assert matched_controls([sentence], content_word) == [2]
    bare = spoken(["the", "a", "night"], cue=0, target=2)
    assert control_words.with_control([sentence, bare], content_word) == [sentence]
    with pytest.raises(ValueError, match="is allowed"):
        matched_controls([bare], content_word)


def test_cues_of_the_corpus_are_content_words():
    for u in load_corpus("homophones"):
        assert u.words[u.info["cue"]].label.lower() not in control_words.FUNCTION_WORDS, u.id


def test_words_in_place_of_the_cue_come_from_the_right_sentences():
    said = [("star", "ab", "ab/ac"), ("moon", "ab", "ab/ac"), ("king", "ac", "ab/ac")]
    said += [("sea", "de", "de/df"), ("ship", "de", "de/df")]
    corpus = [
        spoken([cue, "a", s], cue=0, target=2, spelling=s, pair=pair) for cue, s, pair in said
    ]
    found = control_words.other_cues(corpus, corpus[0])
    assert found == {"same": ["moon"], "opposite": ["king"], "unrelated": ["sea"]}


def test_distances_count_words():
    sentence = spoken(list("abcde"), cue=1, target=4)
    assert control_words.distances([sentence, sentence], [0, 3]) == [4, 1]
