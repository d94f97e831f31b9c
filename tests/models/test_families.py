"""Every family of the table loads by its configuration, and gives states; others say how to add."""

import json

import numpy as np
import pytest
import torch
from checkpoint_folders import isolate, save_checkpoint
from tiny import FAMILIES as TINY
from tiny import tiny_model

from speech_interp.methods.lenses import NO_LETTER, ctc_lens
from speech_interp.models.families import FAMILIES, family_of
from speech_interp.models.loading import load_model
from speech_interp.states import scores
from speech_interp.states.class_scores import class_log_probs
from speech_interp.states.frames import GRIDS
from speech_interp.states.hidden_states import encoder_layers, hidden_states, model_inputs

WAVE = np.random.default_rng(0).normal(0.05, 0.3, 8000).astype(np.float32)
WAVES = torch.tensor(WAVE)[None]
NEW = ["moonshine", "data2vec-audio", "unispeech-sat", "wav2vec2-conformer", "sew", "wav2vec2-bert"]
NEW += ["parakeet_ctc", "parakeet_encoder"]


@pytest.fixture
def save(tmp_path, monkeypatch):
    """Saves the tiny model of a family, or one like it with a head; with its extractor or not."""
    isolate(monkeypatch, tmp_path / "home")

    def save(name, *, head=None, extractor=True):
        tiny = tiny_model(name)
        module = tiny.module
        if head is not None:
            config = module.config
            config.classifier_proj_size, config.id2label = 8, {0: "a", 1: "b"}
            module = head.from_config(config).eval()
        module.save_pretrained(tmp_path / "small")
        if extractor:
            tiny.processor.save_pretrained(tmp_path / "small")
        return module, tiny

    return save


def test_every_family_of_the_table_is_among_those_that_frames_and_layers_are_tested_on():
    tested = {name.removesuffix("-stable").removesuffix("-128-bins") for name in TINY}
    assert tested == set(FAMILIES)
    assert {family.grid for family in FAMILIES.values()} == set(GRIDS)


@pytest.mark.parametrize("extractor", [True, False])
@pytest.mark.parametrize("name", NEW)
def test_new_family_loads_as_it_was_saved(save, tmp_path, name, extractor):
    _, tiny = save(name, extractor=extractor)
    model = load_model(tmp_path / "small")
    assert (model.family, model.layer_count, model.unit_count) == (name, 3, 16)
    found, expected = hidden_states(model, WAVE), hidden_states(tiny, WAVE)
    torch.testing.assert_close(found.values, expected.values)
    assert found.values.shape == (1 + len(encoder_layers(model)), len(found.times_s), 16)
    assert ("no preprocessor file" in str(model)) is not extractor
    twin = load_model(tmp_path / "small", random_init=True, seed=1)
    assert (hidden_states(twin, WAVE).values - found.values).abs().max() > 1e-3


def test_the_decoder_of_another_family_than_whisper_is_refused(save, tmp_path):
    save("moonshine")
    assert load_model(tmp_path / "small").layer_count == 3  # the decoder has 2
    with pytest.raises(ValueError, match=r"decoder of small \(moonshine\) is not looked into"):
        load_model(tmp_path / "small", head="seq2seq")


@pytest.mark.parametrize("name", NEW[1:-2])  # transformers has no such head for the others
def test_new_family_keeps_a_classifier(save, tmp_path, name):
    import transformers

    original, tiny = save(name, head=transformers.AutoModelForAudioClassification)
    model = load_model(tmp_path / "small")
    assert model.labels == ("a", "b")
    if not family_of(name).differentiable:
        with pytest.raises(ValueError, match="the front end of wav2vec2-bert gives no gradients"):
            class_log_probs(model, WAVES)
        return
    inputs = tiny.processor(WAVE, sampling_rate=16_000, return_tensors="pt").input_values
    with torch.no_grad():
        expected = original(inputs).logits.log_softmax(-1)
        torch.testing.assert_close(class_log_probs(model, WAVES), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", [name for name in NEW if family_of(name).differentiable])
def test_scores_on_the_states_of_a_new_family(name):
    model = tiny_model(name)
    states = scores.layer_states(model, WAVES, layer=2)
    expected = hidden_states(model, WAVE).values[2]
    torch.testing.assert_close(states[0], expected, atol=1e-4, rtol=1e-4)


def test_parakeet_writes_pieces_of_words(tmp_path, monkeypatch):
    """Saved as its checkpoints are: the size of its encoder in a configuration of its own."""
    import tokenizers
    import transformers as hf

    isolate(monkeypatch, tmp_path / "home")
    pieces = ["<blank>", "<unk>", "▁a", "b", "▁c", "d", "▁", "e", "f"]
    words = tokenizers.models.WordLevel({p: k for k, p in enumerate(pieces)}, unk_token="<unk>")
    fast = tokenizers.Tokenizer(words)
    fast.decoder = tokenizers.decoders.Metaspace()
    special = {"pad_token": "<blank>", "unk_token": "<unk>"}
    tokenizer = hf.ParakeetTokenizer(tokenizer_object=fast, **special)
    original = tiny_model("parakeet_ctc")
    original.module.ctc_head.weight.data *= 100  # so that it writes more than one piece
    original.module.save_pretrained(tmp_path / "small")
    hf.ParakeetProcessor(original.processor, tokenizer).save_pretrained(tmp_path / "small")
    model = load_model(tmp_path / "small")
    assert (model.layer_count, model.unit_count) == (3, 16)
    wave = np.random.default_rng(0).normal(0, 0.3, 80_000).astype(np.float32)
    lens = ctc_lens(model, wave)
    with torch.no_grad():
        logits = original.module(model_inputs(original, wave)).logits[0]
    assert torch.equal(lens.log_probs[-1], logits.log_softmax(-1))
    path = logits.argmax(-1)
    assert len(path.unique()) > 2
    written = lens.texts()[-1].replace(NO_LETTER, "<unk>")
    assert written == " ".join(tokenizer.decode(path).split())


def test_family_that_is_not_in_the_table_says_how_to_add_it(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path / "home")
    save_checkpoint(tmp_path / "small", "hubert")
    file = tmp_path / "small" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_type": "sew-d"}))
    with pytest.raises(ValueError, match=r"small is a sew-d model, expected one of wav2vec2, hu"):
        load_model(tmp_path / "small")
    with pytest.raises(ValueError, match=r"put a row into speech_interp/models/families\.py"):
        load_model(tmp_path / "small")
