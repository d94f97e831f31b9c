"""Items are the pooled states of single passes, with what is known of each in step."""

import numpy as np
import pytest
from tiny import tiny_model

from speech_interp.speech.corpus import SILENCE, Interval, load_corpus
from speech_interp.states.features import mfcc
from speech_interp.states.hidden_states import hidden_states, pool
from speech_interp.states.items import collect, mixed_leads, neighbours


@pytest.fixture(scope="module")
def utterances():
    return load_corpus("keywords")[:3]


@pytest.mark.parametrize("family", ["hubert", "whisper"])
def test_items_are_the_pooled_states_of_each_utterance_alone(family, utterances):
    model = tiny_model(family)
    items = collect(model, utterances, progress=False)
    expected = [
        pool(hidden_states(model, u.wave), [p for p in u.phones if p.label != "SIL"])
        for u in utterances
    ]
    np.testing.assert_allclose(items.states, np.concatenate(expected, axis=1), atol=1e-6)
    last = items.where(items.utterances == utterances[-1].id)
    assert list(last.labels) == [p.label for p in utterances[-1].phones if p.label != "SIL"]
    assert set(last.speakers) == {utterances[-1].speaker}
    np.testing.assert_allclose(
        last.duration_s, [p.duration_s for p in utterances[-1].phones if p.label != "SIL"]
    )


def test_functions_words_and_whole_utterances_are_items_too(utterances):
    words = collect(mfcc, utterances, "words", progress=False)
    assert words.states.shape == (1, sum(len(u.words) for u in utterances), 39)
    whole = collect(mfcc, utterances, "utterance", progress=False)
    assert list(whole.labels) == [u.text for u in utterances]
    np.testing.assert_allclose(whole.states[0, 0], mfcc(utterances[0].wave).values[0].mean(0), 1e-5)


def test_what_is_kept_keeps_its_place(utterances):
    vowel = collect(mfcc, utterances, keep=lambda p: p.label in ("EH", "S"), progress=False)
    for label, place, name in zip(vowel.labels, vowel.places, vowel.utterances, strict=True):
        phones = next(u for u in utterances if u.id == name).phones
        assert phones[place].label == label


def test_a_lead_moves_the_sound_on_the_clock_and_nothing_else(utterances):
    """MFCCs do not count time, so silence before the sound leaves them as they are."""
    early = collect(mfcc, utterances, progress=False, keep=lambda p: 0.2 < p.start_s < 0.5)
    late = collect(mfcc, utterances, progress=False, keep=lambda p: 0.2 < p.start_s < 0.5, lead_s=2)
    np.testing.assert_allclose(early.states[..., :13], late.states[..., :13], atol=1e-2)
    np.testing.assert_array_equal(early.start_s, late.start_s)
    whisper = tiny_model("whisper")
    moved = [collect(whisper, utterances[:1], lead_s=s, progress=False).states for s in (0, 2)]
    assert np.abs(moved[0] - moved[1]).max() > 0.01


def test_chosen_layers_are_those_of_all(utterances):
    model = tiny_model("hubert")
    every = collect(model, utterances[:1], progress=False)
    some = collect(model, utterances[:1], layers=[3, 1], progress=False)
    np.testing.assert_array_equal(some.states, every.states[[3, 1]])


def test_errors_name_what_came(utterances):
    with pytest.raises(ValueError, match="none of the 3 utterances has an interval"):
        collect(mfcc, utterances, keep=lambda p: False, progress=False)
    with pytest.raises(ValueError, match="tier is 'letters'"):
        collect(mfcc, utterances, "letters", progress=False)
    assert Interval("a", 0, 1).duration_s == 1


def test_each_utterance_may_have_a_silence_of_its_own(utterances):
    whisper = tiny_model("whisper")
    together = collect(whisper, utterances, lead_s=[0.0, 1.0, 2.0], progress=False)
    alone = [
        collect(whisper, [u], lead_s=lead_s, progress=False).states
        for u, lead_s in zip(utterances, (0.0, 1.0, 2.0), strict=True)
    ]
    np.testing.assert_allclose(together.states, np.concatenate(alone, axis=1), atol=1e-6)
    with pytest.raises(ValueError, match="shape"):
        collect(mfcc, utterances, lead_s=[0.0, 1.0], progress=False)


def test_mixed_silences_tell_neither_speaker_nor_sentence():
    """A silence of the speaker's own would be a perfect clue; here its mean is the same for all."""
    spoken = [u for u in load_corpus("sentences") if u.split == "test" and u.speaker != "joe"]
    leads_s = mixed_leads(spoken)
    for name in ("speaker", "text"):
        groups = np.array([getattr(u, name) for u in spoken])
        means = [leads_s[groups == g].mean() for g in np.unique(groups)]
        assert np.std(means) < 0.35 < leads_s.std()
    assert leads_s.min() == 0 and leads_s.max() == 3
    np.testing.assert_array_equal(leads_s, mixed_leads(spoken))
    assert (leads_s != mixed_leads(spoken, seed=1)).any()


def test_frames_of_items_pool_to_their_states(utterances):
    kept = collect(mfcc, utterances, pooled=False, progress=False)
    pooled = collect(mfcc, utterances, progress=False)
    means = [kept.states[:, a:b].mean(1) for a, b in kept.spans]
    np.testing.assert_allclose(np.stack(means, axis=1), pooled.states, rtol=1e-4, atol=1e-4)
    assert (np.diff(kept.spans, axis=1) > 0).all() and len(kept) == len(pooled)
    some = kept.where(np.arange(len(kept)) % 2 == 1)
    assert some.states is kept.states and (some.spans == kept.spans[1::2]).all()


def test_triphones_reach_over_their_neighbours(utterances):
    found = collect(mfcc, utterances, "triphones", pooled=False, progress=False)
    sides = neighbours(found, utterances)
    of = {u.id: u.phones for u in utterances}
    for k in range(len(found)):
        phones, place = of[found.utterances[k]], found.places[k]
        three = [phones[place + step] for step in (-1, 0, 1)]
        labels = [sides["before"][k], found.labels[k], sides["after"][k]]
        assert [p.label for p in three] == labels and SILENCE not in labels
        assert (found.start_s[k], found.end_s[k]) == (three[0].start_s, three[2].end_s)
    phones = collect(mfcc, utterances, progress=False)
    assert set(neighbours(phones, utterances)) == {"before", "after"}
