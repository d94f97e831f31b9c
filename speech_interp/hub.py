"""Checkpoints from the Hugging Face Hub, and from the cache that earlier downloads filled."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from speech_interp import checkpoints
from speech_interp.checkpoints import Checkpoint, Unavailable

ANSWER_WITHIN_S = 3
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

_out_of_reach: dict[str, str] = {}  # endpoint: why; asked once per process


def forget_unreachable() -> None:
    """Lets the next call ask again a Hub that did not answer, say after a network came back."""
    _out_of_reach.clear()


def hub_cache() -> Path:
    cache = os.environ.get("HF_HUB_CACHE")
    return Path(cache).expanduser() if cache else checkpoints.hugging_face_home() / "hub"


def hub_endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def _offline() -> bool:
    said = (os.environ.get(v, "").upper() for v in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return any(value in {"1", "ON", "YES", "TRUE"} for value in said)


def cached_checkpoint(name: str, *, weights: bool = True) -> Checkpoint:
    """From the Hugging Face cache, as it is: the network is not asked whether it is the newest."""
    from huggingface_hub import try_to_load_from_cache

    cache = checkpoints.current_folder(hub_cache())
    references = cache / f"models--{name.replace('/', '--')}" / "refs"
    conversions = sorted((references / "refs" / "pr").glob("*"))
    reason = f"nothing in {cache}"
    for revision in ("main", *(f"refs/pr/{file.name}" for file in conversions)):
        config = try_to_load_from_cache(name, "config.json", cache_dir=cache, revision=revision)
        if not isinstance(config, str):
            continue
        folder = Path(config).parent
        if lacking := checkpoints.missing_files(folder, weights=weights):
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
    if _offline():
        raise Unavailable("HF_HUB_OFFLINE is set")
    reference, info = "main", _model_info(name)
    if weights and not _weight_names(info):
        reference = _conversion(name)
        info = _model_info(name, reference)
    cache = checkpoints.writable_folder(hub_cache())
    announced = {file.rfilename: file for file in info.siblings}
    wanted = [file for file in SMALL_FILES if file in announced]
    wanted += _weight_names(info) if weights else []
    if "config.json" not in wanted:
        raise Unavailable(f"the repository at {hub_endpoint()} has no config.json")
    for file in wanted:
        path = _download(name, file, reference, cache)
        expected = announced[file].lfs.sha256 if announced[file].lfs else None
        if expected and checkpoints.sha256_of(path) != expected:
            path.resolve().unlink()
            path.unlink(missing_ok=True)
            raise Unavailable(f"{file} came with another sha256 than announced; removed")
    if lacking := checkpoints.missing_files(path.parent, weights=weights):
        raise Unavailable(f"the repository's {', '.join(lacking)} missing or broken")
    return _described(name, path.parent, "hub", reference)


def _weight_names(info: Any) -> list[str]:
    names = {file.rfilename for file in info.siblings}
    if "model.safetensors" in names:
        return ["model.safetensors"]
    shards = sorted(n for n in names if n.startswith("model-") and n.endswith(".safetensors"))
    return [*shards, "model.safetensors.index.json"] if shards else []


def _conversion(name: str) -> str:
    """The revision in which the Hub's converter put the weights of `name` as safetensors."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=hub_endpoint())
    proposals = _ask(
        lambda: list(
            api.get_repo_discussions(name, author=CONVERTER, discussion_type="pull_request")
        )
    )
    for proposal in proposals:
        # The author counts: anyone can open a pull request of this title, with other weights.
        if (proposal.author, proposal.title) == (CONVERTER, CONVERSION):
            return proposal.git_reference
    raise Unavailable(
        "the repository has its weights as pickle only, which can run code and is not opened, "
        "and no conversion to safetensors"
    )


def _model_info(name: str, revision: str | None = None) -> Any:
    from huggingface_hub import HfApi

    api = HfApi(endpoint=hub_endpoint())
    return _ask(
        lambda: api.model_info(
            name, revision=revision, files_metadata=True, timeout=ANSWER_WITHIN_S
        )
    )


def find_dataset(name: str) -> None:
    """Raises Unavailable, in a few seconds, unless the Hub has the dataset."""
    from huggingface_hub import HfApi

    if _offline():
        raise Unavailable("HF_HUB_OFFLINE is set")
    api = HfApi(endpoint=hub_endpoint())
    _ask(lambda: api.dataset_info(name, timeout=ANSWER_WITHIN_S), about="dataset")


def _ask(question: Callable[[], Any], *, about: str = "model") -> Any:
    """The Hub's answer; Unavailable if it says no, or nothing: that is remembered."""
    endpoint = hub_endpoint()
    if endpoint in _out_of_reach:
        raise Unavailable(_out_of_reach[endpoint])
    try:
        return in_time(question, limit_s=ANSWER_WITHIN_S)
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status is None:
            cause = f"{type(error).__name__}: {_first_line(error)}"
            if "Timeout" in type(error).__name__:
                cause = f"no answer within {ANSWER_WITHIN_S} s"
            _out_of_reach[endpoint] = f"{endpoint} cannot be reached ({cause})"
            raise Unavailable(_out_of_reach[endpoint]) from error
        raise Unavailable(_refusal(status, about)) from error


def _refusal(status: int, about: str = "model") -> str:
    if status in (401, 403, 404):
        return f"{hub_endpoint()} has no such {about}, or not for us (status {status})"
    return f"{hub_endpoint()} answered with an error (status {status})"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


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
            raise Unavailable(f"{file}: {_refusal(status)}") from error
        if isinstance(error, OSError) and error.errno:
            raise Unavailable(checkpoints.disk_trouble(error, cache)) from error
        cause = f"{type(error).__name__}: {_first_line(error)}"
        raise Unavailable(f"{file}: download failed ({cause})") from error
    return Path(path)


def in_time(call: Callable[[], Any], *, limit_s: float, moved_at: list[float] | None = None) -> Any:
    """The result of `call`; TimeoutError if it shows no sign of life for `limit_s` seconds.

    Time limits of a network library do not cover all of it (name look-up, retries), so `call` runs
    in a thread of its own, and is left behind if it hangs.
    """
    started, done, outcome = time.monotonic(), threading.Event(), {}

    def run() -> None:
        try:
            outcome["value"] = call()
        except BaseException as error:
            outcome["error"] = error
        done.set()

    threading.Thread(target=run, daemon=True).start()
    while not done.wait(0.02):
        if time.monotonic() - max([started, *(moved_at or [])]) > limit_s:
            raise TimeoutError(f"nothing for {limit_s} s")
    if "error" in outcome:
        raise outcome["error"]
    return outcome["value"]
