"""Reads Whisper weights stored in CTranslate2's format, as a folder that transformers loads.

CTranslate2's `model.bin` holds the original values: it fuses the query, key and value projections
of an attention layer into one matrix and renames the rest. Undoing that gives the state dict of
`WhisperForConditionalGeneration` back, exactly.
"""

import json
import math
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

FORMAT_VERSION = 6
DTYPES = {0: "<f4", 1: "i1", 2: "<i2", 3: "<i4", 4: "<f2"}  # numbered by CTranslate2
PARTS = {
    "ffn/layer_norm": "final_layer_norm",
    "ffn/linear_0": "fc1",
    "ffn/linear_1": "fc2",
}
CHANGED_NAMES = {
    "embeddings": "embed_tokens",
    "position_encodings/encodings": "embed_positions/weight",
    "beta": "bias",
    "gamma": "weight",
}


def read_variables(file: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yields name and values of every variable of a CTranslate2 `model.bin`.

    Raises ValueError if the file is truncated or of another version or model.
    """
    with file.open("rb") as stream:
        (version,) = _unpack(stream, "<I")
        if version != FORMAT_VERSION:
            raise ValueError(
                f"{file.name}: CTranslate2 format {version}, expected {FORMAT_VERSION}"
            )
        kind = _text(stream)
        if kind != "WhisperSpec":
            raise ValueError(f"{file.name} holds a {kind}, expected a WhisperSpec")
        _revision, count = _unpack(stream, "<II")
        for _ in range(count):
            name = _text(stream)
            (rank,) = _unpack(stream, "<B")
            shape = _unpack(stream, f"<{rank}I")
            code, byte_count = _unpack(stream, "<BI")
            if code not in DTYPES:
                raise ValueError(f"{file.name}: {name} has unknown type number {code}")
            values = np.frombuffer(_bytes(stream, byte_count), dtype=DTYPES[code])
            if values.size != math.prod(shape):
                raise ValueError(f"{file.name}: {name} has {values.size} values, not {shape}")
            yield name, values.reshape(shape)


def _bytes(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise ValueError(f"{Path(stream.name).name} is truncated: {len(data)} bytes of {count}")
    return data


def _unpack(stream: BinaryIO, form: str) -> tuple:
    return struct.unpack(form, _bytes(stream, struct.calcsize(form)))


def _text(stream: BinaryIO) -> str:
    (length,) = _unpack(stream, "<H")
    return _bytes(stream, length).rstrip(b"\0").decode()


def whisper_state(variables: Iterator[tuple[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The state dict of `WhisperForConditionalGeneration`, in the precision of the file."""
    state = {}
    for name, values in variables:
        if values.ndim == 0:  # num_heads and other settings: the architecture is in the shapes
            continue
        fused = re.fullmatch(r"(.*)/(self_attention|attention)/linear_(\d)/(weight|bias)", name)
        if not fused:
            state[_renamed(name)] = values
            continue
        block, attention, number, kind = fused.groups()
        target = "self_attn" if attention == "self_attention" else "encoder_attn"
        for projection, part in _projections(attention, int(number), values).items():
            if (projection, kind) == ("k_proj", "bias"):
                # Whisper's key projection has no bias; fused, it is a block of zeros.
                if part.any():
                    raise ValueError(f"{name}: the key bias is not zero")
                continue
            state[_renamed(f"{block}/{target}/{projection}/{kind}")] = part
    return state


def _projections(attention: str, number: int, values: np.ndarray) -> dict[str, np.ndarray]:
    """Takes one stored matrix or bias apart into the projections that were fused in it."""
    fused = {
        ("self_attention", 0): ["q_proj", "k_proj", "v_proj"],
        ("self_attention", 1): ["out_proj"],
        ("attention", 0): ["q_proj"],
        ("attention", 1): ["k_proj", "v_proj"],
        ("attention", 2): ["out_proj"],
    }[attention, number]
    return dict(zip(fused, np.split(values, len(fused)), strict=True))


def _renamed(name: str) -> str:
    """`encoder/layer_0/ffn/linear_0/weight` becomes `model.encoder.layers.0.fc1.weight`."""
    name = re.sub(r"layer_(\d+)/", r"layers/\1/", name)
    name = name.replace("self_attention/layer_norm", "self_attn_layer_norm")
    name = name.replace("/attention/layer_norm", "/encoder_attn_layer_norm")
    for old, new in (PARTS | CHANGED_NAMES).items():
        name = re.sub(rf"(?<=/){old}(?=/|$)", new, name)
    return "model." + name.replace("/", ".")


def whisper_configs(
    state: dict[str, np.ndarray], head_count: int, settings: dict, tokens: dict[str, int]
) -> tuple[dict, dict]:
    """What belongs in `config.json` and in `generation_config.json`, as the original has it.

    Sizes come from the shapes in `state`, ids from `tokens` (special token to id), suppressed
    tokens, alignment heads and languages from `settings`, the `config.json` of CTranslate2.
    """
    vocab_size, unit_count = state["model.decoder.embed_tokens.weight"].shape
    multilingual = vocab_size > 51864  # the English-only vocabulary is one token shorter
    layers = {
        side: 1 + max(int(n.split(".")[3]) for n in state if n.startswith(f"model.{side}.layers."))
        for side in ("encoder", "decoder")
    }
    start, end = tokens["<|startoftranscript|>"], tokens["<|endoftext|>"]
    shared = {
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "decoder_start_token_id": start,
    }
    config = shared | {
        "model_type": "whisper",
        "architectures": ["WhisperForConditionalGeneration"],
        "d_model": unit_count,
        "vocab_size": vocab_size,
        "num_mel_bins": state["model.encoder.conv1.weight"].shape[1],
        "max_source_positions": len(state["model.encoder.embed_positions.weight"]),
        "max_target_positions": len(state["model.decoder.embed_positions.weight"]),
    }
    for side in ("encoder", "decoder"):
        config[f"{side}_layers"] = layers[side]
        config[f"{side}_attention_heads"] = head_count
        config[f"{side}_ffn_dim"] = len(state[f"model.{side}.layers.0.fc1.bias"])
    generation = shared | {
        "suppress_tokens": settings["suppress_ids"],
        "begin_suppress_tokens": settings["suppress_ids_begin"],
        "alignment_heads": settings["alignment_heads"],
        "is_multilingual": multilingual,
        "max_initial_timestamp_index": 50,
        "max_length": config["max_target_positions"],
        "no_timestamps_token_id": tokens["<|notimestamps|>"],
        "prev_sot_token_id": tokens["<|startofprev|>"],
        "return_timestamps": False,
    }
    if multilingual:
        ids = set(settings["lang_ids"])
        generation["lang_to_id"] = {token: id for token, id in tokens.items() if id in ids}
        generation["task_to_id"] = {t: tokens[f"<|{t}|>"] for t in ("transcribe", "translate")}
        # The original says the same with the deprecated `forced_decoder_ids`: find the language,
        # then transcribe.
        generation["task"] = "transcribe"
    return config, generation


def timestamp_tokens(first: int, last: int) -> list[dict]:
    """The tokens <|0.00|>, <|0.02|>, ... (ids `first` to `last`) for `tokenizer.json`."""
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "special": False}
    return [
        {"id": id, "content": f"<|{(id - first) * 0.02:.2f}|>", "normalized": False, **plain}
        for id in range(first, last + 1)
    ]


