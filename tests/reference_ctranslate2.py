"""Writes a Whisper in CTranslate2's format, from its state dict, the slow and obvious way."""

import struct

import numpy as np

NUMBERS = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}

SETTINGS = {
    "alignment_heads": [[1, 0], [1, 2]],
    "lang_ids": [258, 259],
    "suppress_ids": [1, 2, 7],
    "suppress_ids_begin": [220, 256],
}


def text(value: str) -> bytes:
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"


def variable(name: str, values: np.ndarray) -> bytes:
    data = values.tobytes()
    head = text(name) + struct.pack("<B", values.ndim)
    head += b"".join(struct.pack("<I", size) for size in values.shape)
    return head + struct.pack("<BI", NUMBERS[str(values.dtype)], len(data)) + data


def whisper_file(state: dict[str, np.ndarray], *, layer_count: int, head_count: int) -> bytes:
    """`model.bin` of `state`, with as many encoder as decoder layers."""
    v: dict[str, np.ndarray] = {}
    zero = np.zeros_like(state["model.encoder.layers.0.self_attn.q_proj.bias"])

    def linear(target: str, source: str) -> None:
        v[f"{target}/weight"] = state[f"{source}.weight"]
        v[f"{target}/bias"] = state[f"{source}.bias"]

    def norm(target: str, source: str) -> None:
        v[f"{target}/gamma"] = state[f"{source}.weight"]
        v[f"{target}/beta"] = state[f"{source}.bias"]

    linear("encoder/conv1", "model.encoder.conv1")
    linear("encoder/conv2", "model.encoder.conv2")
    v["decoder/embeddings/weight"] = state["model.decoder.embed_tokens.weight"]
    for side in ("encoder", "decoder"):
        v[f"{side}/num_heads"] = np.array(head_count, dtype=np.int16)
        v[f"{side}/pre_norm"] = np.array(1, dtype=np.int8)
        v[f"{side}/position_encodings/encodings"] = state[f"model.{side}.embed_positions.weight"]
        norm(f"{side}/layer_norm", f"model.{side}.layer_norm")
        for i in range(layer_count):
            to, of = f"{side}/layer_{i}", f"model.{side}.layers.{i}"
            norm(f"{to}/self_attention/layer_norm", f"{of}.self_attn_layer_norm")
            q, k, value = (f"{of}.self_attn.{p}_proj" for p in "qkv")
            v[f"{to}/self_attention/linear_0/weight"] = np.concatenate(
                [state[f"{q}.weight"], state[f"{k}.weight"], state[f"{value}.weight"]]
            )
            v[f"{to}/self_attention/linear_0/bias"] = np.concatenate(
                [state[f"{q}.bias"], zero, state[f"{value}.bias"]]
            )
            linear(f"{to}/self_attention/linear_1", f"{of}.self_attn.out_proj")
            norm(f"{to}/ffn/layer_norm", f"{of}.final_layer_norm")
            linear(f"{to}/ffn/linear_0", f"{of}.fc1")
            linear(f"{to}/ffn/linear_1", f"{of}.fc2")
            if side == "decoder":
                norm(f"{to}/attention/layer_norm", f"{of}.encoder_attn_layer_norm")
                linear(f"{to}/attention/linear_0", f"{of}.encoder_attn.q_proj")
                k, value = f"{of}.encoder_attn.k_proj", f"{of}.encoder_attn.v_proj"
                v[f"{to}/attention/linear_1/weight"] = np.concatenate(
                    [state[f"{k}.weight"], state[f"{value}.weight"]]
                )
                v[f"{to}/attention/linear_1/bias"] = np.concatenate([zero, state[f"{value}.bias"]])
                linear(f"{to}/attention/linear_2", f"{of}.encoder_attn.out_proj")
    head = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, len(v))
    aliases = struct.pack("<I", 1)
    aliases += text("decoder/projection/weight") + text("decoder/embeddings/weight")
    return head + b"".join(variable(name, values) for name, values in sorted(v.items())) + aliases
