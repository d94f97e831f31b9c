"""Builds the module of a checkpoint as transformers has it, trained or drawn anew."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from speech_interp.models.checkpoint_files import Checkpoint, CheckpointError

HEADS = {
    "base": "AutoModel",
    "ctc": "AutoModelForCTC",
    "seq2seq": "AutoModelForSpeechSeq2Seq",
    "classification": "AutoModelForAudioClassification",
}
CLASSIFIERS = ("ForSequenceClassification", "ForAudioClassification")
PRECISIONS = ("float32", "bfloat16", "float16")
# Only training uses it, and several published checkpoints leave it out.
UNUSED_PARAMETERS = ("masked_spec_embed",)
# What somebody once wanted back from the model: it changes the form of the answer, and not ours.
SWITCHES = (
    "output_attentions",
    "output_hidden_states",
    "output_logits",
    "output_scores",
    "return_dict",
    "return_dict_in_generate",
    "torchscript",
    "use_cache",
    "attn_implementation",
    "_attn_implementation",
    "_attn_implementation_internal",
)


def saved_head(config: dict) -> str:
    """The head that the checkpoint with this `config.json` was saved with."""
    saved_as = "".join(config.get("architectures") or [])
    if saved_as.endswith(CLASSIFIERS):
        return "classification"
    if config["model_type"] == "whisper":
        return "seq2seq"
    return "ctc" if saved_as.endswith("ForCTC") else "base"


def head_words(config: dict, module: Any, head: str) -> str:
    """The part of a model's line about its head: labels of a classifier, a head left behind."""
    saved_as = "".join(config.get("architectures") or [])
    if head == "classification":
        names = list(module.config.id2label.values())
        shown = ", ".join(names[:5]) + ", ..." * (len(names) > 5)
        return f"; classifier of {len(names)} labels: {shown}"
    plain = ("Model", "ForPreTraining", "ForConditionalGeneration", type(module).__name__)
    return "" if saved_as.endswith(plain) or not saved_as else f"; without the head of {saved_as}"


def trained_module(checkpoint: Checkpoint, head: str, attention: str) -> Any:
    """The module with the weights of the checkpoint. Raises CheckpointError if some are missing."""
    import torch

    with _refusals_of(checkpoint):
        module, loading = _auto_class(head).from_pretrained(
            checkpoint.weights or checkpoint.folder,
            config=_config(checkpoint),
            attn_implementation=attention,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            **_generation_config(checkpoint, head),
        )
    missing = [key for key in loading["missing_keys"] if not key.endswith(UNUSED_PARAMETERS)]
    if missing or loading["mismatched_keys"]:
        raise CheckpointError(
            f"{checkpoint.name} has no weights for {len(missing)} parameters of its {head!r} head "
            f"({', '.join(sorted(missing)[:3])}, ...): they would be random"
        )
    return module


def random_module(checkpoint: Checkpoint, head: str, attention: str, seed: int) -> Any:
    """The untrained twin: every parameter drawn as transformers does before training."""
    import torch

    with _refusals_of(checkpoint), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = _auto_class(head).from_config(
            _config(checkpoint),
            attn_implementation=attention,
            dtype=torch.float32,
            trust_remote_code=False,
        )
    for name, settings in _generation_config(checkpoint, head).items():
        setattr(module, name, settings)
    return module


def check_precision(dtype: str, device: str) -> None:
    """Raise ValueError for a precision that is not known or not safe on the device."""
    if dtype not in PRECISIONS:
        raise ValueError(f"dtype={dtype!r}: expected one of {PRECISIONS}")
    if dtype == "float16" and str(device).partition(":")[0] == "cpu":
        raise ValueError(
            "dtype='float16' on the CPU: it overflows above 65504 and is slow there, expected "
            "'bfloat16' or 'float32', or a GPU"
        )


def in_precision(module: Any, dtype: str) -> Any:
    """The module with its weights in another precision.

    What is no weight, such as the frequencies of rotary positions, stays in float32: in half
    precision it would name other places.
    """
    import torch

    for values in module.state_dict(keep_vars=True).values():
        if values.is_floating_point():
            values.data = values.data.to(getattr(torch, dtype))
    return module


def _auto_class(head: str) -> Any:  # its makers, such as `from_pretrained`, have no declared types
    import transformers

    return getattr(transformers, HEADS[head])


def _config(checkpoint: Checkpoint) -> Any:
    """The configuration of the checkpoint without `SWITCHES`."""
    from transformers import CONFIG_MAPPING

    saved = json.loads((checkpoint.folder / "config.json").read_text(encoding="utf-8"))
    kept = {name: value for name, value in saved.items() if name not in SWITCHES}
    return CONFIG_MAPPING[saved["model_type"]].from_dict(kept)


def _generation_config(checkpoint: Checkpoint, head: str) -> dict[str, Any]:
    """What only a model that writes has; its weights may lie in another folder than this."""
    from transformers import GenerationConfig

    if head != "seq2seq":
        return {}
    file = checkpoint.folder / "generation_config.json"
    saved = json.loads(file.read_text(encoding="utf-8"))
    kept = {name: value for name, value in saved.items() if name not in SWITCHES}
    return {"generation_config": GenerationConfig.from_dict(kept)}


@contextlib.contextmanager
def _refusals_of(checkpoint: Checkpoint) -> Iterator[None]:
    """Says whose configuration it is that transformers, or a library below it, refuses."""
    from huggingface_hub.errors import StrictDataclassError

    try:
        yield
    except (StrictDataclassError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(
            f"{checkpoint.name}: transformers does not take its config.json ({reason})"
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps transformers from reporting what is checked here anyway."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
