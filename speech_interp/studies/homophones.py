"""Which of two spellings does a model give to an ambiguous word, and what if a word is taken away?

Sentences come from the corpus subset "homophones": `info` marks the ambiguous word (`target`), the
word that tells how to spell it (`cue`), the `spelling` that is right and the `pair` of both.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata
from torch import Tensor
from torch.nn.functional import ctc_loss

from speech_interp.speech.audio import RATE_HZ
from speech_interp.speech.corpus import Utterance
from speech_interp.states.scores import ctc_log_probs

FRENCH_DETERMINERS = ("le", "la", "les", "un", "une", "des")


@dataclass(frozen=True)
class Choice:
    """The tokens of a sentence up to its ambiguous word, and of the two spellings."""

    start: list[int]  # what the decoder is given before any word
    words: list[list[int]]  # the tokens of every word before the ambiguous one
    right: list[int]
    wrong: list[int]
    blank: int  # what stands in place of a token that is taken away

    def prefix(self, *, without: Sequence[int] = ()) -> list[int]:
        """Return the tokens before the ambiguous word, those of the words `without` blanked."""
        kept = [
            [self.blank] * len(tokens) if number in without else tokens
            for number, tokens in enumerate(self.words)
        ]
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
    tokenizer = model.processor.tokenizer

    def tokens(word: str) -> list[int]:
        return tokenizer(" " + word, add_special_tokens=False).input_ids

    right, wrong = map(tokens, spellings(utterance))
    before = utterance.text.split()[: utterance.info["target"]]
    return Choice(
        start=list(tokenizer.prefix_tokens),
        words=[tokens(word.strip(".,?!")) for word in before],
        right=right,
        wrong=wrong,
        blank=tokenizer.unk_token_id,
    )


@torch.no_grad()
def log_odds(
    model, states: Float[Tensor, "1 frame unit"], choice: Choice, prefixes: Sequence[list[int]]
) -> Float[ndarray, "prefix spelling"]:
    """Return log P(right) and log P(wrong) after each prefix, given the encoder's `states`.

    A spelling of several tokens has the sum of their log-probabilities. All prefixes must be
    equally long. The projections of the encoder's states are computed once, for all of them.
    """
    from transformers.modeling_outputs import BaseModelOutput

    two = (choice.right, choice.wrong)
    heads = sorted({tuple(spelling[:-1]) for spelling in two})  # the last token is only predicted
    longest = len(max(heads, key=len))
    rows = [[*p, *h, *[choice.blank] * (longest - len(h))] for p in prefixes for h in heads]
    ids = torch.tensor(rows)
    encoded = BaseModelOutput(states)
    first = model.module(encoder_outputs=encoded, decoder_input_ids=ids[:1, :1], use_cache=True)
    first.past_key_values.batch_repeat_interleave(len(rows))
    logits = model.module(
        encoder_outputs=encoded, decoder_input_ids=ids[:, 1:], past_key_values=first.past_key_values
    ).logits
    # A token is predicted where the one before it was read; the first token of all was cut off.
    log_probs = logits[:, len(prefixes[0]) - 2 :].log_softmax(-1).double()
    scores = np.zeros((len(prefixes), 2))
    for i, (j, spelling) in itertools.product(range(len(prefixes)), enumerate(two)):
        row = log_probs[i * len(heads) + heads.index(tuple(spelling[:-1]))]
        scores[i, j] = row[range(len(spelling)), spelling].sum()
    return scores


@torch.no_grad()
def ctc_log_odds(
    model, utterance: Utterance, waves: Float[Tensor, "wave sample"]
) -> Float[ndarray, "wave spelling"]:
    """Return log P(text) under a CTC model, with the right and with the wrong spelling.

    P is the sum over all alignments of the whole sentence with the sound [graves2006ctc].
    """
    log_probs = ctc_log_probs(model, waves).transpose(0, 1)  # (frame, wave, label)
    words = [word.strip(".,?!").upper() for word in utterance.text.split()]
    scores = []
    for spelling in spellings(utterance):
        words[utterance.info["target"]] = spelling.upper()
        labels = torch.tensor(model.processor.tokenizer(" ".join(words)).input_ids)
        losses = ctc_loss(
            log_probs,
            labels.expand(len(waves), -1),
            torch.full((len(waves),), len(log_probs)),
            torch.full((len(waves),), len(labels)),
            blank=model.module.config.pad_token_id,
            reduction="none",
        )
        scores.append(-losses.double().numpy())
    return np.stack(scores, axis=1)


def silence(utterance: Utterance, word: int) -> Float[ndarray, " sample"]:
    """Return the utterance's wave with silence in place of one word."""
    wave, span = utterance.wave.copy(), utterance.words[word]
    wave[round(span.start_s * RATE_HZ) : round(span.end_s * RATE_HZ)] = 0
    return wave


def matched_controls(utterances: Sequence[Utterance]) -> list[int]:
    """Return for each utterance a word before its target that is not its cue, as a control.

    The control of one utterance stands as far from its target as the cue of another one does, each
    used once: over all utterances cues and controls have the same distances, or as nearly the same
    as the sentences allow. Among such choices, the one whose controls are most nearly as long as
    the cues, in seconds.
    """
    count = len(utterances)
    cost, word = np.zeros((count, count)), np.zeros((count, count), int)
    for (i, utterance), (j, other) in itertools.product(enumerate(utterances), repeat=2):
        cue, target = utterance.info["cue"], utterance.info["target"]
        distance = other.info["target"] - other.info["cue"]
        wanted = utterance.words[cue].duration_s
        costs = {
            k: 10.0 * abs(target - k - distance) + abs(utterance.words[k].duration_s - wanted)
            for k in range(target)
            if k != cue
        }
        if not costs:
            raise ValueError(f"{utterance.id}: no word before the target but the cue")
        word[i, j] = min(costs, key=costs.get)
        cost[i, j] = costs[word[i, j]]
    return word[linear_sum_assignment(cost)].tolist()


def mean_interval(
    values: Float[ndarray, "sentence *rest"], *, resamples: int = 2000, seed: int = 0
) -> tuple[ndarray, ndarray, ndarray]:
    """Return the mean over sentences and the ends of its 95 % interval, sentences drawn anew."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(len(values), size=(resamples, len(values)))].mean(1)
    return values.mean(0), *np.quantile(means, [0.025, 0.975], axis=0)


def rank_agreement(
    scores: Sequence,
    drops: Sequence,
    *,
    resamples: int = 500,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Return Spearman's rank correlation over the words of all sentences, and its 95 % interval.

    `scores` and `drops` hold one value for each word of each sentence. Words of one sentence hang
    together, so the interval draws whole sentences anew.
    """
    rng = np.random.default_rng(seed)

    def correlation(sentences) -> float:
        ranks = [rankdata(np.concatenate([v[i] for i in sentences])) for v in (scores, drops)]
        constant = min(np.ptp(r) for r in ranks) == 0  # ranks nothing
        return 0.0 if constant else float(np.corrcoef(*ranks)[0, 1])

    count = len(scores)
    draws = [correlation(rng.integers(count, size=count)) for _ in range(resamples)]
    return correlation(range(count)), *map(float, np.quantile(draws, [0.025, 0.975]))


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
