import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from checkpoint_folders import isolate, save_checkpoint
from hub_server import Fault, small_hub

from speech_interp.models import hub
from speech_interp.models.checkpoint_files import missing_files, sha256_of
from speech_interp.speech.hub_access import Unavailable, find_dataset, in_time

NAME = "tests/small-wav2vec2"
WEIGHTS = r"GET /large/.*/model\.safetensors"


@pytest.fixture
def folder(tmp_path):
    save_checkpoint(tmp_path / "checkpoint", "wav2vec2")
    return tmp_path / "checkpoint"


@pytest.fixture
def server(tmp_path, monkeypatch, folder):
    isolate(monkeypatch, tmp_path / "home")
    with small_hub() as running:
        running.add(NAME, folder)
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        yield running


def assert_right(checkpoint, folder):
    assert missing_files(checkpoint.folder) == []
    assert sha256_of(checkpoint.folder / "model.safetensors") == sha256_of(
        folder / "model.safetensors"
    )


def test_download_gives_the_right_files_and_names_the_revision(server, folder, capsys):
    checkpoint = hub.hub_checkpoint(NAME)
    assert_right(checkpoint, folder)
    assert checkpoint.source == "hub"
    assert server.commit(NAME, "main")[:12] in checkpoint.revision
    assert "model.safetensors: 100%" in capsys.readouterr().err


def test_second_time_comes_from_the_cache_without_network(server, folder):
    hub.hub_checkpoint(NAME)
    server.requests.clear()
    checkpoint = hub.cached_checkpoint(NAME)
    assert_right(checkpoint, folder)
    assert checkpoint.source == "cache"
    assert server.requests == []


def test_empty_cache_says_so(server):
    with pytest.raises(Unavailable, match="nothing in"):
        hub.cached_checkpoint(NAME)


def test_cache_that_is_not_whole_is_completed(server, folder):
    checkpoint = hub.hub_checkpoint(NAME)
    (checkpoint.folder / "model.safetensors").unlink()
    with pytest.raises(Unavailable, match=r"model\.safetensors missing or broken"):
        hub.cached_checkpoint(NAME)
    assert_right(hub.hub_checkpoint(NAME), folder)


def test_truncated_file_in_the_cache_is_noticed(server):
    weights = (hub.hub_checkpoint(NAME).folder / "model.safetensors").resolve()
    os.truncate(weights, weights.stat().st_size - 10)
    with pytest.raises(Unavailable, match=r"model\.safetensors missing or broken"):
        hub.cached_checkpoint(NAME)


@pytest.mark.parametrize("status", ["404", "401", "500", "503"])
def test_refusal_is_one_sentence(server, status):
    server.faults.append(Fault("/api/models", status))
    with pytest.raises(Unavailable, match=f"status {status}") as caught:
        hub.hub_checkpoint(NAME)
    assert "\n" not in str(caught.value)


def test_unknown_name_is_a_404(server):
    with pytest.raises(Unavailable, match="no such model"):
        hub.hub_checkpoint("tests/unknown")


def test_unknown_dataset_is_a_404_of_a_dataset(server):
    with pytest.raises(Unavailable, match="no such dataset"):
        find_dataset("tests/unknown")
    assert any("/api/datasets/tests/unknown" in request for request in server.requests)


def test_error_while_downloading_is_one_sentence(server):
    server.faults.append(Fault(WEIGHTS, "500"))
    with pytest.raises(Unavailable, match=r"model\.safetensors: .*status 500"):
        hub.hub_checkpoint(NAME)


def test_hub_that_does_not_answer_is_noticed_in_3_seconds_and_once(server):
    server.faults.append(Fault("/api/models", "stall"))
    started = time.monotonic()
    with pytest.raises(Unavailable, match="no answer within 3 s"):
        hub.hub_checkpoint(NAME)
    assert time.monotonic() - started < 4
    asked = len(server.requests)
    started = time.monotonic()
    with pytest.raises(Unavailable, match="no answer within 3 s"):
        hub.hub_checkpoint("tests/another")
    assert time.monotonic() - started < 0.5
    assert len(server.requests) == asked


