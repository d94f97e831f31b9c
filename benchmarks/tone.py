"""Recorded tones on all syllables: what each Whisper reads of new syllables and of another person.

    python benchmarks/tone.py [--syllables 138] [--window 2] [--models openai/whisper-tiny.en ...]

One pass a sound: in windows of two seconds all 138 syllables take one core under a minute for the
small model and over one for the larger; `--window 30` takes some ten times as long. The four models
tell language from size, where the Hub is within reach: tiny.en and base.en are English, tiny and
base multilingual. What cannot be had is named and skipped.
"""

import argparse

import numpy as np

from speech_interp import load_model
from speech_interp.methods.probing import classify, grouped_folds
from speech_interp.show.pages import with_interval
from speech_interp.states.features import mfcc
from speech_interp.states.items import collect, mixed_leads
from speech_interp.states.short_window import short_window
from speech_interp.studies.prosody import together
from speech_interp.studies.recorded_tones import recorded_tones

MODELS = tuple(f"openai/whisper-{kind}" for kind in ("tiny.en", "base", "tiny", "base.en"))


def states(model, people):
    leads_s = mixed_leads(people, longest_s=1.0)
    x = collect(model, people, "syllables", lead_s=leads_s, progress=False).states
    return together(*(x[:, q::4] for q in range(4)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--syllables", type=int)
    parser.add_argument("--window", type=float, default=2.0, help="seconds, 1.6 to 30")
    parser.add_argument("--models", nargs="*", default=MODELS)
    options = parser.parse_args()
    people = recorded_tones(syllables=options.syllables)
    tone, person, text = (
        np.array([get(u) for u in people])
        for get in (lambda u: u.info["tone"], lambda u: u.speaker, lambda u: u.text)
    )
    splits = {"new syllables": grouped_folds(text, folds=2)}
    if len(set(person)) == 2:
        for train, test in grouped_folds(person, folds=2):
            splits[f"the other person, {person[test][0]} is tested"] = [(train, test)]
    for name in ("MFCC", *options.models):
        try:
            model = mfcc
            if name != "MFCC":
                model = short_window(load_model(name), window_s=options.window)
        except (RuntimeError, OSError, ValueError) as error:
            print(f"{name}: skipped, {str(error).splitlines()[0]}")
            continue
        x = states(model, people)
        for split, folds in splits.items():
            scores = classify(x, tone, folds, clusters=text).by_layer()
            row = " ".join(f"{score:.2f}" for score in scores.score())
            print(f"{name}, {split}: {row}; best {with_interval(scores, scores.best())}")


if __name__ == "__main__":
    main()
