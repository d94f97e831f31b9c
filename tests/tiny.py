"""Tiny random models of every family, with the convolutions of the full-size ones."""

from types import SimpleNamespace

import torch
import transformers as hf

FAMILIES = ["wav2vec2", "wav2vec2-stable", "hubert", "wavlm", "whisper"]
FAMILIES += ["data2vec-audio", "unispeech-sat", "wav2vec2-conformer", "sew", "wav2vec2-bert"]
FAMILIES += ["moonshine", "parakeet_ctc", "parakeet_encoder"]
FAMILIES += ["whisper-128-bins"]  # as large-v3
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
    if name.startswith("whisper"):
        bins = 128 if name == "whisper-128-bins" else 80
        config = hf.WhisperConfig(
            vocab_size=60, d_model=16, encoder_layers=3, decoder_layers=3,
            encoder_attention_heads=2, decoder_attention_heads=2,
            encoder_ffn_dim=24, decoder_ffn_dim=24, num_mel_bins=bins,
            pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=3,
            suppress_tokens=None, begin_suppress_tokens=None, attn_implementation=attention,
        )  # fmt: skip
        module, extractor = (
            hf.WhisperForConditionalGeneration(config),
            hf.WhisperFeatureExtractor(bins),
        )
        processor = _WhisperProcessor(extractor)
    elif name == "moonshine":
        config = hf.MoonshineConfig(
            vocab_size=60, hidden_size=16, intermediate_size=24, encoder_num_hidden_layers=3,
            decoder_num_hidden_layers=2, encoder_num_attention_heads=2,
            decoder_num_attention_heads=2, pad_token_id=0, attn_implementation=attention,
        )  # fmt: skip
        module, processor = hf.MoonshineModel(config), hf.Wav2Vec2FeatureExtractor()
    elif name.startswith("parakeet"):
        config = hf.ParakeetEncoderConfig(
            **TRANSFORMER, conv_kernel_size=5, subsampling_conv_channels=8,
            attn_implementation=attention,
        )  # fmt: skip
        module, processor = hf.ParakeetEncoder(config), hf.ParakeetFeatureExtractor()
        if name == "parakeet_ctc":
            module = hf.ParakeetForCTC(
                hf.ParakeetCTCConfig(encoder_config=config, vocab_size=9, pad_token_id=0)
            )
    elif name == "wav2vec2-bert":
        config = hf.Wav2Vec2BertConfig(**TRANSFORMER, conv_depthwise_kernel_size=3)
        module, processor = hf.Wav2Vec2BertModel(config), hf.SeamlessM4TFeatureExtractor()
    else:
        stable = name == "wav2vec2-stable"
        config_class, module_class = {
            "wav2vec2": (hf.Wav2Vec2Config, hf.Wav2Vec2Model),
            "wav2vec2-stable": (hf.Wav2Vec2Config, hf.Wav2Vec2ForCTC),
            "hubert": (hf.HubertConfig, hf.HubertModel),
            "wavlm": (hf.WavLMConfig, hf.WavLMModel),
            "data2vec-audio": (hf.Data2VecAudioConfig, hf.Data2VecAudioModel),
            "unispeech-sat": (hf.UniSpeechSatConfig, hf.UniSpeechSatModel),
            "wav2vec2-conformer": (hf.Wav2Vec2ConformerConfig, hf.Wav2Vec2ConformerModel),
            "sew": (hf.SEWConfig, hf.SEWModel),
        }[name]
        module = module_class(
            config_class(
                **CONVOLUTIONS | ({"conv_dim": [8] * 13} if name == "sew" else {}),
                **TRANSFORMER,
                do_stable_layer_norm=stable,
                feat_extract_norm="layer" if stable else "group",
                attn_implementation="eager" if name == "wavlm" else attention,
            )
        )
        processor = hf.Wav2Vec2FeatureExtractor(do_normalize=True)
    family = name.removesuffix("-stable").removesuffix("-128-bins")
    return SimpleNamespace(module=module.eval(), processor=processor, family=family)


class _WhisperProcessor:
    """As WhisperProcessor, without its tokenizer."""

    def __init__(self, feature_extractor):
        self.feature_extractor = feature_extractor

    def __call__(self, wave, **options):
        return self.feature_extractor(wave, **options)