def test_closed_port_is_noticed_and_can_be_forgotten(server, folder, monkeypatch):
    running = os.environ["HF_ENDPOINT"]
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9 cannot be reached \(ConnectError"):
        hub.hub_checkpoint(NAME)
    monkeypatch.setenv("HF_ENDPOINT", running)
    assert_right(hub.hub_checkpoint(NAME), folder)


def test_download_that_stalls_is_given_up(server, monkeypatch):
    monkeypatch.setattr(hub, "STALLED_AFTER_S", 0.7)
    server.faults.append(Fault(WEIGHTS, "stall"))
    with pytest.raises(Unavailable, match=r"model\.safetensors: nothing came for 0\.7 s"):
        hub.hub_checkpoint(NAME)


def test_lost_connection_is_resumed(server, folder):
    server.faults.append(Fault(WEIGHTS, "cut", times=1))
    assert_right(hub.hub_checkpoint(NAME), folder)
    assert sum("GET /large" in request for request in server.requests) == 2


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [("short", "Consistency check failed"), ("corrupt", "another sha256 than announced")],
)
def test_truncated_or_wrong_file_is_not_kept(server, folder, fault, sentence):
    server.faults.append(Fault(WEIGHTS, fault, times=1))
    with pytest.raises(Unavailable, match=sentence):
        hub.hub_checkpoint(NAME)
    with pytest.raises(Unavailable):
        hub.cached_checkpoint(NAME)
    assert_right(hub.hub_checkpoint(NAME), folder)


def test_offline_variable_is_respected(server, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(Unavailable, match="HF_HUB_OFFLINE is set"):
        hub.hub_checkpoint(NAME)
    assert server.requests == []


def test_conversion_by_the_hubs_own_bot_is_taken_and_named(server, folder):
    weights = (folder / "model.safetensors").read_bytes()
    server.add("tests/pickle", folder, revision="refs/pr/3")
    server.add("tests/pickle", folder, revision="refs/pr/2")
    server.revisions["tests/pickle"]["refs/pr/2"]["model.safetensors"] = b"somebody else's"
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    server.add("tests/pickle", folder)
    title = "Adding `safetensors` variant of this model"
    server.propose("tests/pickle", number=2, author="somebody", title=title)
    server.propose("tests/pickle", number=3, author="SFconvertbot", title=title)
    for find, source in [(hub.hub_checkpoint, "hub"), (hub.cached_checkpoint, "cache")]:
        checkpoint = find("tests/pickle")
        assert checkpoint.source == source
        assert (checkpoint.folder / "model.safetensors").read_bytes() == weights
        assert "refs/pr/3, converted to safetensors" in checkpoint.revision
    assert not any("refs/pr/2" in request for request in server.requests)


def test_configuration_alone(server):
    checkpoint = hub.hub_checkpoint(NAME, weights=False)
    assert missing_files(checkpoint.folder, weights=False) == []
    assert missing_files(checkpoint.folder) == ["model.safetensors"]


def test_cache_that_cannot_be_written(server, folder, tmp_path, monkeypatch, capsys):
    # A path through a file cannot be created by anyone, root included.
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "file" / "home"))
    assert_right(hub.hub_checkpoint(NAME), folder)
    message = capsys.readouterr().err
    assert message.count("cannot be written (Not a directory)") == 1
    assert_right(hub.cached_checkpoint(NAME), folder)  # this process finds its temporary folder


def test_full_disk_is_one_sentence(server, monkeypatch):
    import huggingface_hub.file_download

    def no_space(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface_hub.file_download, "http_get", no_space)
    with pytest.raises(Unavailable, match=r"the disk of .* is full; free some space"):
        hub.hub_checkpoint(NAME)


def test_two_processes_at_once(server, folder, tmp_path):
    code = (
        "from speech_interp.models import hub, checkpoint_files\n"
        f"c = hub.hub_checkpoint({NAME!r})\n"
        "print(checkpoint_files.sha256_of(c.folder / 'model.safetensors'))\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=Path(__file__).parent.parent,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    expected = sha256_of(folder / "model.safetensors")
    assert [process.communicate()[0].strip() for process in processes] == [expected] * 2
    assert_right(hub.cached_checkpoint(NAME), folder)


def test_hanging_call_is_left_behind():
    release = threading.Event()
    with pytest.raises(TimeoutError):
        in_time(lambda: release.wait(20), limit_s=0.1)
    release.set()
    assert in_time(lambda: 5, limit_s=1) == 5