def convert_whisper(source: Path, target: Path) -> None:
    """Writes into folder `target` what transformers needs to load the Whisper in `source`.

    `source` holds `model.bin`, `config.json` and `tokenizer.json`; the weights keep their
    precision. Raises ValueError if they are not a whole CTranslate2 Whisper.
    """
    from safetensors.numpy import save

    head_counts = set()

    def variables() -> Iterator[tuple[str, np.ndarray]]:
        for name, values in read_variables(source / "model.bin"):
            if name.endswith("/num_heads"):
                head_counts.add(int(values))
            yield name, values

    state = whisper_state(variables())
    if len(head_counts) != 1:
        raise ValueError(f"expected one head count in model.bin, found {sorted(head_counts)}")
    tokenizer = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    tokens = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    special = [token["content"] for token in tokenizer["added_tokens"] if token["special"]]
    tokenizer["added_tokens"] += timestamp_tokens(
        first=1 + tokens["<|notimestamps|>"],
        last=len(state["model.decoder.embed_tokens.weight"]) - 1,
    )
    settings = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config, generation = whisper_configs(state, head_counts.pop(), settings, tokens)
    mel_bins = config["num_mel_bins"]
    contents = {
        "config.json": config,
        "generation_config.json": generation,
        "preprocessor_config.json": {
            "feature_extractor_type": "WhisperFeatureExtractor",
            "feature_size": mel_bins,
            "sampling_rate": 16000,
            "hop_length": 160,
            "n_fft": 400,
            "chunk_length": 30,
            "padding_value": 0.0,
            "return_attention_mask": False,
        },
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": {
            "tokenizer_class": "WhisperTokenizer",
            "model_max_length": 1024,
            "additional_special_tokens": special,
            **{f"{kind}_token": "<|endoftext|>" for kind in ("bos", "eos", "pad", "unk")},
        },
    }
    for name, content in contents.items():
        text = json.dumps(
            content, ensure_ascii=False, indent=None if name == "tokenizer.json" else 1
        )
        (target / name).write_text(text, encoding="utf-8")
    whole = {name: np.ascontiguousarray(values) for name, values in state.items()}
    # As bytes: safetensors' own writer reports a full disk as an error without a number.
    (target / "model.safetensors").write_bytes(save(whole, metadata={"format": "pt"}))
