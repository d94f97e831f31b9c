"""Shapley values and occlusion of speech: `speech_interp` beside Captum's plain loop.

    python benchmarks/attribution.py [--small] [--segments 8] [--orders 25] [--seconds 2]

The reference is Captum as its documentation uses it: the waveform, a mask that says which samples
belong to which segment, one changed sound a pass. Here the same Captum methods play a game over
segments: sounds go through the model in batches, and a coalition that was asked before, by
whichever method, is not computed again. Both draw the same orders; results are compared before a
time is printed. Weights are random: time does not depend on them. Times are CPU seconds, one
thread, so the gain from filling several cores or a GPU comes on top.

What to expect: n segments have 2^n coalitions, so the more orders, the larger the factor for few
segments (words of a sentence), and none for one order over many.
"""

import argparse
import time

import captum.attr
import numpy as np
import torch
import transformers

from speech_interp.methods import attribution, games
from speech_interp.speech.audio import RATE_HZ


def make_score(small: bool):
    """A CTC-like score of a wav2vec2-base with random weights: the mean logit of one unit."""
    shape = dict(hidden_size=96, num_hidden_layers=3, intermediate_size=384) if small else {}
    torch.manual_seed(0)
    model = transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**shape)).eval()
    passes = []

    def score(waves):
        passes.append(len(waves))
        return model(waves).last_hidden_state[:, :, 0].mean(1)

    return score, passes


@torch.no_grad()
def captum_plain(method, score, wave, spans, *, seed, **options):
    """Captum on the waveform with a feature mask; samples in no segment are a last feature."""
    mask = torch.full((1, len(wave)), len(spans))
    for segment, (start, stop) in enumerate(spans):
        mask[0, start:stop] = segment
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (Captum draws from the global generator)
    explained = method(score).attribute(torch.tensor(wave)[None], feature_mask=mask, **options)
    return torch.stack([explained[0, start] for start, _ in spans])


def timed(passes, function, *arguments, **options):
    passes.clear()
    started = time.process_time()
    values = function(*arguments, **options)
    return values.float(), time.process_time() - started, sum(passes)


def report(name, reference, here):
    (slow, slow_s, slow_passes), (fast, fast_s, fast_passes) = reference, here
    difference = float((slow - fast).abs().max() / slow.abs().max())
    assert difference < 1e-3, difference
    print(
        f"{name:18} Captum {slow_s:7.2f} s {slow_passes:4} passes   here {fast_s:7.2f} s "
        f"{fast_passes:4} passes   factor {slow_s / fast_s:5.1f}   difference {difference:.0e}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a small model: seconds, not minutes")
    for name, default in (("segments", 8), ("orders", 25), ("seconds", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(1)
    score, passes = make_score(options.small)
    wave = np.random.default_rng(0).normal(0, 0.1, options.seconds * RATE_HZ).astype(np.float32)
    # The segments cover the whole sound, so both sides have the same players.
    segments = games.windows(options.seconds, options.seconds / options.segments)
    size = "small" if options.small else "wav2vec2-base"
    print(
        f"{size}, {options.seconds} s of sound, {len(segments)} segments, torch", torch.__version__
    )

    def game():
        return games.make_game(score, wave, segments)

    spans, shapley = game().spans, captum.attr.ShapleyValueSampling
    arguments = (score, wave, spans)
    with torch.no_grad():
        score(torch.tensor(wave)[None])  # warm up
    report(
        "leave one out",
        timed(passes, captum_plain, captum.attr.FeatureAblation, *arguments, seed=0),
        timed(passes, attribution.leave_one_out, game()),
    )
    reference = timed(passes, captum_plain, shapley, *arguments, seed=3, n_samples=options.orders)
    shared = game()
    report(
        f"Shapley, {options.orders} orders",
        reference,
        timed(passes, attribution.shapley_sampling, shared, orders=options.orders, seed=3),
    )
    exact, more_s, more = timed(passes, attribution.shapley_exact, shared)
    error = float((exact - reference[0]).abs().max() / exact.abs().max())
    print(
        f"all coalitions     {more:4} more passes, {more_s:.2f} s: the sample is off by {error:.0%}"
    )


if __name__ == "__main__":
    main()
