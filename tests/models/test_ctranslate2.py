import json

import numpy as np
import pytest
import torch
import transformers as hf
from checkpoint_folders import SPECIAL, byte_tokenizer, save_checkpoint
from reference_ctranslate2 import SETTINGS, whisper_file

from speech_interp.models.ctranslate2 import convert_whisper, read_variables, timestamp_tokens


@pytest.fixture
def original(tmp_path):
    """A small Whisper whose values fit into float16, as those of the original do."""
    module = save_checkpoint(tmp_path / "original", "whisper")
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.05)
            parameter.copy_(parameter.half().float())
    return module


@pytest.fixture
def source(tmp_path, original):
    """The same model as CTranslate2 stores it."""
    folder = tmp_path / "source"
    folder.mkdir()
    state = {name: values.half().numpy() for name, values in original.state_dict().items()}
    (folder / "model.bin").write_bytes(whisper_file(state, layer_count=2, head_count=3))
    (folder / "config.json").write_text(json.dumps(SETTINGS))
    byte_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def converted(tmp_path, source):
    folder = tmp_path / "converted"
    folder.mkdir()
    convert_whisper(source, folder)
    return folder


def test_every_parameter_comes_back_exactly(original, converted):
    module, loading = hf.WhisperForConditionalGeneration.from_pretrained(
        converted, dtype=torch.float32, output_loading_info=True
    )
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    there, back = original.state_dict(), module.state_dict()
    assert there.keys() == back.keys()
    for name in there:
        assert torch.equal(there[name], back[name]), name


def test_output_is_that_of_the_original(original, converted):
    module = hf.WhisperForConditionalGeneration.from_pretrained(converted, dtype=torch.float32)
    torch.manual_seed(0)
    inputs = {
        "input_features": torch.randn(1, 80, 3000),
        "decoder_input_ids": torch.arange(6)[None],
    }
    with torch.no_grad():
        assert torch.equal(module.eval()(**inputs).logits, original(**inputs).logits)


def test_generation_config_is_complete(converted):
    generation = hf.GenerationConfig.from_pretrained(converted)
    end, start = 256, 257
    assert generation.eos_token_id == generation.pad_token_id == end
    assert generation.decoder_start_token_id == start
    assert generation.no_timestamps_token_id == 256 + SPECIAL.index("<|notimestamps|>")
    assert generation.prev_sot_token_id == 256 + SPECIAL.index("<|startofprev|>")
    assert generation.alignment_heads == SETTINGS["alignment_heads"]
    assert generation.suppress_tokens == SETTINGS["suppress_ids"]
    assert generation.begin_suppress_tokens == SETTINGS["suppress_ids_begin"]
    assert generation.is_multilingual is False
    assert generation.max_length == 24


def test_tokens_decode_with_and_without_timestamps(converted):
    tokenizer = hf.WhisperTokenizer.from_pretrained(converted)
    first = 256 + len(SPECIAL)
    ids = [first, *tokenizer("Hi", add_special_tokens=False).input_ids, first + 1500]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "Hi"
    assert tokenizer.decode(ids, decode_with_timestamps=True) == "<|0.00|>Hi<|30.00|>"
    assert len(tokenizer) == first + 1501


def test_timestamps_are_numbered_in_steps_of_20_ms():
    tokens = timestamp_tokens(100, 103)
    assert [(token["id"], token["content"]) for token in tokens] == [
        (100, "<|0.00|>"),
        (101, "<|0.02|>"),
        (102, "<|0.04|>"),
        (103, "<|0.06|>"),
    ]


def test_truncated_file_is_refused(source, tmp_path):
    whole = (source / "model.bin").read_bytes()
    for length in (2, 40, len(whole) // 2, len(whole) - 40_000):
        (source / "model.bin").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"model\.bin is truncated"):
            convert_whisper(source, tmp_path)


def test_other_version_or_model_is_refused(source):
    whole = (source / "model.bin").read_bytes()
    (source / "model.bin").write_bytes(b"\x05" + whole[1:])
    with pytest.raises(ValueError, match="format 5, expected 6"):
        list(read_variables(source / "model.bin"))
    (source / "model.bin").write_bytes(whole.replace(b"WhisperSpec", b"MarianxSpec"))
    with pytest.raises(ValueError, match="holds a MarianxSpec"):
        list(read_variables(source / "model.bin"))


def test_key_bias_that_whisper_does_not_have_is_refused(original, source, tmp_path):
    names = [name for name, _ in read_variables(source / "model.bin")]
    assert "encoder/layer_1/self_attention/linear_0/bias" in names
    data = bytearray((source / "model.bin").read_bytes())
    at = data.index(b"encoder/layer_1/self_attention/linear_0/bias\0") + 45
    first_value = at + 1 + 4 + 1 + 4  # rank, one size, type, byte count
    key_block = first_value + 2 * 12  # after the 12 query biases
    data[key_block : key_block + 2] = np.float16(1).tobytes()
    (source / "model.bin").write_bytes(bytes(data))
    with pytest.raises(ValueError, match="the key bias is not zero"):
        convert_whisper(source, tmp_path)
