"""Tiny random models of every family, with the convolutions of the full-size ones."""

from types import SimpleNamespace

import torch
import transformers as hf

FAMILIES = ["wav2vec2", "wav2vec2-stable", "hubert", "wavlm", "whisper"]
CONVOLUTIONS = {
    "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
TRANSFORMER = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}


def tiny_model(name: str, *, attention: str = "sdpa", seed: int = 0):
    """A model as load_model gives it: module in eval mode, processor, family."""
    torch.manual_seed(seed)
    if name == "whisper":
        config = hf.WhisperConfig(
            vocab_size=60, d_model=16, encoder_layers=3, decoder_layers=3,
            encoder_attention_heads=2, decoder_attention_heads=2,
            encoder_ffn_dim=24, decoder_ffn_dim=24, num_mel_bins=80,
            pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=3,
            suppress_tokens=None, begin_suppress_tokens=None, attn_implementation=attention,
        )  # fmt: skip
        module, extractor = hf.WhisperForConditionalGeneration(config), hf.WhisperFeatureExtractor()
        processor = _WhisperProcessor(extractor)
    else:
        stable = name == "wav2vec2-stable"
        config_class, module_class = {
            "wav2vec2": (hf.Wav2Vec2Config, hf.Wav2Vec2Model),
            "wav2vec2-stable": (hf.Wav2Vec2Config, hf.Wav2Vec2ForCTC),
            "hubert": (hf.HubertConfig, hf.HubertModel),
            "wavlm": (hf.WavLMConfig, hf.WavLMModel),
        }[name]
        module = module_class(
            config_class(
                **CONVOLUTIONS,
                **TRANSFORMER,
                do_stable_layer_norm=stable,
                feat_extract_norm="layer" if stable else "group",
                attn_implementation="eager" if name == "wavlm" else attention,
            )
        )
        processor = hf.Wav2Vec2FeatureExtractor(do_normalize=True)
    return SimpleNamespace(
        module=module.eval(), processor=processor, family=name.removesuffix("-stable")
    )


class _WhisperProcessor:
    """As WhisperProcessor, without its tokenizer."""

    def __init__(self, feature_extractor):
        self.feature_extractor = feature_extractor

    def __call__(self, wave, **options):
        return self.feature_extractor(wave, **options)
