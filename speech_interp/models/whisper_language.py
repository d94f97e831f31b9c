"""The language and the task that a multilingual Whisper writes in, settled once when it is loaded.

They stand in the generation configuration of the module, where `generate` looks for them, and in
the tokenizer. `states.prompts` reads the decoder's prompt from the same place, so nothing can be
scored behind a prompt that the model is never given.
"""

from typing import Any

from speech_interp.models.checkpoint_files import CheckpointError

TASKS = ("transcribe", "translate")


def settle_language(
    name: str, module: Any, tokenizer: Any, language: str | None, task: str | None
) -> tuple[str | None, str | None]:
    """Write language and task into a Whisper's module and tokenizer; return them, as codes.

    What is None stays as the checkpoint was saved; the tokenizer may be None too. Without any
    language `generate` detects it in each sound, and (None, task) is returned; a model that knows
    English only gives (None, None). Raises ValueError for a language or task that the model does
    not know, CheckpointError for an old generation configuration with a token that it does not
    explain.
    """
    settings = module.generation_config
    _settle_old_prompt(name, module, tokenizer)
    settings.return_timestamps = False
    languages = getattr(settings, "lang_to_id", None)
    if not languages:
        if language is not None and language.lower() not in ("en", "english"):
            raise ValueError(f"language={language!r}: {name} knows English only")
        if task not in (None, "transcribe"):
            raise ValueError(f"task={task!r}: {name} knows English only, expected 'transcribe'")
        return None, None
    task = task or getattr(settings, "task", None) or "transcribe"
    if task not in TASKS:
        raise ValueError(f"task={task!r}: expected one of {TASKS}")
    asked = language or getattr(settings, "language", None)
    code = None if asked is None else _code_of(name, asked, languages)
    settings.language, settings.task = code, task
    if code is not None and tokenizer is not None:
        tokenizer.set_prefix_tokens(language=code, task=task, predict_timestamps=False)
    return code, task


def language_words(language: str | None, task: str | None) -> str:
    """The part of a model's line about its language; empty for a model with one language."""
    if task is None:
        return ""
    return f"; language {language or 'detected in each sound'}, task {task}"


def _code_of(name: str, language: str, languages: dict[str, int]) -> str:
    """The code of a language given by code ('fr'), name ('french') or token ('<|fr|>')."""
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    plain = language.lower().removeprefix("<|").removesuffix("|>")
    code = TO_LANGUAGE_CODE.get(plain, plain)
    if f"<|{code}|>" not in languages:
        known = ", ".join(sorted(token.strip("<|>") for token in languages))
        raise ValueError(f"language={language!r}: {name} knows {known}")
    return code


def _settle_old_prompt(name: str, module: Any, tokenizer: Any) -> None:
    """Say by language and task what older checkpoints say by `forced_decoder_ids`.

    `generate` reads those too, but only as long as neither language nor task is set.
    """
    settings = module.generation_config
    forced = [
        old
        for holder in (settings, module.config)
        if (old := holder.__dict__.pop("forced_decoder_ids", None))
    ]
    if getattr(settings, "no_timestamps_token_id", None) is None:
        token = tokenizer and tokenizer.get_vocab().get("<|notimestamps|>")
        if token is not None:
            settings.no_timestamps_token_id = token
    if not forced or getattr(settings, "task", None) or getattr(settings, "language", None):
        return
    by_id = {id: token for token, id in (getattr(settings, "lang_to_id", None) or {}).items()}
    tasks = {id: task for task, id in (getattr(settings, "task_to_id", None) or {}).items()}
    for _, id in forced[0]:
        if id in by_id:
            settings.language = by_id[id].strip("<|>")
        elif id in tasks:
            settings.task = tasks[id]
        elif id not in (None, getattr(settings, "no_timestamps_token_id", None)):
            raise CheckpointError(
                f"{name}: forced_decoder_ids holds the token {id}, which generation_config.json "
                "lists under neither lang_to_id nor task_to_id; take that file from the original"
            )
