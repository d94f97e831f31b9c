"""Switches that somebody saved with a checkpoint change nothing of what we read from it."""

import json

import numpy as np
import pytest
import torch
from checkpoint_folders import FAMILIES, isolate, save_checkpoint, save_classifier

from speech_interp.models.checkpoint_files import CheckpointError
from speech_interp.models.loading import load_model
from speech_interp.states import scores
from speech_interp.states.attention import record_attention
from speech_interp.states.class_scores import class_log_probs
from speech_interp.states.hidden_states import encoder_of, hidden_states, model_inputs
from speech_interp.studies.homophones import Choice, log_odds

WAVE = np.random.default_rng(0).normal(size=8000).astype(np.float32)
WAVES = torch.tensor(WAVE)[None]
SWITCHES = {
    "output_attentions": {"output_attentions": True},
    "output_hidden_states": {"output_hidden_states": True},
    "return_dict": {"return_dict": False},
    "torchscript": {"torchscript": True},
    "layerdrop": {"layerdrop": 1.0, "encoder_layerdrop": 1.0, "decoder_layerdrop": 1.0},
    "use_cache": {"use_cache": False},
    "gradient_checkpointing": {"gradient_checkpointing": True},
    "half": {"dtype": "float16", "torch_dtype": "float16"},
    "flash": {"attn_implementation": "flash_attention_2"},
    "flash_": {"_attn_implementation": "flash_attention_2"},
    "unknown attention": {"_attn_implementation": "of_the_future"},
    "eager": {"_attn_implementation": "eager"},
    "all": {
        "output_attentions": True, "output_hidden_states": True, "return_dict": False,
        "attn_implementation": "sdpa", "layerdrop": 1.0, "use_cache": False,
    },
}  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path / "home")


def switched(folder, switches, file="config.json"):
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | switches))
    return folder


@torch.no_grad()
def everything_read(model) -> dict[str, torch.Tensor]:
    """What the package reads from a model, from one pass of each kind."""
    inputs = model_inputs(model, WAVE)
    found = {"states": hidden_states(model, WAVE).values}
    found["layer"] = scores.layer_states(model, WAVES, layer=2)
    if model.family == "whisper" and hasattr(model.module, "proj_out"):
        ids = [257, 265, 70, 80, 90]
        found["score"] = scores.whisper_score(model, ids, [2, 3, 4])(WAVES)
        found["written"] = torch.tensor(scores.whisper_ids(model, WAVE, longest=4))
        choice = Choice(start=ids[:2], words=[[70]], right=[80, 90], wrong=[81], blank=0)
        states = encoder_of(model)(inputs)[0]
        found["odds"] = torch.tensor(log_odds(model, states, choice, [choice.prefix()]))
        passed = {"input_features": inputs, "decoder_input_ids": torch.tensor([ids])}
    else:
        passed = {"input_features" if model.family == "whisper" else "input_values": inputs}
    if hasattr(model.module, "lm_head"):
        found["ctc"] = scores.ctc_score(model, [7, 8])(WAVES)
    if hasattr(model.module, "classifier"):
        found["class"] = class_log_probs(model, WAVES)
    if model.family != "wavlm":
        steps = record_attention(model.module, **passed)
        found |= {f"{s.stack} {s.layer}": s.weights() for s in steps}
    return found


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("family", FAMILIES)
def test_switch_changes_nothing(tmp_path, family, switch):
    save_checkpoint(tmp_path / "small", family, ctc=family != "whisper")
    plain = everything_read(load_model(tmp_path / "small"))
    model = load_model(switched(tmp_path / "small", SWITCHES[switch]))
    found = everything_read(model)
    assert found.keys() == plain.keys() and len(found) > 2
    for name, values in plain.items():
        torch.testing.assert_close(found[name], values, msg=lambda m, name=name: f"{name}: {m}")
    assert model.module.config._attn_implementation == ("eager" if family == "wavlm" else "sdpa")
    assert next(model.module.parameters()).dtype == torch.float32


@pytest.mark.parametrize("switch", ["return_dict", "all"])
@pytest.mark.parametrize("family", ["wav2vec2", "whisper"])
def test_switch_changes_no_classifier(tmp_path, family, switch):
    save_classifier(tmp_path / "small", family, ["a", "b"], use_weighted_layer_sum=True)
    plain = everything_read(load_model(tmp_path / "small"))
    found = everything_read(load_model(switched(tmp_path / "small", SWITCHES[switch])))
    assert "class" in plain
    for name, values in plain.items():
        torch.testing.assert_close(found[name], values)


@pytest.mark.parametrize(
    "switches",
    [
        {"output_attentions": True},
        {"return_dict_in_generate": True, "output_scores": True},
        {"return_timestamps": True},
        {"use_cache": False},
        {"return_legacy_cache": True},
    ],
)
def test_switches_of_generation_change_nothing(tmp_path, switches):
    save_checkpoint(tmp_path / "small", "whisper")
    plain = everything_read(load_model(tmp_path / "small"))
    model = load_model(switched(tmp_path / "small", switches, "generation_config.json"))
    for name, values in everything_read(model).items():
        torch.testing.assert_close(values, plain[name])


def test_eager_is_there_for_who_asks(tmp_path):
    save_checkpoint(tmp_path / "small", "hubert")
    folder = switched(tmp_path / "small", {"_attn_implementation": "flash_attention_2"})
    model = load_model(folder, attention="eager")
    with torch.no_grad():
        weights = model.module(model_inputs(model, WAVE), output_attentions=True).attentions
    assert len(weights) == model.layer_count


@pytest.mark.parametrize("wrong", [{"hidden_size": "many"}, {"num_attention_heads": 5}])
@pytest.mark.parametrize("random_init", [True, False])
def test_configuration_that_transformers_refuses_is_our_error(tmp_path, wrong, random_init):
    save_checkpoint(tmp_path / "small", "hubert")
    with pytest.raises(
        CheckpointError, match=r"small: transformers does not take its config\.json"
    ):
        load_model(switched(tmp_path / "small", wrong), random_init=random_init)
