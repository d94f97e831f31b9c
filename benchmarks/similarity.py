"""Linear CKA of all pairs of layers: this package beside the public Gram-space definition.

    python benchmarks/similarity.py [--items 10000] [--units 768] [--layers 13] [--pairs 2]
        [--clock wall|processor]

The reference is the published double loop over layers, `cka(gram_linear(x), gram_linear(y))` of
[pmlr-v97-kornblith19a], in NumPy, float64, same threads. `cka_matrix` is timed on the layers as a
model gives them (float32; it multiplies in float32 and sums in float64) and in float64. The
reference takes minutes, so it is timed on `--pairs` pairs (every pair costs the same) and
multiplied; `--pairs 0` runs all of them. On a busy machine take `OMP_NUM_THREADS=1` and the
processor's clock.
"""

import argparse
import time

import numpy as np

from speech_interp.methods.cka import cka_matrix, cka_of_moments
from speech_interp.statistics.moments import Moments


def gram_space_cka(x, y):
    """Linear CKA through two centred item x item matrices."""

    def centred(features):
        gram = features @ features.T
        means = gram.mean(0)
        means -= means.mean() / 2
        gram -= means[:, None]
        gram -= means[None, :]
        return gram

    k, m = centred(x), centred(y)
    return k.ravel() @ m.ravel() / (np.linalg.norm(k) * np.linalg.norm(m))


CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def timed(clock, function, *args, repeats=1, **options):
    seconds = []
    for _ in range(repeats):
        start = clock()
        value = function(*args, **options)
        seconds.append(clock() - start)
    return value, min(seconds)


def layers_of(items, units, count):
    """States that change a little from layer to layer, with unequal variances, off the origin."""
    rng = np.random.default_rng(0)
    state = rng.normal(size=(items, units)) * np.exp(-np.arange(units) / units * 4)
    layers = [state]
    for _ in range(count - 1):
        turn = np.eye(units) + 0.5 * rng.normal(size=(units, units)) / np.sqrt(units)
        layers.append(np.tanh(layers[-1] @ turn) + 0.1)
    return layers


def streamed(layers, shard):
    sums = Moments()
    for start in range(0, len(layers[0]), shard):
        sums.add([x[start : start + shard] for x in layers])
    return cka_of_moments(sums, debiased=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, default in (("items", 10_000), ("units", 768), ("layers", 13), ("pairs", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    options = parser.parse_args()
    clock = CLOCKS[options.clock]
    layers = layers_of(options.items, options.units, options.layers)
    # Models give float32; the reference computes in float64 on the very same values.
    layers = [layer.astype(np.float32).astype(np.float64) for layer in layers]
    every = [(i, j) for i in range(options.layers) for j in range(options.layers)]
    pairs = every[1 :: max(1, len(every) // options.pairs)] if options.pairs else every
    pairs = pairs[: options.pairs or None]

    np.ones((500, 500)) @ np.ones((500, 500))  # wake the threads up
    reference, pairs_s = timed(
        clock, lambda: [gram_space_cka(layers[i], layers[j]) for i, j in pairs]
    )
    whole_s = pairs_s / len(pairs) * len(every)
    size = f"{options.items} x {options.units}"
    print(f"{options.layers} x {options.layers} layers, {size}, {options.clock} time")
    some = f"({len(pairs)} of {len(every)} pairs timed)"
    print(f"Gram-space reference, float64       {whole_s:9.1f} s  {some}")
    for dtype in (np.float32, np.float64):
        given = [layer.astype(dtype) for layer in layers]
        ours, ours_s = timed(clock, cka_matrix, given, debiased=False, repeats=2)
        difference = max(abs(ours[i, j] - r) for (i, j), r in zip(pairs, reference, strict=True))
        print(
            f"cka_matrix, layers given in {dtype.__name__} {ours_s:9.2f} s  "
            f"{whole_s / ours_s:.0f} times as fast, largest difference {difference:.1e}"
        )
        assert difference < 1e-6
    shards, shards_s = timed(clock, streamed, layers, 2000)
    difference = np.abs(shards - ours).max()
    print(
        f"Moments, shards of 2000             {shards_s:9.2f} s  "
        f"{whole_s / shards_s:.0f} times as fast, {difference:.1e} from cka_matrix"
    )
    assert difference < 1e-6


if __name__ == "__main__":
    main()
