"""Loads speech models by the name of their checkpoint, ready to be looked into.

Of the families in `models.families`. The module that comes back is the one of transformers,
unmodified.
"""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from speech_interp.models.checkpoint_files import Checkpoint, CheckpointError, weight_files
from speech_interp.models.checkpoints import checkpoint_in_folder, find_checkpoint
from speech_interp.models.families import encoder_config, family_of
from speech_interp.models.modules import (
    HEADS,
    check_precision,
    head_words,
    in_precision,
    quiet,
    random_module,
    saved_head,
    trained_module,
)
from speech_interp.models.pickles import READ_WORDS, as_safetensors
from speech_interp.models.processors import load_processor
from speech_interp.models.whisper_language import language_words, settle_language

ATTENTIONS = ("sdpa", "eager")


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
    labels: tuple[str, ...] | None = None  # of a classifier, in the order of its outputs

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
    dtype: str = "float32",
    seed: int = 0,
    language: str | None = None,
    task: str | None = None,
) -> Model:
    """The model of checkpoint `name` in eval mode; prints one line on what was taken.

    `name` is a name on the Hub or the path of a folder. `head`: "base", "ctc", "seq2seq" or
    "classification"; None takes the one that the checkpoint was saved with, and the line says
    where a head is left out. `attention="eager"` is needed to read
    attention weights, and all there is for WavLM. `random_init=True` gives the untrained twin:
    the same configuration, all parameters drawn anew as transformers does before training, the
    same for the same `seed`.

    `language` ("fr" or "french") and `task` ("transcribe" or "translate") are those of a
    multilingual Whisper: what it writes by itself and every score start from them. None keeps what
    the checkpoint was saved with; without a language it is detected in each sound.

    `dtype`: "bfloat16" or, on a GPU, "float16" takes half the memory. Whatever reads the model then
    gives float32, of states that were rounded on their way: to 2 or 3 digits in "bfloat16".

    Raises CheckpointError if no source has the checkpoint, ValueError for an argument or a model
    family that is not known, and for "float16" on the CPU.
    """
    _check_one_of("attention", attention, ATTENTIONS)
    _check_one_of("head", head, (None, *HEADS))
    check_precision(dtype, device)
    checkpoint = _find(name, random_init=random_init)
    config = json.loads((checkpoint.folder / "config.json").read_text(encoding="utf-8"))
    try:
        family = family_of(config.get("model_type"))
    except ValueError as error:
        raise ValueError(f"{checkpoint.name} is {error}") from None
    head = head or saved_head(config)
    writes = (family.name, head) == ("whisper", "seq2seq")
    if (language, task) != (None, None) and not writes:
        raise ValueError(
            f"language={language!r}, task={task!r}: {checkpoint.name} ({family.name}, "
            f"head={head!r}) writes no text in a language, expected None; only a Whisper with its "
            "decoder does"
        )
    if head == "seq2seq" and family.name != "whisper":
        raise ValueError(
            f"head='seq2seq': the decoder of {checkpoint.name} ({family.name}) is not looked into, "
            "expected None or 'base', which have its encoder; only a Whisper's is"
        )
    attention = attention if attention in family.attentions else family.attentions[0]
    words = described(checkpoint, seed if random_init else None)
    with quiet():
        if random_init:
            module = random_module(checkpoint, head, attention, seed)
        else:
            if not weight_files(checkpoint.folder):
                checkpoint = replace(checkpoint, weights=as_safetensors(checkpoint.folder))
                words += f"; {READ_WORDS}"
            module = trained_module(checkpoint, head, attention)
        processor, missing = load_processor(
            checkpoint.folder, family, module.config, text=head in ("ctc", "seq2seq")
        )
    if writes:
        tokenizer = getattr(processor, "tokenizer", None)
        language, task = settle_language(checkpoint.name, module, tokenizer, language, task)
    sizes = encoder_config(module.config)
    model = Model(
        name=checkpoint.name,
        module=in_precision(module.eval(), dtype).to(device),
        processor=processor,
        family=family.name,
        source="random" if random_init else checkpoint.source,
        revision=checkpoint.revision,
        is_stand_in=checkpoint.is_stand_in,
        # Of a model with two stacks that is the decoder's, unless the encoder's is named apart.
        layer_count=getattr(sizes, "encoder_num_hidden_layers", sizes.num_hidden_layers),
        unit_count=sizes.hidden_size,
        description=words
        + head_words(config, module, head)
        + missing
        + language_words(language, task)
        + f"; in {dtype}" * (dtype != "float32"),
        language=language,
        task=task,
        labels=tuple(module.config.id2label.values()) if head == "classification" else None,
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
            return find_checkpoint(str(name), weights=weights)
        except CheckpointError:
            if weights == attempts[-1]:
                raise
    raise AssertionError("unreachable")
