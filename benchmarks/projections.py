"""Components and neighbours of all layers: this package beside the plain loops of scikit-learn.

    python benchmarks/projections.py [--items 10000] [--units 768] [--layers 13] [--groups 20]
        [--clock wall|processor]

The reference for components is `PCA().fit(layer)`; both are held against the singular values of the
same numbers in float64. For purity it is `NearestNeighbors(algorithm="brute")`
in a loop over layers; where neighbours must come from other groups (speakers), one search for each
group among the items of all others. On a busy machine take `OMP_NUM_THREADS=1` and the processor's
clock.
"""

import argparse
import time

import numpy as np
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from speech_interp.methods.neighbourhoods import purity
from speech_interp.methods.projections import components_by_layer
from speech_interp.statistics.moments import Moments

COUNT = 10
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def timed(clock, function, *args):
    start = clock()
    value = function(*args)
    return value, clock() - start


def layers_of(items, units, count, labels):
    """States with unequal variances and weakly clustered labels, float32, off the origin."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(labels.max() + 1, units))
    scale = np.exp(-np.arange(units) / units * 4)
    for k in range(count):
        x = rng.normal(size=(items, units)) + (0.2 + 0.03 * k) * centres[labels]
        yield (x * scale + 1).astype(np.float32)


def streamed(layers, shard=2000):
    sums = []
    for x in layers:
        moments = Moments()
        for start in range(0, len(x), shard):
            moments.add([x[start : start + shard]])
        sums.append(moments)
    return components_by_layer(sums)


def plain_components(layers):
    return [PCA().fit(x) for x in layers]


def variances(found):
    return found.explained_variance_ if isinstance(found, PCA) else found.variances


def true_variances(x):
    x = x.astype(np.float64)
    return np.linalg.svd(x - x.mean(0), compute_uv=False) ** 2 / (len(x) - 1)


def plain_purity(layers, labels):
    found = []
    for x in layers:
        search = NearestNeighbors(n_neighbors=COUNT + 1, algorithm="brute").fit(x)
        near = search.kneighbors(return_distance=False, n_neighbors=COUNT)
        found.append((labels[near] == labels[:, None]).mean(1))
    return np.stack(found)


def plain_purity_apart(layers, labels, groups):
    found = np.zeros((len(layers), len(labels)))
    for row, x in zip(found, layers, strict=True):
        for group in np.unique(groups):
            own, others = np.flatnonzero(groups == group), np.flatnonzero(groups != group)
            search = NearestNeighbors(n_neighbors=COUNT, algorithm="brute").fit(x[others])
            near = others[search.kneighbors(x[own], return_distance=False)]
            row[own] = (labels[near] == labels[own, None]).mean(1)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, default in (("items", 10_000), ("units", 768), ("layers", 13), ("groups", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    options = parser.parse_args()
    clock = CLOCKS[options.clock]
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 40, options.items)
    groups = rng.integers(0, options.groups, options.items)
    layers = list(layers_of(options.items, options.units, options.layers, labels))
    size = f"{options.layers} x {options.items} x {options.units}"
    print(f"{size}, float32, {options.clock} time")

    true = [true_variances(x) for x in layers]
    ways = {
        "scikit-learn PCA, a loop": plain_components,
        "components_by_layer": components_by_layer,
        "streamed": streamed,
    }
    for name, function in ways.items():
        found, best_s = min((timed(clock, function, layers) for _ in range(3)), key=lambda x: x[1])
        gap = max(np.abs(variances(a) - b).max() / b[0] for a, b in zip(found, true, strict=True))
        print(f"{name:32} {best_s:8.2f} s  largest error {gap:.1e} of the largest variance")
        assert gap < (1e-4 if function is plain_components else 1e-6)
    for name, plain, apart in (
        ("any neighbour", plain_purity, ()),
        ("of another group", plain_purity_apart, (groups,)),
    ):
        theirs, theirs_s = timed(clock, plain, layers, labels, *apart)
        ours, ours_s = timed(clock, lambda a=apart: purity(layers, labels, count=COUNT, apart=a))
        gap = np.abs(ours.mean(1) - theirs.mean(1)).max()
        print(f"scikit-learn, {name:18} {theirs_s:8.2f} s")
        print(f"purity, {name:24} {ours_s:8.2f} s  largest difference of a layer {gap:.1e}")
        assert gap < 1e-3  # ties in float32


if __name__ == "__main__":
    main()
