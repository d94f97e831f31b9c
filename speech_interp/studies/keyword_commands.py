"""Commands of several keywords: which word decides is known, because we put it there.

"stop left music" means *left*. All commands have one length, so that they go through a model as one
batch.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from speech_interp.speech.audio import RATE_HZ
from speech_interp.speech.corpus import Interval, Utterance

MARGIN_S, SHORTEST_GAP_S = 0.02, 0.05


def make_commands(
    keywords: Sequence[Utterance],
    deciding: Sequence[str],
    *,
    count: int,
    word_count: int = 3,
    duration_s: float = 1.6,
    seed: int = 0,
) -> list[Utterance]:
    """Return commands with exactly one of the `deciding` words each, all words in one voice.

    `info["class"]` is its place in `deciding`, `info["target"]` its place among the words. Classes
    and voices take turns; places and other words are drawn with `seed`.
    """
    rng = np.random.default_rng(seed)
    voices = sorted({u.info["voice"] for u in keywords})
    commands = []
    for number in range(count):
        which, voice = number % len(deciding), voices[number // len(deciding) % len(voices)]
        own = [u for u in keywords if u.info["voice"] == voice]
        decides = [u for u in own if u.info["word"] == deciding[which]]
        others = [u for u in own if u.info["word"] not in deciding]
        parts = None
        for _ in range(100):
            target = int(rng.integers(word_count))
            parts = [others[i] for i in rng.choice(len(others), word_count, replace=False)]
            parts[target] = decides[rng.integers(len(decides))]
            if _slack_s(parts, duration_s) >= SHORTEST_GAP_S * (word_count + 1):
                break
        else:
            raise ValueError(f"duration_s is {duration_s}: {word_count} words do not fit into it")
        info = {"class": which, "target": target, "voice": voice}
        commands.append(join(parts, duration_s=duration_s, info=info))
    return commands


def join(parts: Sequence[Utterance], *, duration_s: float, info: dict | None = None) -> Utterance:
    """Return the first words of some utterances one after the other, with equal pauses between.

    Raises ValueError if they do not fit into `duration_s`.
    """
    gap_s = _slack_s(parts, duration_s) / (len(parts) + 1)
    if gap_s < 0:
        raise ValueError(f"duration_s is {duration_s}, the words are {-gap_s:.2f} s too long")
    wave = np.zeros(round(duration_s * RATE_HZ), np.float32)
    words, phones, now_s = [], [], gap_s
    for part in parts:
        word = part.words[0]
        start_s, end_s = word.start_s - MARGIN_S, word.end_s + MARGIN_S
        first, stop = (max(0, round(t * RATE_HZ)) for t in (start_s, end_s))
        sound = part.wave[first:stop]
        place = round(now_s * RATE_HZ)
        wave[place : place + len(sound)] = sound[: len(wave) - place]
        shift_s = place / RATE_HZ - first / RATE_HZ
        inside = [p for p in part.phones if word.start_s <= p.start_s and p.end_s <= word.end_s]
        phones += [Interval(p.label, p.start_s + shift_s, p.end_s + shift_s) for p in inside]
        words.append(Interval(word.label, word.start_s + shift_s, word.end_s + shift_s))
        now_s += len(sound) / RATE_HZ + gap_s
    return Utterance(
        id="+".join(part.id for part in parts),
        text=" ".join(word.label for word in words),
        speaker=parts[0].speaker,
        sex=parts[0].sex,
        synthesiser=parts[0].synthesiser,
        words=tuple(words),
        phones=tuple(phones),
        info=info or {},
        audio=wave,
    )


def add_burst(
    utterance: Utterance, interval, *, frequency_hz: float = 2000.0, level: float = 1.0
) -> Utterance:
    """Return the utterance with a tone burst in `interval`, `level` times as loud as the speech."""
    wave = utterance.wave.copy()
    start, stop = (round(t * RATE_HZ) for t in (interval.start_s, interval.end_s))
    times_s = np.arange(stop - start) / RATE_HZ
    tone = np.sqrt(2) * np.sin(2 * np.pi * frequency_hz * times_s) * np.hanning(stop - start)
    wave[start:stop] += level * wave.std() * tone
    return replace(
        utterance,
        id=f"{utterance.id}-burst",
        info=utterance.info | {"burst": interval},
        audio=wave.astype(np.float32),
    )


def _slack_s(parts: Sequence[Utterance], duration_s: float) -> float:
    return duration_s - sum(part.words[0].duration_s + 2 * MARGIN_S for part in parts)
