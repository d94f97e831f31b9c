"""Utterances of silence with words in them, and a tiny Whisper that spells them."""

from types import SimpleNamespace

import numpy as np
import torch
import transformers

from speech_interp.speech.corpus import Interval, Utterance


def tiny_whisper():
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        d_model=24, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=40, decoder_ffn_dim=40, vocab_size=31,
        num_mel_bins=8, max_source_positions=100, max_target_positions=16, init_std=0.4,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    module = transformers.WhisperForConditionalGeneration(config).eval()
    module.generation_config.no_timestamps_token_id = 2  # its prompt is 1, 2
    extractor = SimpleNamespace(hop_length=160, n_fft=400)
    processor = SimpleNamespace(feature_extractor=extractor, tokenizer=Letters())
    return SimpleNamespace(module=module, family="whisper", processor=processor)


class Letters:
    """A tokenizer: one token a letter, those of a word after a space."""

    unk_token_id = 3

    def __call__(self, text, add_special_tokens):
        assert text.startswith(" ") and not add_special_tokens
        return SimpleNamespace(input_ids=[4 + ord(c) - ord("a") for c in text.strip().lower()])


def spoken(words, *, cue, target, pair="ab/ac", spelling="ab", lengths=None):
    """An utterance of silence; every word lasts 0.2 s or its entry in `lengths`, then 0.1 s."""
    edges = np.cumsum([0.1, *(lengths or [0.2] * len(words))])
    spans = tuple(map(Interval, words, edges[:-1].tolist(), edges[1:].tolist()))
    wave = np.ones(round((edges[-1] + 0.1) * 16_000), np.float32)
    info = {"cue": cue, "target": target, "pair": pair, "spelling": spelling}
    return Utterance(id="u", text=" ".join(words) + ".", words=spans, info=info, audio=wave)
