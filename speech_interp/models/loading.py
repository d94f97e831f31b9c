"""Loads speech models by the name of their checkpoint, ready to be looked into.

Four families: wav2vec 2.0, HuBERT, WavLM and Whisper. The module that comes back is the one of
transformers, unmodified.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speech_interp.models.checkpoint_files import Checkpoint, CheckpointError
from speech_interp.models.checkpoints import checkpoint_in_folder, find_checkpoint
from speech_interp.models.whisper_language import language_words, settle_language

FAMILIES = ("wav2vec2", "hubert", "wavlm", "whisper")
HEADS = {"base": "AutoModel", "ctc": "AutoModelForCTC", "seq2seq": "AutoModelForSpeechSeq2Seq"}
ATTENTIONS = ("sdpa", "eager")
# Only training uses it, and several published checkpoints leave it out.
UNUSED_PARAMETERS = ("masked_spec_embed",)


@dataclass(frozen=True, repr=False)
class Model:
    """A loaded model and what is known about it. `str()` says in one line what was loaded.

    `module` is the transformers module in eval mode; `processor` turns a wave into its input;
    `layer_count` and `unit_count` are those of the (encoder) Transformer.
    """

    name: str
    module: Any
    processor: Any
    family: str
    source: str  # "local", "cache", "hub", "pypi", "stand-in" or "random"
    revision: str
    is_stand_in: bool
    layer_count: int
    unit_count: int
    description: str  # one line, shown on every page that uses the model
    language: str | None = None  # of a multilingual Whisper; None: detected in each sound
    task: str | None = None  # of a multilingual Whisper

    def __str__(self) -> str:
        return self.description

    __repr__ = __str__


def load_model(
    name: str | os.PathLike,
    *,
    head: str | None = None,
    attention: str = "sdpa",
    random_init: bool = False,
    device: str = "cpu",
    seed: int = 0,
    language: str | None = None,
    task: str | None = None,
) -> Model:
    """The model of checkpoint `name` in eval mode and float32; prints one line on what was taken.

    `name` is a name on the Hub or the path of a folder. `head`: "base", "ctc" or "seq2seq"; None
    takes the one that the checkpoint was saved with. `attention="eager"` is needed to read
    attention weights, and all there is for WavLM. `random_init=True` gives the untrained twin:
    the same configuration, all parameters drawn anew as transformers does before training, the
    same for the same `seed`.

    `language` ("fr" or "french") and `task` ("transcribe" or "translate") are those of a
    multilingual Whisper: what it writes by itself and every score start from them. None keeps what
    the checkpoint was saved with; without a language it is detected in each sound.

    Raises CheckpointError if no source has the checkpoint, ValueError for an argument or a model
    family that is not known.
    """
    _check_one_of("attention", attention, ATTENTIONS)
    _check_one_of("head", head, (None, *HEADS))
    checkpoint = _find(name, random_init=random_init)
    config = json.loads((checkpoint.folder / "config.json").read_text(encoding="utf-8"))
    family = config.get("model_type")
    if family not in FAMILIES:
        raise ValueError(f"{checkpoint.name} is a {family} model, expected one of {FAMILIES}")
    head = head or _saved_head(config)
    if (language, task) != (None, None) and (family, head) != ("whisper", "seq2seq"):
        raise ValueError(
            f"language={language!r}, task={task!r}: {checkpoint.name} ({family}, head={head!r}) "
            "writes no text in a language, expected None; only a Whisper with its decoder does"
        )
    attention = "eager" if family == "wavlm" else attention
    with _quiet():
        build = _random_module if random_init else _trained_module
        module = build(checkpoint, head, attention, seed)
        processor = _processor(checkpoint.folder, family)
    if (family, head) == ("whisper", "seq2seq"):
        tokenizer = processor.tokenizer
        language, task = settle_language(checkpoint.name, module, tokenizer, language, task)
    model = Model(
        name=checkpoint.name,
        module=module.eval().to(device),
        processor=processor,
        family=family,
        source="random" if random_init else checkpoint.source,
        revision=checkpoint.revision,
        is_stand_in=checkpoint.is_stand_in,
        layer_count=module.config.num_hidden_layers,
        unit_count=module.config.hidden_size,
        description=described(checkpoint, seed if random_init else None)
        + language_words(language, task),
        language=language,
        task=task,
    )
    print(model)
    return model


def described(checkpoint: Checkpoint, seed: int | None = None) -> str:
    """One line that says which weights these are; `seed` is that of an untrained twin."""
    made_for_book = f"STAND-IN {checkpoint.place}, made for this book, not the original"
    if seed is not None:
        place = made_for_book if checkpoint.is_stand_in else checkpoint.place
        words = f"random-init twin (seed {seed}), not trained; configuration from {place}"
    elif checkpoint.is_stand_in:
        words = made_for_book
    elif checkpoint.source == "local":
        words = f"weights from {checkpoint.place}"
    else:
        words = f"original weights from {checkpoint.place}"
    return f"{checkpoint.name}: {words} ({checkpoint.revision})"


def _check_one_of(argument: str, value: str | None, allowed: tuple) -> None:
    if value not in allowed:
        raise ValueError(f"{argument}={value!r}: expected one of {allowed}")


def _find(name: str | os.PathLike, *, random_init: bool) -> Checkpoint:
    """The checkpoint; for a twin, one without weights will do where there are none."""
    is_path = (
        not isinstance(name, str) or name.startswith((".", "/", "~")) or Path(name).is_absolute()
    )
    attempts = (True, False) if random_init else (True,)
    for weights in attempts:
        try:
            if is_path:
                folder = Path(name).expanduser()
                return checkpoint_in_folder(folder, name=folder.name, weights=weights)
            return find_checkpoint(name, weights=weights)
        except CheckpointError:
            if weights == attempts[-1]:
                raise
    raise AssertionError("unreachable")


def _saved_head(config: dict) -> str:
    """The head that the checkpoint was saved with."""
    if config["model_type"] == "whisper":
        return "seq2seq"
    saved_as = "".join(config.get("architectures") or [])
    return "ctc" if saved_as.endswith("ForCTC") else "base"


def _auto_class(head: str) -> type:
    import transformers

    return getattr(transformers, HEADS[head])


def _trained_module(checkpoint: Checkpoint, head: str, attention: str, seed: int) -> Any:
    import torch

    module, loading = _auto_class(head).from_pretrained(
        checkpoint.folder,
        attn_implementation=attention,
        dtype=torch.float32,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        output_loading_info=True,
    )
    missing = [key for key in loading["missing_keys"] if not key.endswith(UNUSED_PARAMETERS)]
    if missing or loading["mismatched_keys"]:
        raise CheckpointError(
            f"{checkpoint.name} has no weights for {len(missing)} parameters of its {head!r} head "
            f"({', '.join(sorted(missing)[:3])}, ...): they would be random"
        )
    return module


def _random_module(checkpoint: Checkpoint, head: str, attention: str, seed: int) -> Any:
    import torch
    from transformers import AutoConfig, GenerationConfig

    config = AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = _auto_class(head).from_config(
            config, attn_implementation=attention, dtype=torch.float32, trust_remote_code=False
        )
    if head == "seq2seq":
        module.generation_config = GenerationConfig.from_pretrained(checkpoint.folder)
    return module


def _processor(folder: Path, family: str) -> Any:
    """Feature extractor, with the tokenizer where the checkpoint has one."""
    import transformers as tr

    has_tokenizer = any((folder / file).is_file() for file in ("tokenizer.json", "vocab.json"))
    kind = tr.Wav2Vec2Processor if has_tokenizer else tr.Wav2Vec2FeatureExtractor
    kind = tr.WhisperProcessor if family == "whisper" else kind
    return kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
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
