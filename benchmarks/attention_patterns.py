"""Patterns of all heads: `speech_interp` beside `output_attentions=True` in a loop.

    python benchmarks/attention_patterns.py            # 12 layers of 12 heads
    python benchmarks/attention_patterns.py --small    # the same on small models, in seconds

The reference asks transformers for the maps of all layers (eager attention), keeps them, and
computes globalness, verticality and diagonality of every head with NumPy. Both results are
compared before a time is printed. Weights are random: time does not depend on them. Each side
runs in a process of its own, so that its peak of memory is its own. Times are CPU seconds of one
thread. No public package computes these measures; the loop is what one would write.
"""

import argparse
import multiprocessing
import resource
import time

import numpy as np
import torch
import transformers

from speech_interp.methods.head_patterns import HeadPatterns
from speech_interp.states.attention import record_attention

NAMES = ("globalness", "verticality", "diagonality")


def wav2vec2(small: bool, seconds: float, attention: str):
    shape = dict(hidden_size=96, num_hidden_layers=3, intermediate_size=384) if small else {}
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(**shape, attn_implementation=attention)
    inputs = {"input_values": torch.randn(1, int(seconds * 16_000))}
    return transformers.Wav2Vec2Model(config).eval(), inputs


def whisper(small: bool, seconds: float, attention: str):
    """The encoder of whisper-small: 1500 frames, whatever the duration."""
    width, layers = (96, 3) if small else (768, 12)
    config = transformers.WhisperConfig(
        d_model=width, encoder_layers=layers, encoder_attention_heads=12, encoder_ffn_dim=4 * width,
        decoder_layers=1, decoder_attention_heads=12, decoder_ffn_dim=4 * width,
        attn_implementation=attention,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.WhisperModel(config).encoder.eval()
    return model, {"input_features": torch.randn(1, 80, 3000)}


def by_loop(model, inputs) -> np.ndarray:
    """Return the three measures, (measure, layer, head), from all maps at once."""
    with torch.no_grad():
        maps = [m[0].double().numpy() for m in model(**inputs, output_attentions=True).attentions]
    found = np.zeros((3, len(maps), len(maps[0])))
    for layer, heads in enumerate(maps):
        for head, a in enumerate(heads):
            n, mean = len(a), a.mean(0)
            away = np.abs(np.arange(n)[:, None] - np.arange(n)) / n
            found[0, layer, head] = -(a * np.log(a)).sum(1).mean() / np.log(n)
            found[1, layer, head] = (mean * np.log(mean)).sum() / np.log(n)
            found[2, layer, head] = -(a * away).sum() / n
    return found


def here(model, inputs) -> np.ndarray:
    """Return the same; the package computes its other measures too."""
    values = HeadPatterns.of_steps(record_attention(model, **inputs)).values
    return np.stack([values[name][0] for name in NAMES])


def run(side, build, small, seconds, attention, results) -> None:
    torch.set_num_threads(1)
    model, inputs = build(small, seconds, attention)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    found = side(model, inputs)
    seconds_taken = time.process_time() - started
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # kB on Linux
    results.put((found, seconds_taken, grown / 1024))


def measured(*arguments):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=run, args=(*arguments, results))
    process.start()
    found = results.get()
    process.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="small models: seconds, not minutes")
    small = parser.parse_args().small
    print(f"torch {torch.__version__}, one thread", flush=True)
    for name, build, seconds in (("wav2vec2-base", wav2vec2, 10), ("whisper-small", whisper, 30)):
        slow, slow_s, slow_mb = measured(by_loop, build, small, seconds, "eager")
        fast, fast_s, fast_mb = measured(here, build, small, seconds, "sdpa")
        difference = np.abs(fast - slow).max()
        assert difference < 1e-4, difference
        print(
            f"{name:14} {seconds:3} s  loop {slow_s:6.1f} s {slow_mb:6.0f} MB"
            f"  here {fast_s:6.1f} s {fast_mb:6.0f} MB  difference {difference:.0e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
