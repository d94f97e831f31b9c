"""Words and phones: the best of all paths, planted states, dictionaries, real speech."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from speech_interp.speech.corpus import Interval, Utterance, load_corpus
from speech_interp.states import phone_alignment
from speech_interp.states.alignment import AlignmentError
from speech_interp.states.features import mfcc
from speech_interp.states.hidden_states import HiddenStates
from speech_interp.states.phone_alignment import (
    PhoneScorer,
    align_phones,
    fit_phones,
    pronunciations_of,
    read_pronunciations,
)

LEXICON = {"see": ("S", "IY"), "us": ("AH", "S"), "say": ("S", "EY"), "a": ("AH",)}
LABELS = ("AH", "EY", "IY", "S", "SIL")
STEP_S = 0.02


def planted(sequence, rng, *, units=8, noise=0.3, layers=2):
    """States and truth of a sequence of (phone, frames): each phone has its own direction."""
    centres = np.eye(len(LABELS), units)
    kinds = [label for label, frames in sequence for _ in range(frames)]
    values = np.stack([centres[LABELS.index(k)] for k in kinds])
    values = values + noise * rng.normal(size=values.shape)
    times_s = STEP_S * (np.arange(len(kinds)) + 0.5)
    ends = np.cumsum([STEP_S * frames for _, frames in sequence])
    starts = [0.0, *ends[:-1]]
    phones = tuple(
        Interval(label, float(a), float(b))
        for (label, _), a, b in zip(sequence, starts, ends, strict=True)
    )
    layered = np.stack([rng.normal(size=values.shape)] * (layers - 1) + [values])
    states = HiddenStates(torch.tensor(layered, dtype=torch.float32), times_s)
    audio = np.zeros(round(16000 * ends[-1]), np.float32)
    return states, Utterance(id="u", text="", phones=phones, audio=audio)


def sentence(words, rng):
    """Phones with random lengths, a pause here and there."""
    sequence = [("SIL", int(rng.integers(3, 9)))]
    for word in words:
        sequence += [(phone, int(rng.integers(2, 9))) for phone in LEXICON[word]]
        if rng.random() < 0.4:
            sequence.append(("SIL", int(rng.integers(3, 9))))
    return sequence


@pytest.fixture(scope="module")
def scorer():
    rng = np.random.default_rng(0)
    words = rng.choice(list(LEXICON), size=(20, 5))
    trained = [planted(sentence(line, rng), rng) for line in words]
    return fit_phones([s for s, _ in trained], [u for _, u in trained], layer=1)


def test_planted_phones_are_found_to_the_frame(scorer):
    rng = np.random.default_rng(1)
    for line in rng.choice(list(LEXICON), size=(20, 6)):
        states, truth = planted(sentence(line, rng), rng, noise=0.1)
        merged = [(k, list(g)) for k, g in itertools.groupby(truth.phones, lambda p: p.label)]
        found = align_phones(scorer, states, replace(truth, text=" ".join(line)), LEXICON)
        assert [k for k, _ in itertools.groupby(found.phones, lambda p: p.label)] == [
            k for k, _ in merged
        ]
        if len(merged) == len(truth.phones):  # no phone twice in a row: boundaries are certain
            assert [p.end_s for p in found.phones] == pytest.approx([p.end_s for p in truth.phones])
        assert [w.label for w in found.words] == list(line)


def test_phones_tile_the_time_and_words_begin_and_end_with_them(scorer):
    rng = np.random.default_rng(2)
    states, truth = planted(sentence(["see", "us", "say", "a"], rng), rng, noise=1.5)
    found = align_phones(scorer, states, replace(truth, text="See us: say 'a'."), LEXICON)
    assert found.phones[0].start_s == 0 and found.phones[-1].end_s == truth.duration_s
    for a, b in itertools.pairwise(found.phones):
        assert a.end_s == b.start_s
    spoken = [p for p in found.phones if p.label != "SIL"]
    assert [p.label for p in spoken] == ["S", "IY", "AH", "S", "S", "EY", "AH"]
    assert {w.start_s for w in found.words} <= {p.start_s for p in spoken}
    assert {w.end_s for w in found.words} <= {p.end_s for p in spoken}


def best_of_all_paths(log_probs, words):
    """Every choice of pauses and of lengths: the best total."""
    frames, best = len(log_probs), -np.inf
    for pauses in itertools.product([0, 1], repeat=len(words) + 1):
        labels = ["SIL"] * pauses[0]
        for word, pause in zip(words, pauses[1:], strict=True):
            labels += [*LEXICON[word], *["SIL"] * pause]
        columns = [LABELS.index(label) for label in labels]
        for cuts in itertools.combinations(range(1, frames), len(columns) - 1):
            edges = [0, *cuts, frames]
            total = sum(
                log_probs[a:b, column].sum()
                for column, (a, b) in zip(columns, itertools.pairwise(edges), strict=True)
            )
            best = max(best, total)
    return best


@pytest.mark.parametrize("words", [["a"], ["see"], ["us", "see"], ["a", "a", "say"]])
def test_the_path_is_the_best_of_all_paths(words):
    for seed in range(5):
        values = torch.tensor(np.random.default_rng(seed).normal(size=(1, 8, 5)))
        states = HiddenStates(values, STEP_S * (np.arange(8) + 0.5))
        plain = PhoneScorer(LABELS, 0, np.eye(5), np.zeros(5))
        audio = np.zeros(round(16000 * 8 * STEP_S), np.float32)
        utterance = Utterance(id="u", text=" ".join(words), audio=audio)
        found = align_phones(plain, states, utterance, LEXICON)
        best = best_of_all_paths(plain.log_probs(states), words)
        assert found.info["alignment"] == pytest.approx(best / 8)


def test_scorer_is_linear_discriminant_analysis(monkeypatch):
    monkeypatch.setattr(phone_alignment, "SHRINKAGE", 0.0)
    rng = np.random.default_rng(3)
    pairs = [planted(sentence(["see", "us", "say"], rng), rng) for _ in range(8)]
    ours = fit_phones([s for s, _ in pairs], [u for _, u in pairs], layer=1)
    frames = np.concatenate([s.values[1].numpy() for s, _ in pairs]).astype(float)
    labels = [p.label for _, u in pairs for p in u.phones for _ in range(round(p.duration_s * 50))]
    theirs = LinearDiscriminantAnalysis(solver="lsqr").fit(frames, labels)
    assert ours.labels == tuple(theirs.classes_)
    assert np.allclose(ours.weights, theirs.coef_)
    assert np.allclose(ours.offsets, theirs.intercept_ - np.log(theirs.priors_))


def test_log_probs_sum_to_one_and_survive_large_scores(scorer):
    states = HiddenStates(1e4 * torch.randn(2, 30, 8), STEP_S * np.arange(30))
    log_probs = scorer.log_probs(states)
    assert np.allclose(np.exp(log_probs).sum(axis=1), 1) and np.isfinite(log_probs.max(1)).all()


def test_texts_that_cannot_be(scorer):
    rng = np.random.default_rng(4)
    states, utterance = planted([("SIL", 3), ("S", 4), ("IY", 4)], rng)
    for text, message in [
        ("", "has no words"),
        ("see the sea", r"no pronunciation of sea, the; add it: .*\"sea\""),
        ("see us say a see us say", "at least 13 frames, the sound has 11"),
    ]:
        with pytest.raises(AlignmentError, match=message):
            align_phones(scorer, states, replace(utterance, text=text), LEXICON)
    with pytest.raises(AlignmentError, match="has not learnt TH, ZH"):
        odd = LEXICON | {"see": ("ZH", "TH")}
        align_phones(scorer, states, replace(utterance, text="see"), odd)
    with pytest.raises(AlignmentError, match="has not learnt SIL"):
        named = ("PAU" if label == "SIL" else label for label in scorer.labels)
        other = replace(scorer, labels=tuple(named))
        align_phones(other, states, replace(utterance, text="see"), LEXICON)
    with pytest.raises(AlignmentError, match="no pronunciation of see"):
        align_phones(scorer, states, replace(utterance, text="see"), {"see": ()})


@pytest.mark.filterwarnings("ignore:invalid value")
def test_broken_states_and_utterances_without_phones(scorer):
    rng = np.random.default_rng(5)
    states, utterance = planted([("S", 4), ("IY", 4)], rng)
    states.values[1, 6, 2] = float("nan")
    with pytest.raises(AlignmentError, match="NaN in frame 6"):
        align_phones(scorer, states, replace(utterance, text="see"), LEXICON)
    with pytest.raises(AlignmentError, match="u: no phones to learn from"):
        fit_phones([states], [replace(utterance, phones=())], layer=1)


def test_the_most_frequent_pronunciation_counts():
    def said(*phones):
        edges = np.linspace(0, 1, len(phones) + 1)
        intervals = [
            Interval(p, *map(float, e))
            for p, e in zip(phones, itertools.pairwise(edges), strict=True)
        ]
        return Utterance(
            id="u", text="", words=(Interval("The", 0.0, 1.0),), phones=tuple(intervals)
        )

    both = [said("DH", "IY"), said("DH", "AX"), said("DH", "AX")]
    assert pronunciations_of(both) == {"the": ("DH", "AX")}


def test_pronunciations_of_the_corpus_are_its_phones():
    utterances = load_corpus("sentences")[:60]
    lexicon = pronunciations_of(utterances)
    assert {w.label for u in utterances for w in u.words} == set(lexicon)
    agree = 0
    for utterance in utterances:
        phones = [p for w in utterance.words for p in lexicon[w.label]]
        agree += phones == [p.label for p in utterance.phones if p.label != "SIL"]
    assert agree > 0.8 * len(utterances)


def test_dictionaries_in_the_format_of_cmudict(tmp_path):
    path = tmp_path / "dict"
    path.write_bytes(
        b";;; a comment\n# another\n\nABOUT  AH0 B AW1 T\nABOUT(2)  B AW1 T\n"
        b"cot K AA1 T # with a note\nA'S  EY1 Z\nJOS\xc9  HH OW0 S EY1\n"
    )
    found = read_pronunciations(path)
    assert found["about"] == ("AX", "B", "AW", "T")
    assert found["cot"] == ("K", "AA", "T") and found["a's"] == ("EY", "Z")
    assert len(found) == 4
    for line in ("WORD", "WORD Q X", "see seeing"):
        path.write_text(line)
        with pytest.raises(AlignmentError, match=f"'{line}' is not a word and its phones"):
            read_pronunciations(path)


def test_real_speech_from_mfccs():
    """Even without a model: phones of an unseen voice, better than spread evenly in the words."""
    utterances = [u for u in load_corpus("sentences") if u.synthesiser == "flite"]
    train = [u for u in utterances if u.split == "train" and u.speaker != "slt"][::12]
    test = [u for u in utterances if u.split == "test" and u.speaker == "slt"][::5]
    scorer = fit_phones([mfcc(u.wave) for u in train], train, layer=0)
    lexicon = pronunciations_of(utterances)
    errors, even = [], []
    for utterance in test:
        truth = [p for p in utterance.phones if p.label != "SIL"]
        bare = replace(utterance, words=(), phones=())
        found = [p for p in align_phones(scorer, mfcc(utterance.wave), bare, lexicon).phones
                 if p.label != "SIL"]  # fmt: skip
        if [p.label for p in found] != [p.label for p in truth]:
            continue  # said otherwise than most often
        starts = np.array([p.start_s for p in truth])
        errors += list(abs(np.array([p.start_s for p in found]) - starts))
        even += list(abs(np.linspace(0, utterance.duration_s, len(truth) + 1)[:-1] - starts))
    assert len(errors) > 100
    assert np.median(errors) < 0.03 < 0.5 * np.median(even)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_states_of_half_precision_make_the_same_scorer(dtype):
    rng = np.random.default_rng(0)
    times_s = 0.02 * np.arange(50)
    values = torch.tensor(rng.normal(size=(1, 50, 3)), dtype=dtype)
    said = Utterance(id="a", text="", phones=(Interval("AA", 0.0, 0.5), Interval("S", 0.5, 1.0)))
    half = fit_phones([HiddenStates(values, times_s)], [said], layer=0)
    full = fit_phones([HiddenStates(values.float(), times_s)], [said], layer=0)
    assert np.array_equal(half.weights, full.weights)
    states = HiddenStates(values, times_s)
    assert half.log_probs(states).shape == (50, 2)
