"""Scores the stand-ins on the tutorial corpus: `scores.json` in each model's folder.

    python -m training.pretraining.score [NAME ...] [--items 6000]

- phones: linear probe on the frame in the middle of each phone, speakers unseen; beside it MFCCs
  (39 dimensions, seven frames: 273 numbers) and the model's random-init twin
- speakers: linear probe on the same frames, sentences unseen (on the mean of a whole utterance
  every layer and even the random twin is near the ceiling)
- ABX: triphones that differ in the middle phone, A and B of one speaker, X of another; DTW over
  angles between frames
- letters: character error rate of greedy CTC, by voice
- float16: how far running in float16 moves any hidden state
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from speech_interp.methods.probing import classify, grouped_folds
from speech_interp.models.loading import load_model
from speech_interp.speech.corpus import Utterance, load_corpus
from speech_interp.states.frames import frames_in
from speech_interp.states.hidden_states import hidden_states
from training.pretraining.acoustics import mfcc
from training.pretraining.ctc import decode, edit_distance
from training.pretraining.export import DATA, MODELS
from training.pretraining.text import letters

#: Voices of the corpus whose speaker the models heard in training.
TRAINING_VOICES = ("kal-flite", "awb-flite", "rms-flite", "slt-flite")  # and espeak-ng's
CONTEXT = 3  # MFCC frames to either side
PENALTY = 1e-2  # of the probes: the best of 0.001, 0.01 and 0.1 for MFCCs and models alike


def voice_of(utterance: Utterance) -> str:
    return f"{utterance.speaker}-{utterance.synthesiser}"


def heard_in_training(voice: str) -> bool:
    return voice in TRAINING_VOICES or "espeak" in voice


def choose(utterances: list[Utterance], seconds: float, seed=0) -> list[Utterance]:
    """Sentences at random, each with all of its voices, until `seconds` of sound."""
    by_text = defaultdict(list)
    for utterance in utterances:
        by_text[utterance.text].append(utterance)
    chosen, total = [], 0.0
    for i in np.random.default_rng(seed).permutation(len(by_text)):
        same = by_text[sorted(by_text)[i]]
        chosen += same
        total += sum(utterance.duration_s for utterance in same)
        if total >= seconds:
            break
    return chosen


def mfcc_states(wave) -> np.ndarray:
    """MFCCs with context, as one layer: (1, frame, 273)."""
    plain = np.pad(mfcc(wave), ((CONTEXT, CONTEXT), (0, 0)), mode="edge")
    count = len(plain) - 2 * CONTEXT
    return np.concatenate([plain[i : i + count] for i in range(2 * CONTEXT + 1)], 1)[None]


def states_by(model, utterances):
    """Layers of every utterance: a list of (layer, frame, unit)."""
    return [hidden_states(model, utterance.wave).values.numpy() for utterance in utterances]


def middle_frames(states, utterances, items):
    """States of the frame nearest the middle of each phone: (layer, item, unit)."""
    found = []
    for u, interval in items:
        middle = (interval.start_s + interval.end_s) / 2
        frame = round((middle * 16000 - 200) / 320)
        found.append(states[u][:, min(max(frame, 0), states[u].shape[1] - 1)])
    return np.stack(found, 1)


def phone_accuracy(states, utterances, items):
    """Accuracy of each layer for phones of unseen speakers."""
    labels = [interval.label for _, interval in items]
    speakers = [utterances[u].speaker for u, _ in items]
    folds = grouped_folds(speakers, folds=3)
    frames = middle_frames(states, utterances, items)
    return classify(frames, labels, folds, penalty=PENALTY).score().tolist()


def speaker_accuracy(states, utterances, items):
    """Accuracy of each layer for who speaks, from one frame of a phone of unseen sentences."""
    labels = [utterances[u].speaker for u, _ in items]
    folds = grouped_folds([utterances[u].text for u, _ in items], folds=3)
    frames = middle_frames(states, utterances, items)
    return classify(frames, labels, folds, penalty=PENALTY).score().tolist()


def abx_triples(utterances, count, seed=0):
    """(A, B, X) as (utterance, start_s, end_s): A and X the same triphone, B another middle."""
    cells = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for u, utterance in enumerate(utterances):
        phones = utterance.phones
        for left, middle, right in zip(phones, phones[1:], phones[2:], strict=False):
            if "SIL" not in (left.label, middle.label, right.label):
                token = (u, left.start_s, right.end_s)
                cells[left.label, right.label][middle.label][utterance.speaker].append(token)
    contexts = [c for c in sorted(cells) if len(cells[c]) > 1]
    rng = np.random.default_rng(seed)
    triples, tries = [], 0
    while len(triples) < count and tries < 100 * count:
        tries += 1
        cell = cells[contexts[rng.integers(len(contexts))]]
        a, b = rng.permutation(sorted(cell))[:2]
        shared = sorted(set(cell[a]) & set(cell[b]))
        others = sorted(cell[a])
        if not shared or len(others) < 2:
            continue
        speaker = shared[rng.integers(len(shared))]
        other = rng.choice([s for s in others if s != speaker])
        pick = [cell[a][speaker], cell[b][speaker], cell[a][str(other)]]
        triples.append(tuple(tokens[rng.integers(len(tokens))] for tokens in pick))
    return triples


def dtw(x, y):
    """Mean angle, as a share of 180 degrees, along the best path between two stretches."""
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    y = y / np.linalg.norm(y, axis=1, keepdims=True)
    angles = np.arccos(np.clip(x @ y.T, -1, 1)) / np.pi
    cost = np.full((len(x) + 1, len(y) + 1), np.inf)
    cost[0, 0] = 0
    steps = np.zeros_like(cost)
    for i in range(len(x)):
        for j in range(len(y)):
            before = min(
                (cost[i, j], steps[i, j]),
                (cost[i, j + 1], steps[i, j + 1]),
                (cost[i + 1, j], steps[i + 1, j]),
            )
            cost[i + 1, j + 1] = before[0] + angles[i, j]
            steps[i + 1, j + 1] = before[1] + 1
    return cost[-1, -1] / steps[-1, -1]


def abx_error(states, triples):
    """Share of triples in which X is nearer to B, by layer."""
    errors = []
    for layer in range(states[0].shape[0]):
        wrong = 0.0
        for triple in triples:
            a, b, x = (_stretch(states[u][layer], s, e) for u, s, e in triple)
            near, far = dtw(a, x), dtw(b, x)
            wrong += (near > far) + 0.5 * (near == far)
        errors.append(wrong / len(triples))
    return errors


def _stretch(frames, start_s, end_s):
    times_s = (200 + 320 * np.arange(len(frames))) / 16000
    inside = frames[frames_in(times_s, start_s, end_s)]
    return inside if len(inside) else frames[[np.abs(times_s - start_s).argmin()]]


def character_errors(model, utterances):
    """Character error rate by voice, and over training voices and unseen voices."""
    wrong, total = defaultdict(int), defaultdict(int)
    for utterance in utterances:
        inputs = model.processor(utterance.wave, sampling_rate=16000, return_tensors="pt")
        with torch.inference_mode():
            ids = model.module(inputs.input_values).logits[0].argmax(-1)
        voice = voice_of(utterance)
        wanted = letters(utterance.text)
        for key in (voice, "training voices" if heard_in_training(voice) else "unseen voices"):
            wrong[key] += edit_distance(decode(ids.numpy()), wanted)
            total[key] += len(wanted)
    return {voice: wrong[voice] / total[voice] for voice in sorted(total)}


def float16_difference(folder: Path, utterances) -> dict[str, float]:
    """How far float16 moves the hidden states of the model against float32.

    `largest`: in any unit of any state; `relative`: the largest change of a state by its length.
    """
    from transformers import AutoModel

    worst = {"largest": 0.0, "relative": 0.0}
    for utterance in utterances:
        wave = utterance.wave
        wave = torch.from_numpy((wave - wave.mean()) / np.sqrt(wave.var() + 1e-7))[None]
        states = []
        for dtype in (torch.float32, torch.float16):
            model = AutoModel.from_pretrained(folder, dtype=dtype).eval()
            with torch.inference_mode():
                output = model(wave.to(dtype), output_hidden_states=True)
            states.append(torch.stack(output.hidden_states).float())
        change = states[0] - states[1]
        relative = change.norm(dim=-1) / states[0].norm(dim=-1)
        worst["largest"] = max(worst["largest"], change.abs().max().item())
        worst["relative"] = max(worst["relative"], relative.max().item())
    return worst


def score(names, *, items_count=6000, triples_count=1500, seconds=1500, data=DATA) -> dict:
    """All scores of the models `names`; the scores of MFCC under "mfcc"."""
    utterances = choose(load_corpus("sentences"), seconds)
    rng = np.random.default_rng(1)
    every = [(u, p) for u, x in enumerate(utterances) for p in x.phones if p.label != "SIL"]
    kept = np.sort(rng.permutation(len(every))[:items_count])
    items = [every[i] for i in kept]
    triples = abx_triples(utterances, triples_count)
    about = {
        "utterances": len(utterances),
        "speakers": len({u.speaker for u in utterances}),
        "phones": len(items),
        "triples": len(triples),
    }
    states = [mfcc_states(utterance.wave) for utterance in utterances]
    plain = [layers[..., CONTEXT * 39 : (CONTEXT + 1) * 39] for layers in states]
    scores = {
        "mfcc": {
            **about,
            "phones": phone_accuracy(states, utterances, items)[0],
            "phones_without_context": phone_accuracy(plain, utterances, items)[0],
            "speakers": speaker_accuracy(states, utterances, items)[0],
            "abx_error": abx_error(plain, triples)[0],
        }
    }
    for name in names:
        folder = data / name
        scores[name] = {"about": about, "mfcc": scores["mfcc"]}
        for kind, random in (("trained", False), ("random_twin", True)):
            model = load_model(str(folder), head="base", random_init=random)
            states = states_by(model, utterances)
            scores[name][kind] = {
                "phones": phone_accuracy(states, utterances, items),
                "speakers": speaker_accuracy(states, utterances, items),
                "abx_error": abx_error(states, triples),
            }
        if name.endswith("ctc"):
            model = load_model(str(folder), head="ctc")
            scores[name]["character_error_rate"] = character_errors(model, utterances)
        scores[name]["float16_difference"] = float16_difference(folder, utterances[:3])
        text = json.dumps(_rounded(scores[name]), indent=1)
        (folder / "scores.json").write_text(text + "\n")
        print(name, text)
    return scores


def _rounded(value):
    if isinstance(value, dict):
        return {key: _rounded(x) for key, x in value.items()}
    if isinstance(value, list):
        return [_rounded(x) for x in value]
    return round(float(value), 4) if not isinstance(value, int) else value


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(MODELS))
    parser.add_argument("--items", type=int, default=6000)
    parser.add_argument("--triples", type=int, default=1500)
    parser.add_argument("--seconds", type=float, default=1500)
    options = parser.parse_args()
    score(
        options.names,
        items_count=options.items,
        triples_count=options.triples,
        seconds=options.seconds,
    )


if __name__ == "__main__":
    main()
