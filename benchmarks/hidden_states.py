"""How much the hooks of `hidden_states` cost beside a bare forward pass of the same encoder.

python benchmarks/hidden_states.py [--seconds 10] [--repeats 15]
"""

import argparse
import statistics
import time

import numpy as np
import torch

from speech_interp.models.loading import load_model
from speech_interp.states.hidden_states import encoder_of, hidden_states, model_inputs

NAMES = ("facebook/wav2vec2-base", "facebook/hubert-base-ls960", "openai/whisper-tiny.en")


def bare(model, wave):
    with torch.no_grad():
        encoder_of(model)(model_inputs(model, wave))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    wave = rng.normal(scale=0.1, size=int(16000 * options.seconds)).astype(np.float32)
    for model in [load_model(name) for name in NAMES]:
        ratios = []
        for _ in range(options.repeats):  # side by side, so that a busy moment hits both
            start = time.perf_counter()
            bare(model, wave)
            middle = time.perf_counter()
            hidden_states(model, wave)
            ratios.append((middle - start) / (time.perf_counter() - middle))
        print(f"{model.name}: {statistics.median(ratios):.3f} of the throughput of a bare pass")


if __name__ == "__main__":
    main()
