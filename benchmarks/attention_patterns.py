"""Patterns of all heads: `speech_interp` beside `output_attentions=True` in a loop.

    python benchmarks/attention_patterns.py            # 12 layers of 12 heads
    python benchmarks/attention_patterns.py --small    # the same on small models, in seconds
    python benchmarks/attention_patterns.py --minutes 10    # besides: the package on so much speech

The reference asks transformers for the maps of all layers (eager attention), keeps them, and
computes the same nine measures of every head, one line or two each. Both results are compared
before a time is printed. Weights are random: time does not depend on them. Each side
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

from speech_interp.methods.attention_patterns import MEASURES
from speech_interp.methods.head_patterns import HeadPatterns
from speech_interp.speech.corpus import SILENCE
from speech_interp.states.attention import record_attention


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


def labels_of(count: int) -> np.ndarray:
    """Return made-up phones of seven frames, every fifth of them silence."""
    phones = np.random.default_rng(0).choice([f"p{k}" for k in range(39)], size=count // 7 + 1)
    phones[::5] = SILENCE
    return np.repeat(phones, 7)[:count]


def by_loop(model, inputs, speech: int | None) -> np.ndarray:
    """Return all measures, (measure, layer, head), from all maps at once."""
    with torch.no_grad():
        maps = [m[0] for m in model(**inputs, output_attentions=True).attentions]
    n = speech or maps[0].shape[1]
    labels = labels_of(n)
    codes = torch.from_numpy(np.unique(labels, return_inverse=True)[1])
    silent = torch.from_numpy(labels == SILENCE)
    run = (codes[1:] != codes[:-1]).long().cumsum(0)
    run = torch.cat([torch.zeros(1, dtype=torch.long), run])
    away = (torch.arange(n)[:, None] - torch.arange(n)).abs()
    other = run[:, None] != run
    same = other & (codes[:, None] == codes)
    even = same.sum(1) / other.sum(1)
    spoken = ~silent
    found = np.zeros((len(MEASURES), len(maps), len(maps[0])))
    for layer, heads in enumerate(maps):
        kept = []
        for head, whole in enumerate(heads):
            a = whole[:n, :n] / whole[:n, :n].sum(1, keepdim=True)
            mean = a.mean(0)
            by_distance = torch.bincount(away.flatten(), a.flatten().double(), n).cumsum(0) / n
            on_same, on_other = ((a * mask).sum(1)[spoken] for mask in (same, other))
            found[:, layer, head] = [
                torch.special.entr(a).sum(1).mean() / np.log(n),
                -torch.special.entr(mean).sum() / np.log(n),
                -(a * away).sum(1).mean() / n,
                (by_distance < 0.9 - 1e-6).sum(),
                0,
                whole[:n, n:].sum(1).mean(),
                mean[:5].sum(),
                mean[silent].sum(),
                (on_same - on_other * even[spoken]).sum() / on_other.sum(),
            ]
            kept.append(a.flatten())
        alike = torch.corrcoef(torch.stack(kept))
        found[MEASURES.index("likeness"), layer] = (alike.sum(0) - 1) / (len(heads) - 1)
    return found


def here(model, inputs, speech: int | None) -> np.ndarray:
    steps = record_attention(model, **inputs)
    n = speech or steps[0].key_count
    values = HeadPatterns.of_steps(steps, speech_count=n, labels=labels_of(n)).values
    return np.stack([values[name][0] for name in MEASURES])


def run(side, build, small, seconds, attention, speech, passes, results) -> None:
    torch.set_num_threads(1)
    model, inputs = build(small, seconds, attention)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    for _ in range(passes):
        found = side(model, inputs, speech)
    seconds_taken = time.process_time() - started
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # kB on Linux
    results.put((found, seconds_taken, grown / 1024))


def forward(model, inputs, speech: int | None) -> None:
    """The pass alone, which both sides need."""
    with torch.no_grad():
        model(**inputs)


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
    parser.add_argument(
        "--minutes", type=float, default=0, help="time the package on so much speech"
    )
    options = parser.parse_args()
    print(f"torch {torch.__version__}, one thread", flush=True)
    for name, build, seconds, speech in (
        ("wav2vec2-base", wav2vec2, 10, None),
        ("whisper-small", whisper, 30, None),
        ("whisper-small, 5 s", whisper, 30, 250),
    ):
        case = (build, options.small, seconds)
        _, pass_s, _ = measured(forward, *case, "sdpa", speech, 1)
        slow, slow_s, slow_mb = measured(by_loop, *case, "eager", speech, 1)
        fast, fast_s, fast_mb = measured(here, *case, "sdpa", speech, 1)
        difference = np.abs(fast - slow).max(axis=(1, 2))
        assert difference.max() < 1e-3, dict(zip(MEASURES, difference, strict=True))
        print(
            f"{name:18}  pass {pass_s:5.1f} s  loop {slow_s:5.1f} s {slow_mb:5.0f} MB"
            f"  here {fast_s:5.1f} s {fast_mb:5.0f} MB  difference {difference.max():.0e}",
            flush=True,
        )
    if options.minutes:
        passes = max(1, round(options.minutes * 2))
        _, taken_s, grown_mb = measured(here, whisper, options.small, 30, "sdpa", None, passes)
        print(
            f"{passes} windows of 30 s: {taken_s:.0f} s, {grown_mb:.0f} MB, "
            f"so {taken_s / passes * 2:.0f} minutes for an hour"
        )


if __name__ == "__main__":
    main()
