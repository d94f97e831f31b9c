"""What turns a wave into a model's input, and text into tokens: the files of it may be missing."""

import json
from pathlib import Path
from typing import Any

from speech_interp.models.checkpoint_files import has_extractor, has_tokenizer
from speech_interp.models.families import Family


class NoTokenizerError(ValueError):
    """A model that was loaded without a tokenizer was asked for text."""


def load_processor(folder: Path, family: Family, config: Any, *, text: bool) -> tuple[Any, str]:
    """The feature extractor, with the tokenizer where there is one, and words on what is missing.

    Training leaves both files out: then the extractor is the one that transformers makes by itself,
    but for what the family's row says, and the words, part of the model's line, name both. `text`:
    the head reads or writes some; `config` is that of the loaded module: a tokenizer would read it
    as it was saved.
    """
    import transformers as tr

    extractor_class, words = getattr(tr, family.extractor), ""
    safely = {"local_files_only": True, "trust_remote_code": False}
    if has_extractor(folder):
        extractor = extractor_class.from_pretrained(folder, **safely)
    else:
        choose = family.extractor_options
        extractor = extractor_class(**(choose(config) if choose else {}))
        source = family.options_from or f"transformers' {family.extractor}"
        said = ", ".join(f"{name}={getattr(extractor, name)}" for name in family.options_said)
        words += f"; no preprocessor file, so the default of {source} ({said})"
    if not has_tokenizer(folder):
        return extractor, words + "; no tokenizer, so no text" * text
    tokenizer = tr.AutoTokenizer.from_pretrained(folder, config=config, **safely)
    if family.name == "whisper":
        mend_first_merge(tokenizer)
    processor_class = getattr(tr, family.processor)
    return processor_class(feature_extractor=extractor, tokenizer=tokenizer), words


def mend_first_merge(tokenizer: Any) -> None:
    """Put back, in place, the first merge of a byte-pair tokenizer if its file lost it.

    Published files of multilingual Whisper lack theirs, of a space with t: " the" then becomes two
    tokens that the model never writes. Its mark: one token of two signs that no merge makes.
    """
    from tokenizers import Tokenizer

    content = json.loads(tokenizer.backend_tokenizer.to_str())
    model, added = content["model"], {token["content"] for token in content["added_tokens"]}
    made = {"".join(merge) for merge in model["merges"]}
    lost = [token for token in model["vocab"] if len(token) == 2 and token not in made | added]
    if len(lost) == 1:
        model["merges"].insert(0, [*lost[0]])
        tokenizer.backend_tokenizer.model = Tokenizer.from_str(json.dumps(content)).model


def extractor_of(model) -> Any:
    """The feature extractor of a loaded model, whether or not a tokenizer came with it."""
    return getattr(model.processor, "feature_extractor", model.processor)


def tokenizer_of(model) -> Any:
    """The tokenizer of a loaded model. Raises NoTokenizerError, a ValueError, if it has none."""
    tokenizer = getattr(model.processor, "tokenizer", None)
    if tokenizer is None:
        raise NoTokenizerError(
            f"{getattr(model, 'name', model.family)} was loaded without a tokenizer: put "
            "tokenizer.json (or vocab.json) and tokenizer_config.json of the model that it was "
            "trained from into its folder"
        )
    return tokenizer
