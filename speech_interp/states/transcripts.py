"""What a model writes, how far that is from what was said, and how probable the true text is."""

from collections.abc import Sequence

import numpy as np
import torch

from speech_interp.speech.corpus import Utterance
from speech_interp.states.alignment import words_of
from speech_interp.states.hidden_states import model_inputs
from speech_interp.states.scores import whisper_score


def edit_distance(a: Sequence, b: Sequence) -> int:
    """Return the fewest insertions, deletions and substitutions that turn `a` into `b`."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def error_rate(written: Sequence, said: Sequence) -> float:
    """Return the edit distance by the length of what was said: of characters, or lists of words.

    It exceeds 1 where more was written than said. Raises ValueError if nothing was said.
    """
    if not len(said):
        raise ValueError("said is empty, expected at least one character or word")
    return edit_distance(written, said) / len(said)


def target_ids(model, utterance: Utterance) -> list[int]:
    """Return the true text as the model would write it.

    Letters, with the delimiter between words, for CTC; Whisper's decoder sequence, prompt first,
    end of text last. Raises ValueError for a letter that the model does not have.
    """
    tokenizer = model.processor.tokenizer
    if model.family == "whisper":
        text = tokenizer.encode(" " + utterance.text.strip(), add_special_tokens=False)
        return [*tokenizer.prefix_tokens, *text, tokenizer.eos_token_id]
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
    positions = range(len(model.processor.tokenizer.prefix_tokens), len(ids))
    wave = torch.from_numpy(np.asarray(utterance.wave, dtype=np.float32))[None]
    return float(whisper_score(model, ids, positions)(wave)) / len(positions)


@torch.no_grad()
def ctc_quality(model, utterance: Utterance) -> tuple[float, float]:
    """Return log-probability by letter and character error of a CTC model, from one pass."""
    ids = target_ids(model, utterance)
    logits = model.module(model_inputs(model, utterance.wave)).logits
    log_probs = logits.log_softmax(-1).transpose(0, 1)
    loss = torch.nn.functional.ctc_loss(
        log_probs,
        torch.tensor([ids]),
        torch.tensor([len(log_probs)]),
        torch.tensor([len(ids)]),
        blank=model.module.config.pad_token_id,
        reduction="none",
    )
    written = model.processor.tokenizer.decode(logits[0].argmax(-1)).lower().strip()
    said = " ".join(words_of(utterance))
    return -float(loss) / len(ids), error_rate(written, said)
