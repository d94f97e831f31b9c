"""How probable a true text is: beside passes made by hand."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from speech_interp import load_corpus, load_model
from speech_interp.states import text_scores
from speech_interp.states.hidden_states import model_inputs
from speech_interp.states.scores import ctc_score
from speech_interp.states.transcripts import edit_distance


@cache
def ctc():
    return load_model("facebook/wav2vec2-base-960h")


@cache
def spoken():
    return load_corpus("sentences")[0]


def test_letters_of_a_text():
    model, u = ctc(), spoken()
    ids = text_scores.target_ids(model, u)
    text = model.processor.tokenizer.decode(ids, group_tokens=False).lower()
    assert text == " ".join("".join(c for c in u.text.lower() if c.isalpha() or c in " '").split())


def test_quality_is_the_score_and_the_error_of_the_best_path():
    model, u = ctc(), spoken()
    log_prob, error = text_scores.ctc_quality(model, u)
    ids = text_scores.target_ids(model, u)
    with torch.no_grad():
        expected = ctc_score(model, ids)(torch.from_numpy(np.asarray(u.wave))[None])
        best = model.module(model_inputs(model, u.wave)).logits[0].argmax(-1).tolist()
    assert log_prob == pytest.approx(float(expected) / len(ids), rel=1e-3)
    merged = [k for k, before in zip(best, [None, *best[:-1]], strict=True) if k != before]
    written = [k for k in merged if k != model.module.config.pad_token_id]
    assert error == pytest.approx(edit_distance(written, ids) / len(ids), abs=0.02)
    assert 0 < error < 1


def test_a_letter_that_the_model_does_not_have():
    with pytest.raises(ValueError, match="'ü'"):
        text_scores.target_ids(ctc(), replace(spoken(), text="über"))


def test_log_probability_of_a_text_is_that_of_its_tokens_one_by_one():
    model, u = load_model("openai/whisper-tiny.en"), spoken()
    ids = text_scores.target_ids(model, u)
    tokenizer = model.processor.tokenizer
    assert tokenizer.decode(ids, skip_special_tokens=True).strip() == u.text.strip()
    assert ids[-1] == tokenizer.eos_token_id
    start = len(tokenizer.prefix_tokens)
    with torch.no_grad():
        state = model.module.get_encoder()(model_inputs(model, u.wave))
        total = 0.0
        for place in range(start, len(ids)):
            prefix = torch.tensor([ids[:place]])
            logits = model.module(encoder_outputs=state, decoder_input_ids=prefix).logits
            total += float(logits[0, -1].log_softmax(-1)[ids[place]])
    found = text_scores.whisper_log_prob(model, u)
    assert found == pytest.approx(total / (len(ids) - start), abs=0.02)
