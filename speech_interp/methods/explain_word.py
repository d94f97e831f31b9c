"""Why did the model write this word? One call from the sound to a map and the curve that judges it.

The long way, step by step, is the chapter on attribution; methods are in `attribution`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from speech_interp.methods.attribution import leave_one_out
from speech_interp.methods.faithfulness import deletion_curve
from speech_interp.methods.games import Game, make_game
from speech_interp.speech.corpus import Utterance
from speech_interp.states import scores as score_of


@dataclass(frozen=True, eq=False)
class WordExplanation:
    """How much the score of one written word, a log-probability, depends on each segment.

    `curves` hold the score as 0, 1, ..., all segments are silenced: "map", the highest value first;
    "random orders", their mean probability, each a turn of one order; and "loudest first", which
    knows no model either.
    """

    word: str
    written: tuple[str, ...]  # all words that the model wrote
    segments: tuple  # intervals of the sound
    values: Float[Tensor, " segment"]
    curves: dict[str, Float[Tensor, " removed"]]

    def below(self, rival: str = "random orders") -> float:
        """Return how far the curve of the map lies below a rival's, on average over its steps.

        In probability, not its logarithm: what is long lost cannot be lost again. Above 0 the map
        knew better what the word needs. Raises ValueError for another rival.
        """
        if rival not in self.curves:
            raise ValueError(f"rival is {rival!r}, expected one of {list(self.curves)}")
        gap = self.curves[rival].exp() - self.curves["map"].exp()
        return float(torch.trapezoid(gap) / (len(gap) - 1))

    def shown(self) -> dict:
        """Return what `listen` takes: `listen(utterance, **explained.shown())`."""
        name = f"part of '{self.word}'"
        return {"scores": self.values, "columns": self.segments, "score_name": name}


def explain_word(
    model,
    utterance: Utterance,
    word: str | int,
    method: Callable[[Game], Float[Tensor, " segment"]] = leave_one_out,
    *,
    segments: Sequence | None = None,
    replacement: str = "silence",
    orders: int = 4,
) -> WordExplanation:
    """Return which segments a word that the model *wrote* depends on, and how well that is borne
    out: the curve of the score as they are removed, beside random orders and the loudest first.

    `word`: as written, in any case, or its place from 0. `method`: one of `attribution` that plays
    games; `lambda game: shapley_sampling(game, orders=50)` sets its options. `segments`: intervals
    with start_s and end_s; the spoken words without it. `replacement` as in `games.replace`.
    The score is the log-probability of the word given the written words before it (Whisper), or the
    mean one of its letters in their frames (CTC). Raises ValueError for a word that was not written
    or was written twice, for models that write none, and for an utterance without segments.
    """
    segments = tuple(utterance.words if segments is None else segments)
    if not segments:
        raise ValueError(
            f"{utterance.id}: no words, expected their times (`alignment.align` finds them), "
            "or other segments, such as games.windows(utterance.duration_s, 0.1)"
        )
    wave = utterance.wave
    written, scores_of = _written(model, wave)
    place = _place(word, [w.label for w in written], utterance.id)
    score = scores_of([written[place]])
    game = make_game(score, wave, segments, replacement=replacement, at_once=_at_once(model))
    game = game.about(0)
    values = method(game)
    energy = torch.stack([game.wave[a:b].square().sum() for a, b in game.spans])
    drawn = _spread_orders(len(segments), orders)
    chance = torch.stack([deletion_curve(game, order) for order in drawn]).double()
    curves = {
        "map": deletion_curve(game, values),
        # The mean is one of probabilities: one order that ends at 0 must not speak for all.
        "random orders": chance.exp().mean(0).log().float(),
        "loudest first": deletion_curve(game, energy),
    }
    return WordExplanation(
        written[place].label, tuple(w.label for w in written), segments, values, curves
    )


def _written(
    model, wave: Float[np.ndarray, " sample"]
) -> tuple[list[score_of.Written], Callable[[list], score_of.Score]]:
    """Return the words that the model writes, and what makes a score of some of them."""
    if model.family == "whisper":
        ids = score_of.whisper_ids(model, wave)
        words = score_of.whisper_words(model, ids)
        return words, lambda chosen: score_of.whisper_word_scores(model, ids, chosen)
    if not hasattr(model.module, "lm_head"):
        name = getattr(model, "name", model.family)
        raise ValueError(f"{name} writes no words, expected Whisper or a model with a CTC head")
    words = score_of.ctc_words(model, wave)
    return words, lambda chosen: score_of.ctc_word_scores(model, chosen)


def _spread_orders(count: int, orders: int, *, seed: int = 0) -> list[Float[Tensor, " segment"]]:
    """Return a random order and turns of it: each is random, and a segment comes early in some.

    A word often hangs on one segment. Of few independent orders all may happen to begin with it.
    """
    first = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return [((first + round(k * count / orders)) % count).float() for k in range(orders)]


def _at_once(model) -> int:
    return 1 if model.family == "whisper" else 8  # Whisper's 30 s fill the cores by themselves


def _place(word: str | int, written: list[str], name: str) -> int:
    text = " ".join(written)
    if isinstance(word, int):
        if not 0 <= word < len(written):
            raise ValueError(
                f"{name}: word is {word}, expected 0 to {len(written) - 1} of {text!r}"
            )
        return word
    places = [k for k, label in enumerate(written) if label.casefold() == word.casefold()]
    if len(places) != 1:
        found = f"stands at the places {places}, say which" if places else "is not there"
        raise ValueError(f"{name}: {word!r} {found}; the model wrote {text!r}")
    return places[0]
