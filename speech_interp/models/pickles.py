"""Weights that were saved as a pickle: read without running what is in it, kept as safetensors.

Only torch's weights-only unpickler reads them, which builds tensors and refuses everything else.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from speech_interp.models import checkpoint_files

READ_WORDS = "pytorch_model.bin read by torch's weights-only unpickler"


def as_safetensors(folder: Path) -> Path:
    """A folder in the cache that holds the weights of the pickles of `folder` as safetensors.

    Reads them at the first call only: the name of the folder is the sha256 of the pickles. Raises
    CheckpointError for a pickle that holds more than tensors by name.
    """
    files = checkpoint_files.pickle_files(folder)
    root = checkpoint_files.writable_folder(checkpoint_files.hugging_face_home() / "speech_interp")
    kept = root / f"pickle-{checkpoint_files.digest_of(files)[:12]}"
    if not checkpoint_files.is_whole(kept / "model.safetensors"):
        shutil.rmtree(kept, ignore_errors=True)
        state: dict[str, Any] = {}
        for file in files:
            state |= _tensors(file)
        _keep(state, kept)
    return kept


def _tensors(file: Path) -> dict:
    """The tensors of one pickle, each with storage of its own, as safetensors wants them."""
    import torch

    if not checkpoint_files.pickles_are_safe():
        raise checkpoint_files.CheckpointError(f"{file}: {checkpoint_files.unsafe_words()}")
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has several, and each advises to load it unsafely
        raise checkpoint_files.CheckpointError(
            f"{file} holds more than tensors, or is broken ({type(error).__name__}): a pickle can "
            "run code, so only torch's weights-only unpickler reads it, and it refused"
        ) from error
    if not isinstance(state, dict) or not all(torch.is_tensor(v) for v in state.values()):
        found = type(state).__name__
        if isinstance(state, dict):
            found = ", ".join(
                sorted(str(k) for k, v in state.items() if not torch.is_tensor(v))[:3]
            )
        raise checkpoint_files.CheckpointError(
            f"{file} holds {found}, expected tensors by name and nothing else"
        )
    return {name: tensor.clone().contiguous() for name, tensor in state.items()}


def _keep(state: dict, kept: Path) -> None:
    """One rename, so that others see the whole folder or none; whoever comes first wins."""
    from safetensors.torch import save_file

    with tempfile.TemporaryDirectory(
        dir=kept.parent, prefix=".tmp-", ignore_cleanup_errors=True
    ) as scratch:
        target = Path(scratch) / "target"
        target.mkdir()
        save_file(state, target / "model.safetensors", metadata={"format": "pt"})
        try:
            target.rename(kept)
        except OSError:
            if not checkpoint_files.is_whole(kept / "model.safetensors"):
                raise
