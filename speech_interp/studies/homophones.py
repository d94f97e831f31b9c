"""Which of two spellings does Whisper give to an ambiguous word, and what if a word is taken away?

Sentences come from the corpus subset "homophones": `info` marks the ambiguous word (`target`), the
word that tells how to spell it (`cue`), the `spelling` that is right and the `pair` of both.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from speech_interp.models.processors import tokenizer_of
from speech_interp.speech.audio import RATE_HZ
from speech_interp.speech.corpus import Utterance
from speech_interp.states.hidden_states import device_of, placed
from speech_interp.states.layer_parts import widened
from speech_interp.states.prompts import whisper_prompt
from speech_interp.states.scores import tokens_of

FRENCH_DETERMINERS = ("le", "la", "les", "un", "une", "des")


@dataclass(frozen=True)
class Choice:
    """The tokens of a sentence up to its ambiguous word, and of the two spellings."""

    start: list[int]  # what the decoder is given before any word
    words: list[list[int]]  # the tokens of every word before the ambiguous one
    right: list[int]
    wrong: list[int]
    blank: int  # what stands in place of a token that is taken away

    def prefix(
        self, *, without: Sequence[int] = (), instead: Mapping[int, list[int]] | None = None
    ) -> list[int]:
        """Return the tokens before the ambiguous word.

        Those of the words `without` are blanked; words in `instead` are replaced by its tokens.
        """
        kept = [
            [self.blank] * len(tokens) if number in without else tokens
            for number, tokens in enumerate(self.words)
        ]
        for number, tokens in (instead or {}).items():
            kept[number] = tokens
        return [*self.start, *(token for tokens in kept for token in tokens)]

    def positions(self) -> list[Tensor]:
        """Return where the tokens of each word stand in the prefix; the start belongs to none."""
        edges = len(self.start) + np.cumsum([0, *map(len, self.words)])
        return [torch.arange(a, b) for a, b in itertools.pairwise(edges)]


def spellings(utterance: Utterance) -> tuple[str, str]:
    """Return the right spelling of the ambiguous word and the other one."""
    right = utterance.info["spelling"]
    (wrong,) = set(utterance.info["pair"].split("/")) - {right}
    return right, wrong


def whisper_choice(model, utterance: Utterance) -> Choice:
    """Return the choice as Whisper's decoder meets it, the true words before it."""
    right, wrong = spellings(utterance)
    before = utterance.text.split()[: utterance.info["target"]]
    return Choice(
        start=whisper_prompt(model, utterance.wave),
        words=[tokens_of(model, word.strip(".,?!")) for word in before],
        right=tokens_of(model, right),
        wrong=tokens_of(model, wrong),
        blank=tokenizer_of(model).unk_token_id,
    )


@torch.no_grad()
def log_odds(
    model, states: Float[Tensor, "1 frame unit"], choice: Choice, prefixes: Sequence[list[int]]
) -> Float[ndarray, "prefix spelling"]:
    """Return log P(right) and log P(wrong) after each prefix, given the encoder's `states`.

    `states` may be where the model is or on the CPU.

    A spelling of several tokens has the sum of their log-probabilities. The projections of the
    encoder's states are computed once, for all prefixes; the decoder looks back only, so what
    fills up a shorter prefix behind its end changes nothing.
    """
    from transformers.modeling_outputs import BaseModelOutput

    two = (choice.right, choice.wrong)
    heads = sorted({tuple(spelling[:-1]) for spelling in two})  # the last token is only predicted
    rows = [[*p, *h] for p in prefixes for h in heads]
    longest = len(max(rows, key=len))
    filled = [[*row, *[choice.blank] * (longest - len(row))] for row in rows]
    ids = torch.tensor(filled, device=device_of(model))
    encoded = BaseModelOutput(placed(model, states))
    first = model.module(encoder_outputs=encoded, decoder_input_ids=ids[:1, :1], use_cache=True)
    first.past_key_values.batch_repeat_interleave(len(rows))
    logits = model.module(
        encoder_outputs=encoded, decoder_input_ids=ids[:, 1:], past_key_values=first.past_key_values
    ).logits
    scores = np.zeros((len(prefixes), 2))
    for i, (j, spelling) in itertools.product(range(len(prefixes)), enumerate(two)):
        row = i * len(heads) + heads.index(tuple(spelling[:-1]))
        # A token is predicted where the one before it was read; the first token of all was cut off.
        at = len(prefixes[i]) - 2
        log_probs = widened(logits[row, at : at + len(spelling)]).log_softmax(-1).cpu().double()
        scores[i, j] = log_probs[range(len(spelling)), spelling].sum()
    return scores


def silence(utterance: Utterance, word: int) -> Float[ndarray, " sample"]:
    """Return the utterance's wave with silence in place of one word."""
    wave, span = utterance.wave.copy(), utterance.words[word]
    wave[round(span.start_s * RATE_HZ) : round(span.end_s * RATE_HZ)] = 0
    return wave


def with_french_cues(utterances: Sequence[Utterance]) -> list[Utterance]:
    """Return the sentences that hold a determiner and a noun, with the noun marked as target.

    As in [mohebbiHomophoneDisambiguationReveals2023a] the determiner is the cue, and the noun's
    other number, with or without a silent s, the other spelling.
    """
    marked = []
    for utterance in utterances:
        words = [word.strip(".,?!").lower() for word in utterance.text.split()]
        for cue, (word, noun) in enumerate(itertools.pairwise(words)):
            if word in FRENCH_DETERMINERS and len(noun) > 3 and noun.isalpha():
                other = noun[:-1] if noun.endswith("s") else noun + "s"
                info = {"cue": cue, "target": cue + 1, "spelling": noun, "pair": f"{noun}/{other}"}
                marked.append(replace(utterance, info=info))
                break
    return marked
