"""What the corpus page promises: methods run on recordings of which only the text was known."""

import numpy as np
import pytest
import soundfile as sf
import torch

from speech_interp import load_corpus, load_model
from speech_interp.methods.attribution import leave_one_out
from speech_interp.methods.cka import cka_matrix
from speech_interp.methods.context_mixing import value_zeroing, word_map
from speech_interp.methods.games import make_game
from speech_interp.methods.probing import classify, grouped_folds
from speech_interp.speech.recordings import from_file
from speech_interp.states.alignment import align
from speech_interp.states.attention import record_attention
from speech_interp.states.hidden_states import model_inputs
from speech_interp.states.items import collect
from speech_interp.states.scores import ctc_word_scores, ctc_words


@pytest.fixture(scope="module")
def ctc():
    return load_model("facebook/wav2vec2-base-960h")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory, ctc):
    """Four sentences by three voices, as files; words from their texts, no phones."""
    folder, found = tmp_path_factory.mktemp("recordings"), []
    voices = ("slt-flite", "rms-flite", "awb-flite")
    spoken = [u for u in load_corpus("sentences") if u.info["voice"] in voices]
    texts = sorted({u.text for u in spoken})[:4]
    for number, u in enumerate(u for u in spoken if u.text in texts):
        path = folder / f"{number}.wav"
        sf.write(path, np.stack([u.wave, u.wave], axis=1), 16_000)
        found.append(align(ctc, from_file(path, text=u.text, speaker=u.speaker)))
    assert len(found) == 12
    return found


def test_words_are_probed_and_compared(ctc, recordings):
    items = collect(ctc, recordings, "words", progress=False)
    folds = grouped_folds(items.speakers)
    probe = classify(items.states, items.labels, folds, clusters=(items.speakers, items.texts))
    chance = max(np.unique(items.labels, return_counts=True)[1]) / len(items)
    assert probe.score().max() > chance + 0.2  # the words of a sentence, by an unheard speaker
    assert probe.interval().shape == (2, ctc.layer_count + 1)
    cka = cka_matrix(list(items.states))
    np.testing.assert_allclose(np.diag(cka), 1)


def test_words_are_mapped_and_explained(ctc, recordings):
    u = recordings[0]
    steps = record_attention(ctc.module, input_values=model_inputs(ctc, u.wave))
    states = collect(ctc, [u], "words", progress=False)
    frames = [
        torch.arange(int(a * 50), max(int(a * 50) + 1, int(b * 50)))
        for a, b in zip(states.start_s, states.end_s, strict=True)
    ]
    scores = word_map(steps[-1], value_zeroing, targets=frames, sources=frames).scores
    assert scores.shape == (len(u.words), len(u.words)) and torch.isfinite(scores).all()
    game = make_game(ctc_word_scores(ctc, ctc_words(ctc, u.wave)[:1]), u.wave, u.words)
    assert torch.isfinite(leave_one_out(game.about(0))).all()
