"""Checkpoints as training leaves them: the weights and config.json, and nothing about the wave."""

import inspect
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from checkpoint_folders import FAMILIES, isolate, save_checkpoint
from tokenizers import Tokenizer, models, pre_tokenizers

from speech_interp import load_corpus
from speech_interp.models.checkpoint_files import CheckpointError
from speech_interp.models.families import FAMILIES as TABLE
from speech_interp.models.loading import load_model
from speech_interp.models.processors import (
    NoTokenizerError,
    extractor_of,
    mend_first_merge,
    tokenizer_of,
)
from speech_interp.speech.corpus import Utterance
from speech_interp.states import scores, text_scores
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
    own = ("wavlm", "whisper", "parakeet_ctc", "parakeet_encoder")
    # Only these differ from the class, and the model's line names where that comes from.
    assert (family.extractor_options is None) == (family.options_from is None)
    assert (family.extractor_options is None) == (family.name not in own)


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


MERGES = [("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("Ġ", "a"), ("a", "t"), ("Ġ", "h")]


def piece_tokenizer(merges):
    """Letters and the pieces of `MERGES`, whichever of these merges are left."""
    pieces = ["<end>", *"Ġtheabcdfgiklmnoprsuvwxyz", *("".join(merge) for merge in MERGES)]
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(["<end>"])
    return SimpleNamespace(backend_tokenizer=tokenizer)


def pieces_of(tokenizer, text=" the hat that"):
    return tokenizer.backend_tokenizer.encode(text).tokens


def test_a_lost_first_merge_is_put_back():
    whole, published = piece_tokenizer(MERGES), piece_tokenizer(MERGES[1:])
    assert pieces_of(published) == ["Ġ", "t", "he", "Ġh", "at", "Ġ", "t", "h", "at"]
    mend_first_merge(published)
    assert pieces_of(published) == pieces_of(whole) == ["Ġthe", "Ġh", "at", "Ġt", "h", "at"]
    content = whole.backend_tokenizer.to_str()
    mend_first_merge(whole)
    assert whole.backend_tokenizer.to_str() == content


def test_merges_of_unknown_order_are_left_alone():
    """Two merges are lost, and nothing says which came first."""
    tokenizer = piece_tokenizer([MERGES[k] for k in (0, 2, 4, 5)])
    content = tokenizer.backend_tokenizer.to_str()
    mend_first_merge(tokenizer)
    assert tokenizer.backend_tokenizer.to_str() == content


def test_every_use_of_a_saved_tokenizer_has_its_first_merge(tmp_path):
    """As a folder that an earlier version converted: the file itself is not touched."""
    save_checkpoint(tmp_path / "whole", "whisper", multilingual=True)
    file = tmp_path / "whole" / "tokenizer.json"
    content = json.loads(file.read_text())
    content["model"]["vocab"] |= {"Ġt": 1800, "Ġth": 1801}
    content["model"]["merges"] = [["Ġt", "h"]]
    file.write_text(json.dumps(content))
    model = load_model(tmp_path / "whole", language="zh")
    assert scores.tokens_of(model, "the")[0] == 1801
    spoken = Utterance(id="u", text="The thing, this", audio=WAVE)
    assert text_scores.target_ids(model, spoken)[4:].count(1801) == 2
    assert tokenizer_of(model).decode([1801]) == " th"
    assert json.loads(file.read_text()) == content


@pytest.mark.network
def test_real_multilingual_whisper_writes_the_as_one_token(monkeypatch):
    monkeypatch.undo()  # the caches of this machine, not those of a test
    try:
        model = load_model("openai/whisper-base", language="en")
    except CheckpointError as error:
        pytest.skip(f"whisper-base is out of reach: {str(error).splitlines()[-2].strip()}")
    assert scores.tokens_of(model, "the") == [264] and tokenizer_of(model).decode([264]) == " the"
    sentence = next(u for u in load_corpus("sentences") if u.speaker == "slt")
    written = scores.whisper_ids(model, sentence.wave)
    text = tokenizer_of(model).decode(written, skip_special_tokens=True)
    # What it spells of its own text are the tokens that it wrote.
    assert tokenizer_of(model).encode(text, add_special_tokens=False) == written[4:-1]
