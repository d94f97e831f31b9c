"""What a claim is, and how the conditions vary under which it is computed again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from speech_interp.speech.corpus import Utterance


@dataclass(frozen=True)
class Variation:
    """One way to compute a claim again. The defaults are those of the page."""

    fold_seed: int = 0  # of folds and resampling
    speakers: str | None = None  # None: all; "first half" or "second half" of their sorted names
    sentences: str | None = None  # None: all; "even" or "odd" places among their sorted texts
    twin_seed: int = 0  # of random-init twins
    lead_s: float = 0.0  # silence before each utterance: moves it on Whisper's clock

    def __str__(self) -> str:
        changed = [
            f"{f.name.replace('_', ' ')} {getattr(self, f.name)}"
            for f in fields(self)
            if getattr(self, f.name) != f.default
        ]
        return ", ".join(changed) or "as on the page"

    def keeps(self, speakers: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        """Return for each item, by its speaker and sentence, whether it is among the chosen."""
        speakers, texts = np.asarray(speakers), np.asarray(texts)
        names, sentences = np.unique(speakers), np.unique(texts)
        half = len(names) // 2
        chosen = {None: names, "first half": names[:half], "second half": names[half:]}
        said = {None: sentences, "even": sentences[::2], "odd": sentences[1::2]}
        return np.isin(speakers, chosen[self.speakers]) & np.isin(texts, said[self.sentences])

    def choose(self, utterances: Sequence[Utterance]) -> list[Utterance]:
        """Return the utterances of the chosen speakers and sentences."""
        keeps = self.keeps([u.speaker for u in utterances], [u.text for u in utterances])
        return [u for u, kept in zip(utterances, keeps, strict=True) if kept]


#: The page's own condition, then the ten under which a claim must hold at least nine times.
VARIATIONS = (
    Variation(),
    Variation(fold_seed=1),
    Variation(fold_seed=2),
    Variation(speakers="first half"),
    Variation(speakers="second half"),
    Variation(sentences="even"),
    Variation(sentences="odd"),
    Variation(twin_seed=1),
    Variation(twin_seed=2),
    Variation(lead_s=0.5),
    Variation(lead_s=2.0),
)


@dataclass(frozen=True)
class Claim:
    """A sentence of a page, and how to compute again whether it holds.

    `holds(variation)` returns whether the claim holds there, and the number that decided. It
    raises `NotApplicable` where the variation leaves nothing to compute the claim from.
    """

    sentence: str
    statistic: str  # the number that decides, in words
    condition: str  # when the claim holds, such as "above 0"
    holds: Callable[[Variation], tuple[bool, float]]
    enters: tuple[str, ...] = tuple(f.name for f in fields(Variation))  # what the number depends on

    def depends_on(self, variation: Variation) -> bool:
        """Whether the variation changes anything in this claim; else it proves nothing."""
        changed = {f.name for f in fields(variation) if getattr(variation, f.name) != f.default}
        return not changed or bool(changed & set(self.enters))


class NotApplicable(Exception):
    """A variation that leaves nothing to compute this claim from; the message says why."""
