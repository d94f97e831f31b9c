"""Linear probes: what can be read off every layer, for items, speakers and sentences unseen.

States are ``(layer, item, unit)``: pooled phones, words, or single frames. Each layer gets its own
probe, fitted by scikit-learn; scores and their intervals are computed for all layers at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, product

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from joblib import Parallel, cpu_count, delayed
from numpy import ndarray
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from speech_interp.statistics.missing import Labels, check_labels, folds_without, missing_labels
from speech_interp.statistics.predictions import ProbeResult, class_counts, moments
from speech_interp.statistics.resampling import cells
from speech_interp.statistics.spaces import as_numpy

States = Float[ndarray, "layer item unit"] | Float[torch.Tensor, "layer item unit"]
Clusters = Labels | tuple[Labels, ...]  # what is drawn anew: speakers, or (speakers, sentences)
Fold = tuple[Int[ndarray, " _train"], Int[ndarray, " _test"]]

# On phones of the tutorial corpus this penalty lets the fit settle within some 40 steps; the
# tolerance that scikit-learn sets, 1e-4, doubles them and moves no accuracy by more than 0.002.
PENALTY, TOLERANCE = 0.03, 1e-3
# Online coding: the share of the items after which the probe is fitted anew [voita2020mdl].
ONLINE_SHARES = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.0625, 0.125, 0.25, 0.5, 1.0)
SLIP = 0.01  # probability spread over all classes, so that no label costs infinitely many bits


def grouped_folds(*groups: Labels, folds: int = 3, seed: int = 0) -> list[Fold]:
    """Return (train, test) items; no group of a test item, in any grouping, occurs in training.

    With two groupings (speakers, sentences) there are `folds` x `folds` pairs: each item is tested
    once, and a probe trains on what shares neither its speakers nor its sentences.
    """
    parts = np.stack([_parts(group, folds, seed) for group in groups])
    pairs = []
    for cell in product(range(folds), repeat=len(groups)):
        hit = parts == np.array(cell)[:, None]
        train, test = np.flatnonzero(~hit.any(0)), np.flatnonzero(hit.all(0))
        if len(test):
            pairs.append((train, test))
    return pairs


def never_trained(labels: Labels, folds: Sequence[Fold]) -> dict[str, int]:
    """Return the classes that some fold tests and does not train on, with their number of items.

    No probe can name them there: they put a cap on the score and fill tables of confusions.
    """
    check_labels(labels, "labels")
    return _never_trained(*np.unique(np.asarray(labels), return_inverse=True), folds)


def _never_trained(classes: ndarray, codes: ndarray, folds: Sequence[Fold]) -> dict[str, int]:
    lost: dict[str, int] = {}
    for train, test in folds:
        for code in codes[test][~np.isin(codes[test], codes[train])]:
            lost[str(classes[code])] = lost.get(str(classes[code]), 0) + 1
    return lost


def classify(
    states: States,
    labels: Labels,
    folds: Sequence[Fold],
    *,
    clusters: Clusters | None = None,
    penalty: float = PENALTY,
    allow_unseen: bool = False,
    leave_out_missing: bool = False,
) -> ProbeResult:
    """Return what logistic regression on each layer predicts for the test items of each fold.

    `penalty`: weight of half the squared coefficients beside the mean loss per item. `clusters`:
    items resampled together for intervals; by default every item on its own. A tuple of groupings,
    (speakers, sentences), draws both anew at the same time. Raises ValueError for classes that a
    fold tests and never trains on, unless `allow_unseen`, and for labels that are NaN or None,
    unless `leave_out_missing`: then no fold trains on these items or tests them.
    """
    missing = missing_labels(labels)
    folds = folds_without(missing, folds, "labels", leave_out_missing)
    layers, classes, codes = _checked(states, labels, folds, missing)
    if not allow_unseen and (lost := _never_trained(classes, codes, folds)):
        raise ValueError(
            f"{sum(lost.values())} of {len(codes)} items are of classes that their fold never "
            f"trains on: {lost}; take more items, leave these out, or allow_unseen=True"
        )

    def fit(layer: int) -> ndarray:
        return _predict(layers[layer], codes, folds, lambda n: _logistic(penalty, n))

    predicted = np.stack(_for_all_layers(fit, len(layers)))
    cluster, groupings = _clusters(clusters, len(codes))
    counts = class_counts(codes, predicted, cluster, len(classes))
    return ProbeResult(counts, predicted, codes, classes, groupings)


def regress(
    states: States,
    targets: Float[ndarray, "item target"] | Float[torch.Tensor, "item target"],
    folds: Sequence[Fold],
    *,
    clusters: Clusters | None = None,
    penalty: float = PENALTY,
    leave_out_missing: bool = False,
) -> ProbeResult:
    """Return what ridge regression on each layer predicts for the test items of each fold.

    `penalty`: weight of the squared coefficients beside the mean squared error. Many targets cost
    little more than one: to sweep lags, put shifted copies side by side. Raises ValueError for
    targets that are not finite (frames without a track), unless `leave_out_missing`: then no fold
    trains on items that lack a target or tests them.
    """
    targets = as_numpy(targets).astype(np.float32)
    missing = ~np.isfinite(targets).all(axis=1)
    folds = folds_without(missing, folds, "targets", leave_out_missing)
    layers, _, _ = _checked(states, np.arange(len(targets)), folds)

    def fit(layer: int) -> ndarray:
        return _predict(layers[layer], targets, folds, lambda n: _ridge(penalty, n))

    predicted = np.stack(_for_all_layers(fit, len(layers)))
    cluster, groupings = _clusters(clusters, len(targets))
    sums = moments(targets, predicted, cluster)
    return ProbeResult(sums, predicted, targets, groupings=groupings)


def chance_level(
    labels: Labels,
    folds: Sequence[Fold],
    *,
    clusters: Clusters | None = None,
    leave_out_missing: bool = False,
) -> ProbeResult:
    """Return what a probe predicts that sees nothing: the commonest label of its training items."""
    blind = partial(classify, np.zeros((1, len(labels), 1), np.float32), allow_unseen=True)
    return blind(labels, folds, clusters=clusters, leave_out_missing=leave_out_missing)


def control_labels(types: Labels, labels: Labels, *, seed: int = 0) -> Shaped[ndarray, " item"]:
    """Return a random label for each type, drawn as often as in `labels`, the same at each token.

    A probe can only learn this control task by heart [hewitt2019control].
    """
    check_labels(types, "types")
    check_labels(labels, "labels")
    labels = np.asarray(labels)
    kinds, kind_of_item = np.unique(np.asarray(types), return_inverse=True)
    if len(kind_of_item) != len(labels):
        raise ValueError(f"types names {len(kind_of_item)} items, labels {len(labels)}")
    return np.random.default_rng(seed).choice(labels, size=len(kinds))[kind_of_item]


@dataclass(frozen=True)
class OnlineCode:
    """How many bits it takes to send the labels to someone who has the states of a layer."""

    bits: Float[ndarray, " layer"]
    uniform_bits: float  # without the states, all classes equally likely

    @property
    def compression(self) -> Float[ndarray, " layer"]:
        """How many times shorter the code is. States without use give less than 1: show theirs."""
        return self.uniform_bits / self.bits


def online_code(
    states: States,
    labels: Labels,
    *,
    groups: Labels | None = None,
    penalty: float = PENALTY,
    seed: int = 0,
) -> OnlineCode:
    """Return the length of the labels in the online code of [voita2020mdl], for each layer.

    Each stretch of items is sent with the probe fitted on all stretches before. The order is
    random; `groups` (sentences) stay together in it: neighbours would give each other away.
    """
    check_labels(labels, "labels")
    layers, classes, codes = _checked(states, labels, [])
    kinds = _codes(groups, len(codes))
    rng = np.random.default_rng(seed)
    order = np.argsort(rng.permutation(kinds.max() + 1)[kinds], kind="stable")
    sizes = [int(share * len(codes)) for share in ONLINE_SHARES]
    cuts = [n for n in sizes if n >= max(10, len(classes)) and len(set(codes[order[:n]])) > 1]
    if not cuts:
        raise ValueError(f"got {len(codes)} items, expected at least {max(10, len(classes))}")
    uniform = np.log2(len(classes))

    def length(layer: int) -> float:
        bits = cuts[0] * uniform
        for start, stop in pairwise(cuts):
            seen, new = order[:start], order[start:stop]
            model = _logistic(penalty, start).fit(layers[layer][seen], codes[seen])
            chances = np.full((len(new), len(classes)), SLIP / len(classes))
            chances[:, model.classes_] += (1 - SLIP) * model.predict_proba(layers[layer][new])
            bits -= np.log2(chances[np.arange(len(new)), codes[new]]).sum()
        return float(bits)

    lengths = np.array(_for_all_layers(length, len(layers)))
    return OnlineCode(bits=lengths, uniform_bits=float(len(codes) * uniform))


def _predict(
    x: ndarray, y: ndarray, folds: Sequence[Fold], new_probe: Callable[[int], Pipeline]
) -> ndarray:
    """Return the predictions of one layer; scaling is learnt inside the fold, like all else."""
    predicted = np.full(y.shape, np.nan if y.dtype.kind == "f" else -1, dtype=y.dtype)
    for train, test in folds:
        guess = new_probe(len(train)).fit(x[train], y[train]).predict(x[test])
        predicted[test] = guess.reshape(len(test), *y.shape[1:])
    return predicted


def _logistic(penalty: float, n: int) -> Pipeline:
    probe = LogisticRegression(C=1 / (penalty * n), tol=TOLERANCE, max_iter=1000)
    return make_pipeline(StandardScaler(copy=False), probe)


def _ridge(penalty: float, n: int) -> Pipeline:
    return make_pipeline(StandardScaler(copy=False), Ridge(alpha=penalty * n, solver="cholesky"))


def _for_all_layers(work: Callable[[int], object], layer_count: int) -> list:
    """Do the work for every layer, as many at a time as there are processors."""
    with threadpool_limits(1):  # one thread a layer is faster than many threads on one layer
        jobs = min(cpu_count(), layer_count)
        return Parallel(n_jobs=jobs, prefer="threads")(delayed(work)(k) for k in range(layer_count))


def _parts(group: Labels, folds: int, seed: int) -> ndarray:
    check_labels(group, "a group")
    kinds, index = np.unique(np.asarray(group), return_inverse=True)
    if len(kinds) < folds:
        raise ValueError(f"{folds} folds need as many groups; got {len(kinds)}: {kinds[:5]}")
    parts = np.empty(len(index), dtype=int)
    splitter = GroupKFold(folds, shuffle=True, random_state=seed)
    for part, (_, test) in enumerate(splitter.split(index, groups=index)):
        parts[test] = part
    return parts


def _clusters(clusters: Clusters | None, n: int) -> tuple[ndarray, tuple[ndarray, ...]]:
    """Return the cluster of each item, and what each cluster's groups are in every grouping."""
    if not isinstance(clusters, tuple) or not clusters or np.ndim(clusters[0]) == 0:
        codes = _codes(clusters, n)
        return codes, () if clusters is None else (np.arange(codes.max() + 1),)
    for names in clusters:
        _codes(names, n)
    return cells(*clusters)


