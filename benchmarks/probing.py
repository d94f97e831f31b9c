"""Probes of all layers for three tasks: this package beside the plain scikit-learn loop.

    python benchmarks/probing.py [--layers 13] [--units 768] [--items 3000]
        [--clock wall|processor]

States are Gaussian, with planted phones, speakers and tongue positions. The loop fits the same
probes on the same folds, layer after layer, as most published code does: StandardScaler, then
LogisticRegression with scikit-learn's own tolerance, or Ridge.
"""

import argparse
import time

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from speech_interp.methods.probing import PENALTY, classify, grouped_folds, regress
from speech_interp.statistics.predictions import correlation


def planted_states(layers, items, units, seed=0):
    """States that hold 39 phones more and more with depth, and 12 speakers less and less."""
    rng = np.random.default_rng(seed)
    phone, speaker, sentence = (rng.integers(0, count, items) for count in (39, 12, 60))
    mixing = rng.normal(size=(units, units)) * np.exp(-np.arange(units) / units * 5)[:, None]
    phones, speakers = rng.normal(size=(39, units)), rng.normal(size=(12, units))
    states = []
    for depth in np.linspace(0, 1, layers):
        signal = 0.3 * depth * phones[phone] + 0.3 * (1 - depth) * speakers[speaker]
        states.append((signal + rng.normal(size=(items, units))) @ mixing)
    tongue = phones[phone][:, :6] + 0.3 * rng.normal(size=(items, 6))
    return np.float32(states), phone, speaker, sentence, np.float32(tongue)


def loop_over_layers(states, y, folds, probe_of, dtype):
    predicted = np.empty((len(states), *y.shape), dtype=dtype)
    for layer, x in enumerate(states):
        for train, test in folds:
            probe = make_pipeline(StandardScaler(), probe_of(len(train)))
            predicted[layer, test] = probe.fit(x[train], y[train]).predict(x[test])
    return predicted


CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def timed(clock, function, *args, **options):
    start = clock()
    value = function(*args, **options)
    return value, clock() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, default in (("layers", 13), ("units", 768), ("items", 3000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    options = parser.parse_args()
    clock = CLOCKS[options.clock]
    states, phone, speaker, sentence, tongue = planted_states(
        options.layers, options.items, options.units
    )
    print(
        f"{options.layers} layers, {options.items} items, {options.units} units, "
        f"{options.clock} time"
    )
    both = grouped_folds(speaker, sentence)
    by_sentence = grouped_folds(sentence, folds=5)
    total = np.zeros(2)

    def logistic(n):
        return LogisticRegression(C=1 / (PENALTY * n), max_iter=1000)

    for name, labels, folds in (("phone", phone, both), ("speaker", speaker, by_sentence)):
        ours, ours_s = timed(clock, classify, states, labels, folds, penalty=PENALTY)
        plain, plain_s = timed(clock, loop_over_layers, states, labels, folds, logistic, int)
        accuracy = (plain == labels).mean(1)
        total += ours_s, plain_s
        print(
            f"{name:11s} {ours_s:7.1f} s, loop {plain_s:7.1f} s; accuracy of best layer "
            f"{ours.score().max():.4f}, loop {accuracy.max():.4f}; "
            f"largest difference of any layer {np.abs(ours.score() - accuracy).max():.4f}"
        )
        assert np.abs(ours.score() - accuracy).max() < 0.01

    ours, ours_s = timed(clock, regress, states, tongue, both, penalty=PENALTY)
    plain, plain_s = timed(
        clock,
        loop_over_layers,
        states,
        tongue,
        both,
        lambda n: Ridge(alpha=PENALTY * n),
        np.float32,
    )
    total += ours_s, plain_s
    gap = np.abs(ours.predicted - plain).max()
    print(
        f"{'articulator':11s} {ours_s:7.1f} s, loop {plain_s:7.1f} s; r of best layer "
        f"{ours.score(correlation).mean(1).max():.4f}; largest difference {gap:.1e}"
    )
    assert gap < 1e-3 * np.abs(tongue).max()
    print(f"{'all':11s} {total[0]:7.1f} s, loop {total[1]:7.1f} s: {total[1] / total[0]:.1f} times")


if __name__ == "__main__":
    main()
