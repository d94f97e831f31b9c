"""Pickled weights: the same model as from safetensors, and nothing but tensors is ever built."""

import json
import pickle

import pytest
import torch
from checkpoint_folders import isolate, save_checkpoint
from hub_server import small_hub
from safetensors.torch import load_file

from speech_interp.models import checkpoint_files, hub, pickles
from speech_interp.models.checkpoint_files import CheckpointError, missing_files
from speech_interp.models.checkpoints import find_checkpoint
from speech_interp.models.loading import load_model
from speech_interp.speech.hub_access import Unavailable


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A checkpoint with only pytorch_model.bin."""
    isolate(monkeypatch, tmp_path / "home")
    return pickled(tmp_path / "old")


def pickled(folder, family="hubert", **options):
    save_checkpoint(folder, family, **options)
    file = folder / "model.safetensors"
    torch.save(load_file(file), folder / "pytorch_model.bin")
    file.unlink()
    return folder


def same(module, other) -> bool:
    states = module.state_dict(), other.state_dict()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][name], states[1][name]) for name in states[0]
    )


@pytest.mark.parametrize("family", ["hubert", "wavlm", "whisper"])
def test_pickled_weights_load_as_they_were_saved_and_the_line_says_so(
    folder, tmp_path, family, capsys
):
    original = save_checkpoint(tmp_path / "new", family)
    old = load_model(pickled(tmp_path / "old", family))
    assert same(old.module, original)
    assert f"; {pickles.READ_WORDS}" in str(old) and str(old) in capsys.readouterr().out
    assert pickles.READ_WORDS not in str(load_model(tmp_path / "new"))
    if family == "whisper":
        assert old.module.generation_config.alignment_heads == [[1, 0]]


def test_it_is_read_once_and_kept_in_the_cache(folder, tmp_path, monkeypatch):
    first = load_model(folder)
    (kept,) = (tmp_path / "home" / "speech_interp").glob("pickle-*/model.safetensors")
    assert checkpoint_files.is_whole(kept)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", None)  # nobody calls it again
        assert same(load_model(folder).module, first.module)
    kept.unlink()  # the first model still reads from the file itself
    kept.write_bytes(b"broken")
    assert same(load_model(folder).module, first.module)


def test_shards_are_read_together(folder):
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    whole = load_model(folder)
    names = sorted(state)
    files = {name: f"pytorch_model-{1 + k % 2}.bin" for k, name in enumerate(names)}
    for file in set(files.values()):
        torch.save({n: state[n] for n in names if files[n] == file}, folder / file)
    (folder / "pytorch_model.bin").unlink()
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": files}))
    assert missing_files(folder) == []
    assert same(load_model(folder).module, whole.module)
    (folder / "pytorch_model-2.bin").unlink()
    assert missing_files(folder) == ["pytorch_model-2.bin"]


class Harm:
    """Writes a file when it is unpickled, as any code could be run."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("write", [torch.save, lambda o, f: f.write_bytes(pickle.dumps(o, 2))])
def test_code_in_a_pickle_is_never_run(folder, tmp_path, monkeypatch, write):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    harmed = tmp_path / "harmed"
    write({"weight": Harm(harmed)}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="holds more than tensors, or is broken"):
        load_model(folder)
    assert not harmed.exists()
    if write is torch.save:  # the oracle: this pickle does harm where it is loaded plainly
        torch.load(folder / "pytorch_model.bin", weights_only=False)
        assert harmed.exists()


def test_what_is_no_table_of_tensors_is_named(folder):
    torch.save({"state_dict": {"a": torch.ones(2)}, "step": 3}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="holds state_dict, step, expected tensors by name"):
        load_model(folder)
    torch.save([torch.ones(2)], folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="holds list, expected tensors by name"):
        load_model(folder)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_truncated_pickle_is_named(folder, share):
    file = folder / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    assert missing_files(folder) == ["pytorch_model.bin"]
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin missing or broken"):
        load_model(folder)


@pytest.mark.parametrize("version, safe", [("2.5.1", False), ("2.6.0", True), ("3.0+cpu", True)])
def test_pickles_are_left_alone_where_torch_is_old(folder, monkeypatch, version, safe):
    monkeypatch.setattr(checkpoint_files, "version", lambda package: version)
    assert checkpoint_files.pickles_are_safe() is safe
    assert (missing_files(folder) == []) is safe
    if not safe:
        with pytest.raises(CheckpointError, match=r"needs torch 2\.6 or newer, here is 2\.5\.1"):
            load_model(folder)
        with pytest.raises(CheckpointError, match=r"needs torch 2\.6 or newer"):
            pickles.as_safetensors(folder)


def test_safetensors_come_first(folder, tmp_path):
    other = save_checkpoint(tmp_path / "other", "hubert", seed=2)
    (tmp_path / "other" / "model.safetensors").rename(folder / "model.safetensors")
    assert same(load_model(folder).module, other)
    assert not list((tmp_path / "home" / "speech_interp").glob("*"))


def test_twin_opens_no_pickle(folder, monkeypatch):
    monkeypatch.setattr(torch, "load", None)
    assert load_model(folder, random_init=True).source == "random"


def test_pickle_on_the_hub_is_taken_where_there_is_no_conversion(folder, monkeypatch):
    with small_hub() as server:
        server.add("tests/pickle", folder)
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        monkeypatch.setattr(checkpoint_files, "version", lambda package: "2.5.1")
        with pytest.raises(Unavailable, match=r"needs torch 2\.6 or newer, here is 2\.5\.1"):
            hub.hub_checkpoint("tests/pickle")
        assert not any("pytorch_model.bin" in request for request in server.requests)
        monkeypatch.setattr(checkpoint_files, "version", lambda package: "2.13.0")
        fetched = load_model("tests/pickle")
        assert fetched.source == "hub" and pickles.READ_WORDS in str(fetched)
        assert same(fetched.module, load_model(folder).module)
        assert find_checkpoint("tests/pickle").source == "cache"
