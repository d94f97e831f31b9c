"""Skipped layers: how probable the true text stays when one layer of Whisper is left out.

A lens shows what can be read from a layer; leaving the layer out shows what the layers above lose
without it. Its residual stream passes unchanged to the next layer.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from torch import nn

from speech_interp.methods.decoder_lens import (
    WordChances,
    encoder_outputs,
    read_words,
    true_ids,
)
from speech_interp.states.hidden_states import encoder_layers

STACKS = ("encoder", "decoder")


@contextmanager
def left_out(layer: nn.Module) -> Iterator[None]:
    """Let a Transformer layer return what it is given, while this lasts."""

    def pass_on(_, args, kwargs, output):
        states = args[0] if args else kwargs["hidden_states"]
        return (states, *output[1:]) if isinstance(output, tuple) else states

    hook = layer.register_forward_hook(pass_on, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def skipped_layers(
    model, wave: Float[np.ndarray, " sample"], text: str, *, stack: str = "decoder"
) -> WordChances:
    """Return the log-probability of every word of the true `text` without each layer in turn.

    Entry 0 is the whole model, entry k the model without layer k of the `stack`, "encoder" or
    "decoder". Raises ValueError for another stack, a text without words or another family.
    """
    if stack not in STACKS:
        raise ValueError(f"stack is {stack!r}, expected one of {STACKS}")
    outputs, ids = encoder_outputs(model, wave)[-1:], true_ids(model, wave, text)
    found = [read_words(model, outputs, ids)]
    for layer in model.module.get_decoder().layers if stack == "decoder" else encoder_layers(model):
        with left_out(layer):
            if stack == "encoder":
                outputs = encoder_outputs(model, wave)[-1:]
            found.append(read_words(model, outputs, ids))
    return replace(found[0], log_probs=np.concatenate([x.log_probs for x in found]))
