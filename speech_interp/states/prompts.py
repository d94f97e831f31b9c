"""What Whisper's decoder is given before any text: the prompt of `generate`, token for token."""

import torch

from speech_interp.speech.audio import AnyWave
from speech_interp.states.hidden_states import model_inputs


@torch.no_grad()
def whisper_prompt(model, wave: AnyWave | None = None) -> list[int]:
    """Return start, language, task and "no timestamps", as far as the model has such tokens.

    `wave` is needed where the language is not part of the loaded model: it is then detected in the
    sound, as `generate` does. Raises ValueError if it is needed and not given.
    """
    settings = model.module.generation_config
    prompt = [settings.decoder_start_token_id]
    if languages := getattr(settings, "lang_to_id", None):
        language = getattr(settings, "language", None)
        if language is not None:
            prompt.append(languages[f"<|{language}|>"])
        elif wave is not None:
            prompt.append(int(model.module.detect_language(model_inputs(model, wave))))
        else:
            raise ValueError(
                "wave is None and the model has no language: expected a wave to detect it in, or "
                "a model from load_model(..., language=...)"
            )
        prompt.append(settings.task_to_id[settings.task])
    if getattr(settings, "no_timestamps_token_id", None) is not None:
        prompt.append(settings.no_timestamps_token_id)
    return prompt
