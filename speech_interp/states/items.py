"""Items: the states of the phones, words or utterances of a corpus, with all that is known of them.

One utterance, one forward pass: what goes through a model together sees each other, so items of
training and test must never share a pass.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from numpy import ndarray
from tqdm.auto import tqdm

from speech_interp.speech.audio import RATE_HZ
from speech_interp.speech.corpus import SILENCE, Interval, Utterance
from speech_interp.states.hidden_states import (
    HiddenStates,
    frames_or_nearest,
    hidden_states,
    pool,
)


@dataclass(frozen=True, eq=False)
class Items:
    """Pooled states of many intervals; entry i of every array describes the same item i.

    With `spans` the states are not pooled: item i holds the frames `spans[i, 0]` up to
    `spans[i, 1]` of `states` (layer, frame, unit); items that overlap share frames.
    """

    states: Float[ndarray, "layer _item unit"]  # or frames, where there are spans
    labels: Shaped[ndarray, " item"]
    speakers: Shaped[ndarray, " item"]
    texts: Shaped[ndarray, " item"]  # the sentence an item was said in
    utterances: Shaped[ndarray, " item"]  # its id
    places: Int[
        ndarray, " item"
    ]  # its number in the tier of its utterance; of a triphone the middle
    start_s: Float[ndarray, " item"]
    end_s: Float[ndarray, " item"]
    spans: Int[ndarray, "_item 2"] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def duration_s(self) -> Float[ndarray, " item"]:
        """Return the length of each item in seconds."""
        return self.end_s - self.start_s

    def where(self, chosen: Bool[ndarray, " item"] | Int[ndarray, " chosen"]) -> "Items":
        """Return the items that a mask or an array of numbers chooses."""
        names = {f.name for f in dataclasses.fields(self)} - {"states", "spans"}
        parts = {name: getattr(self, name)[chosen] for name in names}
        if self.spans is None:
            parts["states"] = self.states[:, chosen]
        else:
            parts["spans"] = self.spans[chosen]
        return dataclasses.replace(self, **parts)


def collect(
    model,
    utterances: Sequence[Utterance],
    tier: str = "phones",
    *,
    layers: Sequence[int] | None = None,
    keep: Callable[[Interval], bool] | None = None,
    lead_s: float | Sequence[float] | Float[ndarray, " utterance"] = 0.0,
    pooled: bool = True,
    progress: bool = True,
) -> Items:
    """Return the mean state of every interval of a tier, each utterance in a pass of its own.

    `model`: what `load_model` returns, or a function from a wave to `HiddenStates` such as `mfcc`.
    `tier`: "phones", "words", "syllables", "triphones" (a phone with its two neighbours, labelled
    by the one in the middle), or "utterance" for one item an utterance (its label is its text).
    `keep` chooses intervals; silence is left out without it. `layers`: only these, to save memory.
    `pooled=False` keeps all frames (see `Items.spans`). `lead_s`: seconds of silence before each
    utterance, one for all or one for each, which move it on the clock of a model that counts time,
    as Whisper does (see `mixed_leads`); times stay those of the utterance.

    Raises ValueError where no interval is left.
    """
    leads_s = np.broadcast_to(np.asarray(lead_s, dtype=float), len(utterances))
    states, spans, rows = [], [], []
    pairs = zip(utterances, leads_s.tolist(), strict=True)
    for utterance, own_lead_s in tqdm(
        pairs, total=len(utterances), desc=f"{tier}", unit=" utterances", disable=not progress
    ):
        chosen = [
            (place, interval)
            for place, interval in enumerate(_intervals(utterance, tier), tier == "triphones")
            if (keep(interval) if keep else interval.label != SILENCE)
        ]
        if not chosen:
            continue
        seen = _states_of(model, utterance.wave, own_lead_s)
        if layers is not None:
            seen = dataclasses.replace(seen, values=seen.values[list(layers)])
        moved = [Interval(i.label, i.start_s + own_lead_s, i.end_s + own_lead_s) for _, i in chosen]
        if pooled:
            states.append(pool(seen, moved))
        else:
            found = [frames_or_nearest(seen, interval) for interval in moved]
            frames = np.array([(f.start, f.stop) for f in found])
            spans.append(frames + sum(s.shape[1] for s in states))
            states.append(seen.values)
        rows += [
            (i.label, utterance.speaker, utterance.text, utterance.id, place, i.start_s, i.end_s)
            for place, i in chosen
        ]
    if not rows:
        raise ValueError(f"tier {tier!r}: none of the {len(utterances)} utterances has an interval")
    columns: list[Any] = [np.array(column) for column in zip(*rows, strict=True)]
    values = torch.cat(states, dim=1).float().numpy()
    columns.append(None if pooled else np.concatenate(spans))
    return Items(values, *columns)


def neighbours(
    items: Items, utterances: Sequence[Utterance], tier: str = "phones"
) -> dict[str, Shaped[ndarray, " item"]]:
    """Return the labels "before" and "after" each item in its utterance; "" at the edges."""
    of = {u.id: ["", *(i.label for i in getattr(u, tier)), ""] for u in utterances}
    pairs = list(zip(items.utterances, items.places, strict=True))
    sides = (("before", 0), ("after", 2))
    return {name: np.array([of[u][place + step] for u, place in pairs]) for name, step in sides}


def mixed_leads(
    utterances: Sequence[Utterance], *, longest_s: float = 3.0, seed: int = 0
) -> Float[ndarray, " utterance"]:
    """Return a silence for each utterance that tells neither its speaker nor its sentence.

    Those of one sentence get evenly spaced silences in an order drawn anew for each sentence: a
    silence that were a speaker's own would mark the speaker on Whisper's clock.
    """
    texts, rng = np.array([u.text for u in utterances]), np.random.default_rng(seed)
    leads_s = np.zeros(len(texts))
    for text in np.unique(texts):
        own = np.flatnonzero(texts == text)
        leads_s[own] = rng.permutation(np.linspace(0, longest_s, len(own)))
    return leads_s


def _intervals(utterance: Utterance, tier: str) -> Sequence[Interval]:
    if tier == "utterance":
        return [Interval(utterance.text, 0.0, utterance.duration_s)]
    if tier == "triphones":
        phones = utterance.phones
        return [
            Interval(
                SILENCE if SILENCE in (a.label, b.label, c.label) else b.label, a.start_s, c.end_s
            )
            for a, b, c in zip(phones, phones[1:], phones[2:], strict=False)
        ]
    if not hasattr(utterance, tier):
        raise ValueError(f"tier is {tier!r}, which {utterance.id} has not")
    return getattr(utterance, tier)


def _states_of(model, wave: Float[ndarray, " sample"], lead_s: float) -> HiddenStates:
    silence = np.zeros(round(lead_s * RATE_HZ), dtype=np.float32)
    wave = np.concatenate([silence, wave])
    return hidden_states(model, wave) if hasattr(model, "module") else model(wave)
