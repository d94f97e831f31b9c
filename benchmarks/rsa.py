"""RSA of all layers with a model RDM: this package beside rsatoolbox.

    python benchmarks/rsa.py [--items 2000] [--units 768] [--layers 13] [--clock wall|processor]
        [--comparisons spearman "whitened cosine" ...]

The reference is rsatoolbox: `calc_rdm` of all layers (correlation distance), then `compare` with
one model RDM. Its `tau-a` and Kendall's here run the same SciPy code and are left out unless asked
for. rsatoolbox is no requirement of the book: `pip install rsatoolbox`. With `--alone` only this
package is timed, say on 10,000 items. The peak of memory is that of the whole run.
"""

import argparse
import resource
import sys
import time
import warnings

import numpy as np

from speech_interp.methods.rsa import compare_rdms
from speech_interp.methods.rsa_distances import rdms, square

CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
NAMES = {
    "spearman": "spearman", "pearson": "corr", "cosine": "cosine", "whitened pearson": "corr_cov",
    "whitened cosine": "cosine_cov", "kendall": "tau-a",
}  # fmt: skip
DEFAULT = ["spearman", "pearson", "whitened cosine"]


def timed(clock, function, *args, **options):
    start = clock()
    value = function(*args, **options)
    return value, clock() - start


def layers_of(items, units, count):
    """States of 40 kinds of items that change a little from layer to layer, off the origin."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 40, items)
    state = rng.normal(size=(40, units))[kinds] + 2 * rng.normal(size=(items, units))
    noise = (0.3 * k * rng.normal(size=(items, units)) for k in range(count))
    return kinds, [(state + n + 0.5).astype(np.float32) for n in noise]


def peak_gb():
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / (1e9 if sys.platform == "darwin" else 1e6)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, default in (("items", 2000), ("units", 768), ("layers", 13)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--comparisons", nargs="+", choices=NAMES, default=DEFAULT)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--alone", action="store_true")
    options = parser.parse_args()
    clock = CLOCKS[options.clock]
    kinds, layers = layers_of(options.items, options.units, options.layers)
    # Distances of kinds, so that there are ties as in real models of phones.
    kind_tables = square(rdms([np.random.default_rng(1).normal(size=(40, 5))], "euclidean")[0])
    model = np.concatenate([kind_tables[k, kinds[i + 1 :]] for i, k in enumerate(kinds)])
    print(f"{options.layers} layers, {options.items} items x {options.units}, {options.clock} time")
    ours, ours_s = timed(clock, rdms, layers, "pearson")
    values = {name: timed(clock, compare_rdms, ours, model, name) for name in options.comparisons}
    print(f"speech_interp: distances {ours_s:.2f} s, peak so far {peak_gb():.2f} GB")
    if options.alone:
        for name, (_, seconds) in values.items():
            print(f"  {name:17s} {seconds:7.2f} s")
        print(f"peak {peak_gb():.2f} GB")
        return
    try:
        warnings.simplefilter("ignore")
        from rsatoolbox.data import Dataset
        from rsatoolbox.rdm import RDMs, calc_rdm, compare
    except ImportError as error:
        sys.exit(f"rsatoolbox is not installed ({error}): nothing to compare with")
    data = [Dataset(layer.astype(np.float64)) for layer in layers]
    theirs, theirs_s = timed(clock, calc_rdm, data, method="correlation")
    difference = np.abs(theirs.dissimilarities - ours).max()
    print(
        f"distances          rsatoolbox {theirs_s:7.2f} s, here {ours_s:6.2f} s: "
        f"{theirs_s / ours_s:5.1f} times as fast, largest difference {difference:.1e}"
    )
    assert difference < 1e-6
    target = RDMs(model[None])
    for name, (value, seconds) in values.items():
        expected, reference_s = timed(clock, compare, theirs, target, NAMES[name])
        difference = np.abs(expected - value).max()
        ratio = (theirs_s + reference_s) / (ours_s + seconds)
        print(
            f"{name:18s} rsatoolbox {reference_s:7.2f} s, here {seconds:6.2f} s: "
            f"{reference_s / seconds:5.1f} times as fast, with distances {ratio:5.1f}, "
            f"largest difference {difference:.1e}"
        )
        assert difference < 1e-6
    print(f"peak with rsatoolbox {peak_gb():.2f} GB")


if __name__ == "__main__":
    main()