def _codes(labels: Labels | None, n: int) -> Int[ndarray, " item"]:
    if labels is None:
        return np.arange(n)
    check_labels(labels, "clusters or groups")
    codes = np.unique(np.asarray(labels), return_inverse=True)[1]
    if len(codes) != n:
        raise ValueError(f"clusters or groups name {len(codes)} items, expected {n}")
    return codes


def _checked(
    states: States, labels: Labels, folds: Sequence[Fold], missing: ndarray | None = None
) -> tuple[ndarray, ndarray, ndarray]:
    """Return float32 states, the classes and the class of each item, or say what is wrong.

    The class of an item that is `missing` is -1.
    """
    layers = as_numpy(states).astype(np.float32, copy=False)
    missing = np.zeros(len(labels), dtype=bool) if missing is None else missing
    named = [label for label, gone in zip(labels, missing, strict=True) if not gone]
    codes = np.full(len(labels), -1)
    classes, codes[~missing] = np.unique(np.asarray(named), return_inverse=True)
    if layers.ndim != 3 or layers.shape[1] != len(codes):
        raise ValueError(
            f"states has shape {layers.shape}, expected (layer, {len(codes)} items, unit)"
        )
    if len(classes) < 2:
        raise ValueError(f"labels has one class only: {str(classes[0])!r}")
    if not np.isfinite(layers).all():
        raise ValueError("states holds values that are not finite")
    for number, (train, test) in enumerate(folds):
        if np.intersect1d(train, test).size:
            raise ValueError(f"fold {number} tests items that it trains on")
        if len(np.unique(codes[train])) < 2:
            raise ValueError(f"fold {number} trains on {len(train)} items of fewer than 2 classes")
    return layers, classes, codes
