"""Tiny random models whose norms and biases are not the identity, and their recorded attentions."""

from functools import cache, partial

import torch
import transformers

from speech_interp.states.attention import record_attention

SPEECH_TINY = dict(
    hidden_size=24,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=40,
    conv_dim=(8, 8),
    conv_stride=(5, 64),
    conv_kernel=(10, 80),
    num_feat_extract_layers=2,
    num_conv_pos_embeddings=4,
    num_conv_pos_embedding_groups=2,
    initializer_range=0.4,
    vocab_size=11,
)


FAMILIES = ["wav2vec2", "wav2vec2-stable", "wav2vec2-ctc", "hubert", "hubert-stable", "whisper"]
FAMILIES += ["data2vec", "unispeech", "unispeech-stable", "sew", "wavlm", "wavlm-stable"]
MODULES = {
    "wav2vec2": (transformers.Wav2Vec2Config, transformers.Wav2Vec2Model),
    "hubert": (transformers.HubertConfig, transformers.HubertModel),
    "data2vec": (transformers.Data2VecAudioConfig, transformers.Data2VecAudioModel),
    "unispeech": (transformers.UniSpeechSatConfig, transformers.UniSpeechSatModel),
    "sew": (transformers.SEWConfig, transformers.SEWModel),
    "wavlm": (transformers.WavLMConfig, transformers.WavLMModel),
}


def tiny_model(family, attention="sdpa", *, in_pieces=True):
    """Return a random model whose LayerNorms and biases are not the identity, in eval mode.

    The attention of WavLM is written out for the oracles; `in_pieces=False` leaves it as it is.
    """
    torch.manual_seed(0)
    name, _, variant = family.partition("-")
    if name == "whisper":
        config = transformers.WhisperConfig(
            d_model=24, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
            decoder_attention_heads=4, encoder_ffn_dim=40, decoder_ffn_dim=40, vocab_size=31,
            num_mel_bins=8, max_source_positions=20, max_target_positions=16, init_std=0.4,
            pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
        )  # fmt: skip
        model_class = transformers.WhisperForConditionalGeneration
    else:
        stable = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}
        config_class, model_class = MODULES[name]
        config = config_class(**SPEECH_TINY, **(stable if variant == "stable" else {}))
        if variant == "ctc":
            model_class = transformers.Wav2Vec2ForCTC
    config._attn_implementation = "eager" if name == "wavlm" else attention
    model = model_class(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    if name == "wavlm" and in_pieces:
        for layer in model.encoder.layers:
            attention = layer.attention
            attention.torch_multi_head_self_attention = partial(wavlm_in_pieces, attention)
    return model


def wavlm_in_pieces(attention, hidden_states, mask, bias):
    """WavLM's attention written out, so that its projections are called and hooks can change them.

    `bias` is the gated position bias that the model itself made.
    """
    assert mask is None
    query, key, value = (
        projection(hidden_states)[0].unflatten(-1, (attention.num_heads, -1)).transpose(0, 1)
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    weights = (query @ key.transpose(1, 2) * attention.scaling + bias).softmax(-1)
    return attention.out_proj((weights @ value).transpose(0, 1).flatten(1))[None], weights[None]


def tiny_inputs(family):
    torch.manual_seed(1)
    if family == "whisper":
        return {
            "input_features": torch.randn(1, 8, 40),
            "decoder_input_ids": torch.tensor([[1, 7, 9, 12, 5, 8]]),
            "use_cache": False,
        }
    return {"input_values": torch.randn(1, 4500)}


@cache
def recorded(family):
    model, inputs = tiny_model(family), tiny_inputs(family)
    return model, inputs, record_attention(model, **inputs)


def layers_of(model):
    """Return (stack, layer number, layer, attention, norm after the last layer) for every step."""
    if model.config.model_type == "whisper":
        rows = []
        for number, layer in enumerate(model.model.encoder.layers, start=1):
            norm = model.model.encoder.layer_norm if number == 2 else None
            rows.append(("encoder", number, layer, layer.self_attn, norm))
        for number, layer in enumerate(model.model.decoder.layers, start=1):
            norm = model.model.decoder.layer_norm if number == 2 else None
            rows.append(("decoder", number, layer, layer.self_attn, norm))
            rows.append(("cross", number, layer, layer.encoder_attn, norm))
        return rows
    encoder = getattr(model, "wav2vec2", model).encoder
    stable = getattr(model.config, "do_stable_layer_norm", False)
    norm = encoder.layer_norm if stable else None
    return [
        ("encoder", number, layer, layer.attention, norm if number == 3 else None)
        for number, layer in enumerate(encoder.layers, start=1)
    ]
