"""How probable the true text of an utterance is to a model, by the letter or by the token."""

import numpy as np
import torch

from speech_interp.speech.corpus import Utterance
from speech_interp.states.alignment import words_of
from speech_interp.states.hidden_states import brought_back, model_inputs
from speech_interp.states.prompts import whisper_prompt
from speech_interp.states.scores import whisper_score
from speech_interp.states.transcripts import character_error


def target_ids(model, utterance: Utterance) -> list[int]:
    """Return the true text as the model would write it.

    Letters, with the delimiter between words, for CTC; Whisper's decoder sequence, prompt first,
    end of text last. Raises ValueError for a letter that the model does not have.
    """
    tokenizer = model.processor.tokenizer
    if model.family == "whisper":
        text = tokenizer.encode(" " + utterance.text.strip(), add_special_tokens=False)
        return [*whisper_prompt(model, utterance.wave), *text, tokenizer.eos_token_id]
    known, delimiter = tokenizer.get_vocab(), tokenizer.word_delimiter_token
    cases = {**{key.lower(): value for key, value in known.items()}, " ": known[delimiter]}
    text = " ".join(words_of(utterance))
    if missing := sorted(set(text) - set(cases)):
        raise ValueError(f"text {text!r} has {missing}, expected letters of {model.name}")
    return [cases[letter] for letter in text]


@torch.no_grad()
def whisper_log_prob(model, utterance: Utterance) -> float:
    """Return the log-probability of the true text in nats, by token, the end of text included."""
    ids = target_ids(model, utterance)
    positions = range(len(whisper_prompt(model, utterance.wave)), len(ids))
    wave = torch.from_numpy(np.asarray(utterance.wave, dtype=np.float32))[None]
    return float(whisper_score(model, ids, positions)(wave)) / len(positions)


@torch.no_grad()
def ctc_quality(model, utterance: Utterance) -> tuple[float, float]:
    """Return log-probability by letter and character error of a CTC model, from one pass."""
    ids = target_ids(model, utterance)
    logits = brought_back(model.module(model_inputs(model, utterance.wave)).logits)
    log_probs = logits.log_softmax(-1).transpose(0, 1)
    loss = torch.nn.functional.ctc_loss(
        log_probs,
        torch.tensor([ids]),
        torch.tensor([len(log_probs)]),
        torch.tensor([len(ids)]),
        blank=model.module.config.pad_token_id,
        reduction="none",
    )
    written = model.processor.tokenizer.decode(logits[0].argmax(-1))
    return -float(loss) / len(ids), character_error(written, utterance.text)
