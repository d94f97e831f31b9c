"""Small untrained checkpoints of every family, saved as the Hub holds the large ones."""

import json
from pathlib import Path

import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

FAMILIES = ["wav2vec2", "hubert", "wavlm", "whisper"]
LETTERS = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'"]
SPECIAL = [
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|en|>",
    "<|zh|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nocaptions|>",
    "<|notimestamps|>",
]
MULTILINGUAL = {
    "lang_to_id": {"<|en|>": 258, "<|zh|>": 259},
    "task_to_id": {"translate": 260, "transcribe": 261},
    "task": "transcribe",
}
SIZES = {
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}


def save_checkpoint(
    folder: Path, family: str, *, ctc: bool = False, multilingual: bool = False, seed: int = 7
):
    """Writes a checkpoint of `family` into `folder` and returns the module that it holds."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    if family == "whisper":
        module = save_whisper(folder, multilingual=multilingual)
    else:
        config_class, base, with_ctc = {
            "wav2vec2": (hf.Wav2Vec2Config, hf.Wav2Vec2Model, hf.Wav2Vec2ForCTC),
            "hubert": (hf.HubertConfig, hf.HubertModel, hf.HubertForCTC),
            "wavlm": (hf.WavLMConfig, hf.WavLMModel, hf.WavLMForCTC),
        }[family]
        config = config_class(**SIZES, vocab_size=len(LETTERS), pad_token_id=0)
        module = (with_ctc if ctc else base)(config)
        module.save_pretrained(folder)
        hf.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
        if ctc:
            vocabulary = {letter: i for i, letter in enumerate(LETTERS)}
            (folder / "vocab.json").write_text(json.dumps(vocabulary))
            (folder / "tokenizer_config.json").write_text(
                json.dumps({"tokenizer_class": "Wav2Vec2CTCTokenizer"})
            )
    return module.eval()


def save_classifier(folder: Path, family: str, labels: list[str], *, seed: int = 7, **options):
    """Writes a classifier of whole sounds into `folder`, without tokenizer; returns its module."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    numbered = dict(enumerate(labels))
    if family == "whisper":
        sizes = {"d_model": 12, "encoder_attention_heads": 3, "encoder_ffn_dim": 20}
        sizes |= {"encoder_layers": 2, "decoder_layers": 1}
        extractor = hf.WhisperFeatureExtractor()
    else:
        sizes = SIZES | {"classifier_proj_size": 8}
        extractor = hf.Wav2Vec2FeatureExtractor(do_normalize=True)
    config = hf.AutoConfig.for_model(family, **(sizes | options), id2label=numbered)
    module = hf.AutoModelForAudioClassification.from_config(config)
    module.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return module.eval()


def save_whisper(folder: Path, *, multilingual: bool = False):
    """A Whisper with a vocabulary of bytes, special tokens and timestamps to 30 s.

    `multilingual` ones know English and Chinese, and are told to transcribe: as the originals.
    """
    tokenizer = byte_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "WhisperTokenizer", "additional_special_tokens": SPECIAL})
    )
    start, end = 257, 256
    module = hf.WhisperForConditionalGeneration(
        hf.WhisperConfig(
            vocab_size=256 + len(SPECIAL) + 1501,
            d_model=12,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=3,
            decoder_attention_heads=3,
            encoder_ffn_dim=20,
            decoder_ffn_dim=20,
            max_target_positions=24,
            bos_token_id=end,
            eos_token_id=end,
            pad_token_id=end,
            decoder_start_token_id=start,
        )
    )
    module.generation_config = hf.GenerationConfig(
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        decoder_start_token_id=start,
        no_timestamps_token_id=256 + len(SPECIAL) - 1,
        is_multilingual=multilingual,
        alignment_heads=[[1, 0]],
        max_length=24,
        **(MULTILINGUAL if multilingual else {}),
    )
    module.save_pretrained(folder)
    hf.WhisperFeatureExtractor().save_pretrained(folder)
    return module


def byte_tokenizer() -> Tokenizer:
    alphabet = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def isolate(monkeypatch, home: Path) -> None:
    """Gives a test caches of its own under `home`, and neither a Hub nor a package index."""
    import huggingface_hub.constants

    from speech_interp.models import checkpoint_files
    from speech_interp.speech import hub_access

    for variable in (
        "SPEECH_INTERP_CHECKPOINTS",
        "HF_HUB_CACHE",
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
    ):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HOME", str(home))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(home / "no-wheels"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(checkpoint_files, "_temporary_folders", {})
    hub_access.forget_unreachable()
