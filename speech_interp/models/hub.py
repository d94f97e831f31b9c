"""Checkpoints from the Hugging Face Hub, and from the cache that earlier downloads filled."""

import os
import time
from pathlib import Path
from typing import Any

from speech_interp.models import checkpoint_files
from speech_interp.models.checkpoint_files import Checkpoint
from speech_interp.speech.hub_access import (
    ANSWER_WITHIN_S,
    Unavailable,
    ask,
    first_line,
    hub_endpoint,
    in_time,
    is_offline,
    refusal,
)

STALLED_AFTER_S = 30
SMALL_FILES = (
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "normalizer.json",
)
# The Hub's own converter opens a pull request of this title where a repository has only pickles.
CONVERTER, CONVERSION = "SFconvertbot", "Adding `safetensors` variant of this model"


def hub_cache() -> Path:
    """Where the Hugging Face cache keeps the files of the Hub."""
    cache = os.environ.get("HF_HUB_CACHE")
    return Path(cache).expanduser() if cache else checkpoint_files.hugging_face_home() / "hub"


def cached_checkpoint(name: str, *, weights: bool = True) -> Checkpoint:
    """From the Hugging Face cache, as it is: the network is not asked whether it is the newest."""
    from huggingface_hub import try_to_load_from_cache

    cache = checkpoint_files.current_folder(hub_cache())
    references = cache / f"models--{name.replace('/', '--')}" / "refs"
    conversions = sorted((references / "refs" / "pr").glob("*"))
    reason = f"nothing in {cache}"
    for revision in ("main", *(f"refs/pr/{file.name}" for file in conversions)):
        config = try_to_load_from_cache(name, "config.json", cache_dir=cache, revision=revision)
        if not isinstance(config, str):
            continue
        folder = Path(config).parent
        if lacking := checkpoint_files.missing_files(folder, weights=weights):
            reason = f"{', '.join(lacking)} missing or broken in {folder}"
            continue
        return _described(name, folder, "cache", revision)
    raise Unavailable(reason)


def _described(name: str, folder: Path, source: str, reference: str) -> Checkpoint:
    place = {"cache": "the Hugging Face cache", "hub": "the Hugging Face Hub"}[source]
    revision = f"revision {folder.name[:12]}"
    if reference != "main":
        revision += f" ({reference}, converted to safetensors)"
    return Checkpoint(name, folder, source, place, revision)


def hub_checkpoint(name: str, *, weights: bool = True) -> Checkpoint:
    """Downloads what is missing into the Hugging Face cache, weights last and checked."""
    if is_offline():
        raise Unavailable("HF_HUB_OFFLINE is set")
    reference, info = "main", _model_info(name)
    if weights and not _weight_names(info):
        pickles = _weight_names(info, "pytorch_model", "bin")
        try:
            reference = _conversion(name)
            info = _model_info(name, reference)
        except Unavailable:
            if not pickles or not checkpoint_files.pickles_are_safe():
                raise
    cache = checkpoint_files.writable_folder(hub_cache())
    announced = {file.rfilename: file for file in info.siblings}
    wanted = [file for file in SMALL_FILES if file in announced]
    if weights:
        wanted += _weight_names(info) or pickles
    if "config.json" not in wanted:
        raise Unavailable(f"the repository at {hub_endpoint()} has no config.json")
    for file in wanted:
        path = _download(name, file, reference, cache)
        expected = announced[file].lfs.sha256 if announced[file].lfs else None
        if expected and checkpoint_files.sha256_of(path) != expected:
            path.resolve().unlink()
            path.unlink(missing_ok=True)
            raise Unavailable(f"{file} came with another sha256 than announced; removed")
    # Files that the repository does not hold are not missing from the download.
    if lacking := checkpoint_files.missing_files(path.parent, weights=weights, processor=False):
        raise Unavailable(f"the repository's {', '.join(lacking)} missing or broken")
    return _described(name, path.parent, "hub", reference)


def _weight_names(info: Any, stem: str = "model", suffix: str = "safetensors") -> list[str]:
    names = {file.rfilename for file in info.siblings}
    if f"{stem}.{suffix}" in names:
        return [f"{stem}.{suffix}"]
    shards = sorted(n for n in names if n.startswith(f"{stem}-") and n.endswith(f".{suffix}"))
    return [*shards, f"{stem}.{suffix}.index.json"] if shards else []


def _conversion(name: str) -> str:
    """The revision in which the Hub's converter put the weights of `name` as safetensors."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=hub_endpoint())
    proposals = ask(
        lambda: list(
            api.get_repo_discussions(name, author=CONVERTER, discussion_type="pull_request")
        )
    )
    for proposal in proposals:
        # The author counts: anyone can open a pull request of this title, with other weights.
        if (proposal.author, proposal.title) == (CONVERTER, CONVERSION):
            return proposal.git_reference
    raise Unavailable(
        "the repository has no safetensors, and no conversion to them; "
        f"{checkpoint_files.unsafe_words()}"
    )


def _model_info(name: str, revision: str | None = None) -> Any:
    from huggingface_hub import HfApi

    api = HfApi(endpoint=hub_endpoint())
    return ask(
        lambda: api.model_info(
            name, revision=revision, files_metadata=True, timeout=ANSWER_WITHIN_S
        )
    )


def _download(name: str, file: str, revision: str, cache: Path) -> Path:
    """Path of the downloaded file; a bar shows how far it is."""
    from huggingface_hub import hf_hub_download
    from tqdm import tqdm

    moved_at = [time.monotonic()]

    class Bar(tqdm):
        def __init__(self, *args, name: str | None = None, **options):
            # `name` is a word of huggingface_hub's own bar; a bar for a small file is only noise.
            options |= {"desc": file, "disable": file in SMALL_FILES}
            super().__init__(*args, **options)

        def update(self, n=1):
            moved_at[0] = time.monotonic()
            return super().update(n)

    try:
        path = in_time(
            lambda: hf_hub_download(
                name,
                file,
                revision=revision,
                cache_dir=cache,
                endpoint=hub_endpoint(),
                tqdm_class=Bar,
            ),
            limit_s=STALLED_AFTER_S,
            moved_at=moved_at,
        )
    except TimeoutError as error:
        raise Unavailable(f"{file}: nothing came for {STALLED_AFTER_S} s") from error
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status is not None:
            raise Unavailable(f"{file}: {refusal(status)}") from error
        if isinstance(error, OSError) and error.errno:
            raise Unavailable(checkpoint_files.disk_trouble(error, cache)) from error
        cause = f"{type(error).__name__}: {first_line(error)}"
        raise Unavailable(f"{file}: download failed ({cause})") from error
    return Path(path)
