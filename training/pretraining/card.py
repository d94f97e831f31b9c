"""Writes the card of each stand-in, `README.md`, from its training and its scores.

python -m training.pretraining.card --runs FOLDER
"""

import csv
import hashlib
import json
from pathlib import Path

from training.pretraining import kokoro, speech
from training.pretraining.config import RATE_HZ, Recipe
from training.pretraining.export import DATA, MODELS
from training.pretraining.features import AUGMENTED
from training.pretraining.front_end import command_line

ORIGINALS = {
    "hubert-mini": "facebook/hubert-base-ls960",
    "wav2vec2-mini": "facebook/wav2vec2-base",
    "wav2vec2-mini-ctc": "facebook/wav2vec2-base-960h",
}
RUN_OF = {"wav2vec2-mini": "wav2vec2", "wav2vec2-mini-ctc": "ctc"}

FRONT_END = """\
The convolutional front end was trained first and alone, to predict log-mel energies of the very
samples each frame sees through one linear layer ({steps} steps, {minutes} min); no label was used.
Then it was frozen."""

OBJECTIVES = {
    "hubert-mini": """\
HuBERT's masked prediction of cluster labels: the first iteration on {first} k-means clusters of
MFCCs, the second on {second} clusters of layer {layer} of the first, its mean over the utterance
taken off. Three things differ from the published recipe. The front end is frozen. Frames that are
not masked count too, with weight {seen_weight}. And the MFCCs are those of the same words in one
voice, laid over the frames that the model hears in many voices, with noise and rooms: targets as if
each utterance had been through a perfect voice conversion first. So the training knew which
utterances say the same words, which the published recipe does not. With MFCCs of the voice itself,
1200 steps of the first iteration knew the speaker of a single frame better with every layer (0.68
to 0.95) and the phone worse (0.46 to 0.31), because a synthesiser is easy to know again.""",
    "wav2vec2-mini": """\
wav2vec 2.0's contrastive objective with its quantiser ({groups} groups of {codes} codes,
{negatives} negatives from the same utterance). The Transformer started from `hubert-mini`, the
quantiser from nothing: with this little compute the objective alone, from random weights, hardly
got off the ground (12 % of masked frames told from 100 others after 1000 steps of 16 s, with a
third of the codes in use; 10 % after 326 steps of 32 s from an early `hubert-mini`).""",
    "wav2vec2-mini-ctc": """\
`wav2vec2-mini` fine-tuned with CTC on letters, front end frozen. Vocabulary and processor are laid
out as those of the original. Two of its error rates are above what was aimed at (below). Earlier
tries: 1800 steps with AdamW, from an earlier `wav2vec2-mini`, gave 0.325 on training voices and
0.459 on unseen ones; 4800 steps as here, without the neural voices, 0.230 and 0.418. The neural
voices joined after 8428 steps. Steps of the curve without an error rate: it was not kept there.
A later try went on from these weights, 2400 steps without the neural voices: 0.154 instead of 0.189
on sentences kept back, but 0.197 on training voices and 0.385 on unseen ones of the tutorial
corpus. More steps on these texts do not help; other texts and voices might. It is not shipped.""",
}

NEURAL = """\
Only for CTC, {hours:.1f} hours more from {speakers} mixtures of the {styles} styles of Kokoro-82M,
a neural synthesiser (Apache-2.0), which no voice of the tutorial corpus uses.
"""

TEMPLATE = """\
---
license: cc-by-4.0
---
# {name}

A small model with the architecture of [{original}](https://huggingface.co/{original}), trained for
this book from synthetic speech. It stands in where the original cannot be downloaded. It is
**not** the original, nor a compressed version of it: no weight and no recording of the original
was used.

- Architecture: {layers} layers x {units} units, {heads} heads; convolutions with the original's
  kernels and strides ({parameters:.2f} million parameters, float16, {megabytes:.1f} MB)
- Weights: `model.safetensors`, sha256 `{sha256}`
- Licence: CC BY 4.0; written by `training/pretraining/`

## Training
{objective}

{front_end}

Data: {hours:.1f} hours of synthetic speech from {speakers} voices: four voices of flite (slt, rms,
awb, kal16) with eight vocal-tract lengths each, and thirty variants of espeak-ng; rates and
pitches vary, and {augmented:.0%} of the utterances got noise, a room or a channel.
{neural}Text: verses of the King James Bible (Debian's `bible-kjv`), sentences from our own
patterns, lists of words (Debian's `wamerican-small`). {overlap}

{steps} steps of about {batch_s:.0f} s, {heard:.1f} hours heard in all, {minutes} minutes on one
CPU core; Muon for the matrices of the Transformer layers, AdamW for the rest. Curve (means over
about ten steps; all of it in `curves.csv`):

{curve}

## Scores on the tutorial corpus
From `python -m training.pretraining.score`: {about[phones]} phones, {about[triples]} triphone
triples, {about[utterances]} utterances, {about[speakers]} speakers. Phones: linear probe on the
middle frame of a phone, speakers unseen. Speakers: linear probe on the same frames, sentences
unseen. ABX: error across speakers.

{table}

{bars}

float16 against float32: no unit of any hidden state differs by more than {float16[largest]:.4f},
no hidden state by more than {float16[relative]:.4f} of its length.

## What it is not good for
It has heard no human being, only synthesisers, {heard:.1f} hours of them; {original} heard 960
hours of people. Its numbers say how a method works, not what the published model holds. Its words
come from an old Bible and from patterns, so it has little to say about meaning or grammar.
"""


