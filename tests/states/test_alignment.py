"""Words by letters: the best of all paths, planted truth, texts that cannot be, real speech."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny import tiny_model

from speech_interp.models.loading import load_model
from speech_interp.speech.audio import AudioError, TooLongAudioError
from speech_interp.speech.corpus import Interval, Utterance, load_corpus
from speech_interp.states.alignment import (
    AlignmentError,
    Chain,
    align,
    best_path,
    boundary_errors,
    ctc_chain,
    spread,
    words_of,
)

ALPHABET = {"<pad>": 0, "|": 1, "'": 2} | {c: 3 + i for i, c in enumerate("ABCDEFGHIJKLMNOPRSTUWY")}


def random_log_probs(frames, labels, seed):
    scores = np.random.default_rng(seed).normal(size=(frames, labels))
    return scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)


def best_of_all_ctc_paths(log_probs, labels):
    """Every way to write anything, frame by frame; the best of those that read as `labels`."""
    frames, kinds = log_probs.shape
    best, best_written = -np.inf, None
    for written in itertools.product(range(kinds), repeat=frames):
        if [k for k, _ in itertools.groupby(written) if k != 0] == list(labels):
            total = log_probs[range(frames), written].sum()
            if total > best:
                best, best_written = total, written
    return best, best_written


@pytest.mark.parametrize("labels", [[1], [1, 1], [1, 2], [2, 2, 3], [1, 2, 1], [3, 3, 3], []])
@pytest.mark.parametrize("frames", [1, 2, 4, 6])
def test_best_path_is_the_best_of_all_paths(labels, frames):
    log_probs = random_log_probs(frames, 4, seed=frames + 10 * len(labels))
    best, written = best_of_all_ctc_paths(log_probs, labels)
    chain = ctc_chain(labels, range(len(labels)), gap=0)
    if written is None:
        with pytest.raises(AlignmentError, match=f"the sound has {frames}"):
            best_path(log_probs, chain)
        return
    path, score = best_path(log_probs, chain)
    assert tuple(chain.columns[path]) == written
    assert score == pytest.approx(best / frames)
    assert (np.diff(path) >= 0).all()
    assert [k for k, _ in itertools.groupby(chain.owners[path]) if k >= 0] == [*range(len(labels))]


def test_exactly_enough_frames_and_one_too_few():
    chain = ctc_chain([1, 1, 2, 2], [0, 0, 1, 1], gap=0)  # two repeats: 4 + 2 frames
    path, _ = best_path(random_log_probs(6, 3, seed=0), chain)
    assert chain.columns[path].tolist() == [1, 0, 1, 2, 0, 2]
    with pytest.raises(AlignmentError, match="at least 6 frames, the sound has 5"):
        best_path(random_log_probs(5, 3, seed=0), chain)


def test_log_probs_that_are_nan_or_rule_the_text_out():
    chain = ctc_chain([1, 2], [0, 1], gap=0)
    log_probs = random_log_probs(8, 3, seed=0)
    broken = log_probs.copy()
    broken[5, 1] = np.nan
    with pytest.raises(AlignmentError, match="NaN in frame 5"):
        best_path(broken, chain)
    never = log_probs.copy()
    never[:, 2] = -np.inf
    with pytest.raises(AlignmentError, match="impossible"):
        best_path(never, chain)
    only = np.full((4, 3), -np.inf)
    only[[0, 1, 2, 3], [1, 1, 0, 2]] = 0.0
    path, score = best_path(only, chain)
    assert path.tolist() == [1, 1, 2, 3] and score == 0


def test_a_chain_without_labels_is_one_gap():
    path, score = best_path(np.zeros((3, 1)), Chain(*map(np.array, ([0], [-1], [False]))))
    assert path.tolist() == [0, 0, 0] and score == 0


class Planted(torch.nn.Module):
    """A CTC model that has been told what to write in which frame."""

    def __init__(self, logits, vocabulary):
        super().__init__()
        self.lm_head = torch.nn.Linear(1, 1)
        self.logits = logits
        self.config = SimpleNamespace(
            pad_token_id=vocabulary["<pad>"],
            conv_kernel=[10, 3, 3, 3, 3, 2, 2],
            conv_stride=[5, 2, 2, 2, 2, 2, 2],
        )

    def forward(self, waves):
        assert waves.shape[0] == 1
        return SimpleNamespace(logits=self.logits[None])


def planted(letters_at, *, seconds=2.0, vocabulary=ALPHABET, sure=8.0):
    """A model that writes the given letters in the given frames and blank elsewhere."""
    samples = round(16000 * seconds)
    frames = (samples - 400) // 320 + 1
    logits = torch.zeros(frames, len(vocabulary))
    logits[:, vocabulary["<pad>"]] = sure
    for frame, letter in letters_at.items():
        logits[frame] = 0
        logits[frame, vocabulary[letter]] = sure
    delimiter = "|" if "|" in vocabulary else None
    tokenizer = SimpleNamespace(get_vocab=lambda: vocabulary, word_delimiter_token=delimiter)

    def processor(wave, **_):
        return {"input_values": torch.from_numpy(wave)[None]}

    processor.tokenizer = tokenizer
    model = SimpleNamespace(
        name="planted", family="wav2vec2", module=Planted(logits, vocabulary), processor=processor
    )
    wave = np.random.default_rng(0).normal(scale=0.1, size=samples).astype(np.float32)
    return model, Utterance(id="u", text="", audio=wave, info={"kept": 1})


CAB = {10: "C", 13: "A", 14: "A", 16: "B", 18: "|", 20: "I", 22: "T", 70: "|", 75: "S", 80: "O"}


def test_planted_words_are_found_where_they_were_planted():
    model, utterance = planted(CAB)
    found = align(model, replace(utterance, text="Cab \u2014 it, so?"))
    assert [w.label for w in found.words] == ["cab", "it", "so"]
    # Frame k is centred on 12.5 ms + 20 k and reaches 10 ms to either side.
    first, last = [10, 20, 75], [16, 22, 80]
    starts = [0.0125 + 0.02 * k - 0.01 for k in first]
    ends = [0.0125 + 0.02 * k + 0.01 for k in last]
    half = (starts[1] - ends[0]) / 2  # "cab" and "it" share the gap of 60 ms between them
    want_starts = [starts[0] - 0.05, starts[1] - half, starts[2] - 0.05]
    want_ends = [ends[0] + half, ends[1] + 0.05, ends[2] + 0.05]
    assert [w.start_s for w in found.words] == pytest.approx(want_starts)
    assert [w.end_s for w in found.words] == pytest.approx(want_ends)
    assert found.info["kept"] == 1 and found.info["alignment"] < 0
    assert found.audio is utterance.audio and found.id == "u"


def test_words_of_sew_lie_where_its_head_writes_them():
    """Its layers have a frame every 40 ms, its head one every 20 ms, as that of wav2vec2."""
    model, utterance = planted(CAB)
    utterance = replace(utterance, text="cab it so")
    expected = align(model, utterance).words
    model.family, model.module.config.squeeze_factor = "sew", 2
    assert align(model, utterance).words == expected


def test_words_stay_in_order_and_inside_the_sound():
    model, utterance = planted({0: "A", 1: "|", 2: "B", 98: "|", 99: "C"}, seconds=2.01)
    words = align(model, replace(utterance, text="a b c")).words
    assert words[0].start_s == 0 and words[-1].end_s == pytest.approx(2.01)
    for a, b in itertools.pairwise(words):
        assert a.start_s < a.end_s <= b.start_s < b.end_s


def test_a_wrong_text_scores_lower():
    model, utterance = planted(CAB)
    scores = [
        align(model, replace(utterance, text=text)).info["alignment"]
        for text in ("cab it so", "cab is so", "whether or not")
    ]
    assert scores[0] > scores[1] > scores[2]


def test_lower_case_alphabets_and_alphabets_without_a_delimiter():
    vocabulary = {"<pad>": 3, "é": 0, "t": 1, "u": 2}
    model, utterance = planted({5: "é", 9: "t", 12: "é", 40: "t", 44: "u"}, vocabulary=vocabulary)
    words = align(model, replace(utterance, text="Été tu")).words
    assert [w.label for w in words] == ["été", "tu"]
    assert words[1].start_s == pytest.approx(0.0125 + 0.02 * 40 - 0.06)
    decomposed = align(model, replace(utterance, text="E\u0301te\u0301 tu")).words
    assert decomposed == words


@pytest.mark.parametrize("text", ["", "  ", "...", "\u2014 ' \u2026"])
def test_text_without_words(text):
    model, utterance = planted(CAB)
    with pytest.raises(AlignmentError, match=r"u: the text .* has no words"):
        align(model, replace(utterance, text=text))


def test_words_of_a_text():
    text = "'Twas \u201cJohn\u2019s\u201d well-known, e.g. 2nd; don't!"
    assert words_of(Utterance(id="u", text=text)) == [
        "twas", "john's", "wellknown", "eg", "2nd", "don't",
    ]  # fmt: skip
    assert words_of(Utterance(id="u", text="stop\u2014now, 3\u20134")) == ["stop", "now", "3", "4"]


@pytest.mark.parametrize(("text", "letter"), [("room 7", "7"), ("caf\u00e9", "é"), ("日本", "日")])
def test_letters_that_the_model_does_not_have(text, letter):
    model, utterance = planted(CAB)
    with pytest.raises(AlignmentError, match=f"'{letter}' in .* is not in the alphabet of planted"):
        align(model, replace(utterance, text=text))


def test_a_text_longer_than_the_sound():
    model, utterance = planted({}, seconds=0.2)
    with pytest.raises(AlignmentError, match="at least 28 frames, the sound has 9"):
        align(model, replace(utterance, text="this is far too much to say"))


def test_a_broken_model():
    model, utterance = planted(CAB)
    model.module.logits[30] = np.nan
    with pytest.raises(AlignmentError, match="NaN in frame 30"):
        align(model, replace(utterance, text="cab"))


def test_models_without_letters():
    for family in ("hubert", "whisper"):
        model = tiny_model(family)
        model.name = family
        with pytest.raises(AlignmentError, match=f"{family} has no letters"):
            align(model, Utterance(id="u", text="cab", audio=np.zeros(16000, np.float32)))


def test_sound_that_no_model_takes():
    model, utterance = planted(CAB)
    for wave in (np.zeros(0, np.float32), np.full(900, np.nan, np.float32)):
        with pytest.raises(AudioError):
            align(model, replace(utterance, text="cab", audio=wave))
    long = np.full(121 * 16000, 0.1, np.float32)
    with pytest.raises(TooLongAudioError, match=r"121\.0 s.*cut the recording at pauses"):
        align(model, replace(utterance, text="cab", audio=long))


def test_two_minutes_in_bounded_memory():
    """The whole text of two minutes: one byte for each frame and state, not a table of floats."""
    import tracemalloc

    log_probs = random_log_probs(6000, 32, seed=0)
    chain = ctc_chain([1, 2] * 900, [0] * 1800, gap=0)
    tracemalloc.start()
    best_path(log_probs, chain)
    assert tracemalloc.get_traced_memory()[1] < 1.5 * len(log_probs) * len(chain.columns)
    tracemalloc.stop()


def test_boundary_errors():
    truth = [Interval("SIL", 0, 1), Interval("A", 1, 2), Interval("B", 2, 4)]
    found = [Interval("A", 1.5, 2), Interval("SIL", 2, 3), Interval("B", 3, 3.5)]
    assert boundary_errors(found, truth).tolist() == [[0.5, 0.0], [1.0, -0.5]]
    assert boundary_errors([], [Interval("SIL", 0, 1)]).shape == (0, 2)
    lower = [Interval(i.label.lower(), i.start_s + 0.5, float(i.end_s)) for i in truth[1:]]
    assert boundary_errors(lower, truth).tolist() == [[0.5, 0], [0.5, 0]]
    with pytest.raises(AlignmentError, match="labels differ: A B against B A"):
        boundary_errors(truth, [truth[2], truth[1]])


def test_labels_spread_evenly():
    found = spread(["A", "B", "C", "D"], 1.0, 3.0)
    assert [(i.label, i.start_s, i.end_s) for i in found] == [
        ("A", 1.0, 1.5), ("B", 1.5, 2.0), ("C", 2.0, 2.5), ("D", 2.5, 3.0),
    ]  # fmt: skip
    assert spread([], 0.0, 1.0) == ()


def test_real_speech_is_aligned_better_than_words_spread_evenly():
    """On the corpus, where the truth is known, with whatever CTC model there is."""
    model = load_model("facebook/wav2vec2-base-960h")
    utterances = [u for u in load_corpus("sentences") if u.split == "test"][::24]
    errors, even = [], []
    for utterance in utterances:
        words = align(model, replace(utterance, words=())).words
        assert [w.label for w in words] == [w.label for w in utterance.words]
        null = spread([w.label for w in words], 0, utterance.duration_s)
        errors += list(abs(boundary_errors(words, utterance.words)).ravel())
        even += list(abs(boundary_errors(null, utterance.words)).ravel())
    assert np.median(errors) < 0.5 * np.median(even)
    assert np.median(errors) < 0.06
