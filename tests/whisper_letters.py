"""A tiny Whisper with a tokenizer of a few letters, whose layers all differ."""

import numpy as np
import torch
from tiny import tiny_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

PROMPT, END = [3], 2
SPECIAL = [0, 1, END, *PROMPT, 4]
MERGES = [("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("Ġ", "a"), ("a", "t"), ("Ġ", "h")]


class SomeTokenizer:
    """A tokenizer of a few letters."""

    all_special_ids, prefix_tokens, eos_token_id = SPECIAL, PROMPT, END

    def __init__(self):
        special = [f"<{i}>" for i in range(5)]
        pieces = special + [*"Ġtheabcdfgiklmnoprsuvwxyz"] + ["".join(m) for m in MERGES]
        pieces += [f"<more {i}>" for i in range(60 - len(pieces))]
        vocabulary = {piece: i for i, piece in enumerate(pieces)}
        self.backend_tokenizer = Tokenizer(models.BPE(vocabulary, MERGES))
        self.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self.backend_tokenizer.decoder = decoders.ByteLevel()
        self.backend_tokenizer.add_special_tokens(special)

    def encode(self, text, add_special_tokens=False):
        return self.backend_tokenizer.encode(text, add_special_tokens=add_special_tokens).ids

    def decode(self, ids):
        return self.backend_tokenizer.decode(list(ids), skip_special_tokens=False)


def whisper(seed=0):
    model = tiny_model("whisper", seed=seed)
    model.processor.tokenizer = SomeTokenizer()
    with torch.no_grad():  # so that layers differ, and the norm cannot be left out unnoticed
        for parameter in model.module.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.5)
        model.module.get_encoder().layer_norm.weight.uniform_(0.3, 3)
        model.module.get_encoder().layer_norm.bias.normal_()
        model.module.get_decoder().layer_norm.weight.uniform_(0.3, 3)
    settings = model.module.generation_config
    settings.suppress_tokens, settings.begin_suppress_tokens = [0, 1, 3, 4, 40], [END]
    return model


def noise(seed=0, count=8000):
    return np.random.default_rng(seed).normal(0.1, 0.3, count).astype(np.float32)