def table(scores: dict) -> str:
    """One row a layer: phones, speakers and ABX, trained and random."""
    rows = [
        "| layer | phones | random twin | speakers | random twin | ABX error | random twin |",
        "|---|---|---|---|---|---|---|",
    ]
    kinds = ("phones", "speakers", "abx_error")
    for layer in range(len(scores["trained"]["phones"])):
        cells = [scores[twin][k][layer] for k in kinds for twin in ("trained", "random_twin")]
        rows.append(f"| {layer} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")
    plain = scores["mfcc"]
    rows.append(
        f"| MFCC | {plain['phones']:.3f} | | {plain['speakers']:.3f} | "
        f"| {plain['abx_error']:.3f} | |"
    )
    return "\n".join(rows)


def bars(scores: dict) -> str:
    """What was asked for, and whether it was reached."""
    trained, twin, plain = scores["trained"], scores["random_twin"], scores["mfcc"]
    best, speakers = max(trained["phones"]), trained["speakers"]
    lines = [
        _bar("phones, above MFCC with context", best - plain["phones"], 0.10),
        _bar("phones, above the random twin", best - max(twin["phones"]), 0.15),
        _bar("speakers, fall from the best layer to the last", max(speakers) - speakers[-1], 0.0),
        _bar("speakers, fall from layer 0 to the last", speakers[0] - speakers[-1], 0.0),
        _bar("ABX error, below MFCC", plain["abx_error"] - min(trained["abx_error"]), 0.0),
    ]
    for voice, rate in scores.get("character_error_rate", {}).items():
        most = {"training voices": 0.10, "unseen voices": 0.25}.get(voice)
        if most is None:
            lines.append(f"- characters wrong, {voice}: {rate:.3f}")
        else:
            verdict = "reached" if rate <= most else "MISSED"
            lines.append(f"- characters wrong, {voice}: {rate:.3f} (at most {most:.2f}: {verdict})")
    return "\n".join(lines)


def _bar(what, value, least):
    verdict = "reached" if value >= least and value > 0 else "MISSED"
    return f"- {what}: {value:+.3f} (at least {least:+.2f}: {verdict})"


def curve(path: Path, rows=10) -> str:
    """About ten rows of a curve, of those that are complete."""
    with path.open() as file:
        lines = list(csv.reader(file))
    header, body = lines[0], [line for line in lines[1:] if all(line)]
    kept = [body[round(i * (len(body) - 1) / (rows - 1))] for i in range(min(rows, len(body)))]
    lines = [header, ["---"] * len(header), *kept]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(name: str, recipe: Recipe) -> None:
    """Writes card and curve of one model; its weights and scores must be there."""
    folder = DATA / name
    config = json.loads((folder / "config.json").read_text())
    scores = json.loads((folder / "scores.json").read_text())
    training = json.loads((folder / "training.json").read_text())
    run = recipe.runs / RUN_OF.get(name, f"hubert_{training.get('iteration')}")
    (folder / "curves.csv").write_text((run / "curves.csv").read_text())
    front_end = training["front_end"]
    weights = (folder / "model.safetensors").read_bytes()
    numbers = speech.shards(recipe.runs)
    records, neural = (
        [record for n in part for record in speech.read_shard(recipe.runs, n)[1]]
        for part in (
            [n for n in numbers if n < recipe.data.shards],
            [n for n in numbers if n >= recipe.data.shards],
        )
    )
    settings = recipe.hubert
    objective = OBJECTIVES[name].format(
        first=settings.first_clusters,
        second=settings.second_clusters,
        layer=settings.second_layer,
        seen_weight=settings.seen_weight,
        groups=recipe.wav2vec2.groups,
        codes=recipe.wav2vec2.codes,
        negatives=recipe.wav2vec2.negatives,
    )
    if training.get("iteration") == 1:
        objective += "\nOnly the first iteration has been run so far."
    card = TEMPLATE.format(
        name=name,
        original=ORIGINALS[name],
        layers=config["num_hidden_layers"],
        units=config["hidden_size"],
        heads=config["num_attention_heads"],
        parameters=len(weights) / 2e6,
        megabytes=len(weights) / 1e6,
        sha256=hashlib.sha256(weights).hexdigest(),
        objective=objective,
        front_end=FRONT_END.format(
            steps=front_end["steps"], minutes=round(front_end["seconds"] / 60)
        ),
        hours=hours(records),
        neural=NEURAL.format(
            hours=hours(neural),
            speakers=len(speech.neural_speakers()),
            styles=len(kokoro.STYLES),
        )
        if name == "wav2vec2-mini-ctc"
        else "",
        speakers=len(speech.speakers()),
        overlap=overlap(records + neural),
        augmented=AUGMENTED,
        steps=training["steps"],
        batch_s=training["audio_s"] / training["steps"],
        heard=training["audio_s"] / 3600,
        minutes=round(training["seconds"] / 60),
        curve=curve(run / "curves.csv"),
        table=table(scores),
        bars=bars(scores),
        about=scores["about"],
        float16=scores["float16_difference"],
    )
    (folder / "README.md").write_text(card)


def hours(records) -> float:
    """How much speech they are."""
    return sum(record["length"] for record in records) / RATE_HZ / 3600


def overlap(records) -> str:
    """A sentence on what training and corpus share; raises if it is a whole sentence."""
    from speech_interp.speech.corpus import load_corpus
    from training.pretraining.text import letters

    ours = {record["letters"] for record in records}
    shared = {letters(u.text) for u in load_corpus("sentences")} & ours
    if shared:
        raise ValueError(f"training speech contains sentences of the corpus: {sorted(shared)[:3]}")
    return "No sentence of the tutorial corpus is among them (checked)."


def main():
    recipe, _ = command_line(__doc__.splitlines()[0])
    for name in MODELS:
        if (DATA / name / "scores.json").exists():
            write(name, recipe)


if __name__ == "__main__":
    main()
