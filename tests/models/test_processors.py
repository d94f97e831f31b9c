"""Checkpoints as training leaves them: the weights and config.json, and nothing about the wave."""

import inspect

import numpy as np
import pytest
import torch
import transformers
from checkpoint_folders import FAMILIES, isolate, save_checkpoint

from speech_interp.models.families import FAMILIES as TABLE
from speech_interp.models.loading import load_model
from speech_interp.models.processors import NoTokenizerError, extractor_of, tokenizer_of
from speech_interp.speech.corpus import Utterance
from speech_interp.states import scores
from speech_interp.states.alignment import AlignmentError, align
from speech_interp.states.hidden_states import hidden_states

WAVE = np.random.default_rng(0).normal(0.1, 0.3, 8000).astype(np.float32)
PREPROCESSOR = "preprocessor_config.json", "processor_config.json"
TOKENIZER = "tokenizer.json", "vocab.json", "tokenizer_config.json"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path / "home")


def trained(folder, family, *, without=(*PREPROCESSOR, *TOKENIZER), **options):
    save_checkpoint(folder, family, **options)
    for file in without:
        (folder / file).unlink(missing_ok=True)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_encoder_loads_with_the_default_of_its_family(tmp_path, family):
    whole = load_model(trained(tmp_path / "whole", family, without=()))
    bare = load_model(trained(tmp_path / "bare", family))
    normalises = {"do_normalize": False} if family == "wavlm" else {}
    for name, value in normalises.items():  # what the originals have, not what the test saved
        setattr(extractor_of(whole), name, value)
    torch.testing.assert_close(hidden_states(bare, WAVE).values, hidden_states(whole, WAVE).values)
    source = {
        "wavlm": "the wavlm family, not of transformers (do_normalize=False)",
        "whisper": "the model's num_mel_bins (feature_size=80)",
    }.get(family, "transformers' Wav2Vec2FeatureExtractor (do_normalize=True)")
    assert f"; no preprocessor file, so the default of {source}" in str(bare)
    assert "no preprocessor" not in str(whole)


@pytest.mark.parametrize("norm, normalises", [("group", False), ("layer", True)])
def test_wavlm_normalises_as_its_originals_do(tmp_path, norm, normalises):
    folder = trained(tmp_path / "bare", "wavlm")
    text = (folder / "config.json").read_text().replace('norm": "group"', f'norm": "{norm}"')
    (folder / "config.json").write_text(text)
    model = load_model(folder, random_init=True)
    assert extractor_of(model).do_normalize is normalises
    assert f"(do_normalize={normalises})" in str(model)


@pytest.mark.parametrize("family", TABLE.values(), ids=lambda family: family.name)
def test_defaults_of_a_family_are_those_of_the_class_that_transformers_names(family):
    """The oracle is the signature of the class, and the table of transformers."""
    from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING_NAMES

    if (
        family.name == "wav2vec2-bert"
    ):  # that table has the one of waves; its processor has it right
        processor = inspect.getsource(transformers.Wav2Vec2BertProcessor)
        assert family.extractor in processor
    else:
        assert FEATURE_EXTRACTOR_MAPPING_NAMES[family.name] == family.extractor
    made = inspect.signature(getattr(transformers, family.extractor)).parameters
    assert {"do_normalize": True, "stride": 2, "feature_size": 80}.items() >= {
        name: made[name].default for name in family.options_said
    }.items()
    # Only these differ from the class, and the model's line names where that comes from.
    assert (family.extractor_options is None) == (family.options_from is None)
    assert (family.extractor_options is None) == (family.name not in ("wavlm", "whisper"))


def test_ctc_scores_labels_and_refuses_letters(tmp_path):
    model = load_model(trained(tmp_path / "bare", "wav2vec2", ctc=True))
    assert str(model).endswith("; no tokenizer, so no text")
    whole = load_model(trained(tmp_path / "whole", "wav2vec2", ctc=True, without=()))
    waves = torch.tensor(WAVE)[None]
    with torch.no_grad():
        found, expected = (scores.ctc_score(m, [7, 8])(waves) for m in (model, whole))
    torch.testing.assert_close(found, expected)
    with pytest.raises(NoTokenizerError, match="bare was loaded without a tokenizer: put"):
        scores.ctc_words(model, WAVE)
    with pytest.raises(AlignmentError, match="bare has no letters"):
        align(model, Utterance(id="u", text="a", audio=WAVE))


def test_whisper_scores_tokens_and_refuses_words(tmp_path):
    model = load_model(trained(tmp_path / "bare", "whisper", multilingual=True), language="zh")
    assert "; no tokenizer, so no text; language zh" in str(model)
    with torch.no_grad():
        ids = [257, 259, 261, 265, 70, 256]
        assert float(scores.whisper_score(model, ids, [4])(torch.tensor(WAVE)[None])) < 0
    with pytest.raises(NoTokenizerError, match="bare was loaded without a tokenizer"):
        scores.whisper_ids(model, WAVE)
    with pytest.raises(NoTokenizerError, match="bare was loaded without a tokenizer"):
        tokenizer_of(model)


@pytest.mark.parametrize("family, options", [("hubert", {"ctc": True}), ("whisper", {})])
def test_tokenizer_is_taken_where_only_the_preprocessor_is_missing(tmp_path, family, options):
    model = load_model(trained(tmp_path / "bare", family, without=PREPROCESSOR, **options))
    assert "no preprocessor" in str(model) and "no tokenizer" not in str(model)
    whole = load_model(trained(tmp_path / "whole", family, without=(), **options))
    assert tokenizer_of(model).get_vocab() == tokenizer_of(whole).get_vocab()
    assert type(model.processor) is type(whole.processor)
    hidden_states(model, WAVE)


def test_base_model_says_nothing_about_a_tokenizer(tmp_path):
    assert "tokenizer" not in str(load_model(trained(tmp_path / "bare", "hubert")))
