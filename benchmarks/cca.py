"""CCA of all layers with one space: this package beside scikit-learn's iterative CCA.

    python benchmarks/cca.py [--items 10000] [--units 768] [--layers 13] [--pairs 8]

scikit-learn finds one pair of directions after the other (NIPALS). It is timed on the first
`--pairs` pairs of ONE layer, and its time for all pairs of all layers is that, times the number of
pairs and of layers: what remains to be taken out of both spaces costs the same for every pair. Ours
finds all pairs of all layers, and once more on five held-out folds with intervals. Where cca-zoo is
installed, its closed-form CCA of one layer is timed too. Set `OMP_NUM_THREADS=1` on a busy machine;
the clock is the processor's.
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.cross_decomposition import CCA

from speech_interp.methods.cca import canonical_correlations
from speech_interp.methods.cca_held_out import cca_by_layer
from speech_interp.methods.probing import grouped_folds


def timed(function):
    start = time.process_time()
    value = function()
    return value, time.process_time() - start


def layers_of(items, units, count):
    """Layers that share less and less with the target, some directions louder than others."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=(items, units)) * np.geomspace(0.3, 3, units)
    shared = np.geomspace(1, 0.05, units)
    layers = []
    for k in range(count):
        share = shared ** (1 + k / count)
        mixed = share * y + np.sqrt(1 - share**2) * rng.normal(size=y.shape) * y.std(0)
        layers.append(mixed @ rng.normal(size=(units, units)) / np.sqrt(units) + 1)
    return layers, y


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, default in (("items", 10_000), ("units", 768), ("layers", 13), ("pairs", 8)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    layers, y = layers_of(options.items, options.units, options.layers)
    size = f"{options.layers} layers x {options.items} items x {options.units} units"

    ours, seconds = timed(lambda: [canonical_correlations(x, y) for x in layers])
    print(f"ours, all pairs, {size}: {seconds:.1f} s")
    speakers = np.arange(options.items) % 20
    folds = grouped_folds(speakers, folds=5)
    _, held_out = timed(lambda: cca_by_layer(layers, y, folds, groups=speakers, resamples=200))
    print(f"ours, five held-out folds with 200 draws of 20 speakers: {held_out:.1f} s")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it may stop before it has converged
        peer = CCA(n_components=options.pairs, max_iter=500)
        (a, b), measured = timed(lambda: peer.fit_transform(layers[0], y))
    whole = measured * options.units / options.pairs * options.layers
    theirs = np.array([np.corrcoef(a[:, k], b[:, k])[0, 1] for k in range(options.pairs)])
    print(f"scikit-learn, {options.pairs} pairs of one layer: {measured:.1f} s; all: {whole:.0f} s")
    print(
        f"largest difference on those pairs: {np.abs(theirs - ours[0][: options.pairs]).max():.1e}"
    )
    print(f"ratio for all pairs of all layers: {whole / seconds:.0f}")

    try:
        from cca_zoo.linear import CCA as ZooCCA
    except ImportError:
        print("cca-zoo is not installed: left out")
        return
    zoo = ZooCCA(n_components=options.units)
    _, seconds_zoo = timed(lambda: zoo.fit([layers[0], y]))
    print(f"cca-zoo, all pairs of one layer: {seconds_zoo:.1f} s")


if __name__ == "__main__":
    main()
