"""How sure is a similarity of RDMs? Permuted items, half-samples of speakers and sentences, noise.

The pairs of an RDM are not independent: an item stands in n - 1 of them. So *items* are permuted
and drawn, never pairs.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from speech_interp.methods.cka_uncertainty import shuffled_items
from speech_interp.methods.rsa import check_rdms, compare_rdms, inner, prepared, tau_a
from speech_interp.methods.rsa_distances import (
    RDM,
    RDMs,
    condensed,
    item_count,
    pairs_among,
    square,
)
from speech_interp.methods.rsa_regression import partial_similarity
from speech_interp.statistics.layer_scores import LayerScores
from speech_interp.statistics.resampling import Names, draw_halves, paired_by

ORDERS_AT_A_TIME = 8


@dataclass(frozen=True, eq=False)
class MantelTest:
    """Similarity of each RDM with `y`, its values when the items of `y` are permuted, p-values."""

    similarity: Float[np.ndarray, " x"]
    null: Float[np.ndarray, "permutation x"]

    @property
    def p_value(self) -> Float[np.ndarray, " x"]:
        """The share of permutations, the true order among them, that reach the similarity."""
        return (1 + (self.null >= self.similarity).sum(0)) / (1 + len(self.null))


def mantel_test(
    xs: RDMs | RDM,
    y: RDM,
    *,
    controls: RDMs | RDM | None = None,
    comparison: str = "spearman",
    permutations: int = 500,
    within: Names | None = None,
    seed: int = 0,
) -> MantelTest:
    """Return the similarity of each of `xs` with `y`, and its null under permuted items.

    With `controls`: partial similarity; `y` and the controls then change places together, so they
    stay related to one another as they are. `within`: items change places inside these groups only.
    Items must be exchangeable if `y` is unrelated: phones or utterances, not successive frames.
    """
    xs, ys = check_rdms(xs, "xs"), check_rdms(y, "y")
    if controls is not None:
        ys = np.vstack([ys, check_rdms(controls, "controls")])
    n, rng = item_count(xs.shape[1]), np.random.default_rng(seed)
    if xs.shape[1] != ys.shape[1]:
        raise ValueError(f"xs are of {n} items, y of {item_count(ys.shape[1])}")
    orders = np.stack(
        [np.arange(n), *(shuffled_items(n, within, rng) for _ in range(permutations))]
    )
    if comparison == "kendall":
        if controls is not None:
            raise ValueError("comparison is 'kendall', which has no partial form")
        target = square(ys[0])
        moved = (condensed(target[np.ix_(order, order)]) for order in orders)
        values = np.array([[tau_a(x, z) for x in xs] for z in moved])
        return MantelTest(values[0], values[1:])
    ready = np.stack([prepared(x, comparison).astype(np.float32) for x in xs])
    targets = [prepared(z, comparison) for z in ys]
    among = np.array([[inner(a, b) for a in targets] for b in targets])
    products = np.stack([_products(ready, z, orders) for z in targets], axis=-1)
    values = partial_similarity(products, among)  # (order, x)
    return MantelTest(values[0], values[1:])


def rsa_by_layer(
    xs: RDMs | RDM,
    y: RDM | RDMs,
    *,
    groups: Names | tuple[Names, ...],
    controls: RDMs | RDM | None = None,
    comparison: str = "spearman",
    resamples: int = 200,
    seed: int = 0,
) -> LayerScores:
    """Return the similarity of every layer with `y`, as scores that can be drawn and compared.

    `y`: one RDM, or one for each of `xs`. `controls`: partial similarity. `groups`: what varies,
    such as (speakers, sentences), one name for each item. Half of each grouping is drawn again and
    again *without* replacement, and the items that are drawn in all count: half-samples spread
    about the estimate as it spreads about the truth, and no item meets a copy of itself, whose
    distance of 0 would be agreement by construction. Same halves as in `cka_by_layer`.
    """
    xs, ys = check_rdms(xs, "xs"), check_rdms(y, "y")
    more = np.empty((0, xs.shape[1])) if controls is None else check_rdms(controls, "controls")
    if len(ys) not in (1, len(xs)):
        raise ValueError(f"y holds {len(ys)} RDMs, expected 1 or {len(xs)}, as many as xs")
    groupings = groups if isinstance(groups, tuple) else (groups,)
    n = item_count(xs.shape[1])
    if len(groupings[0]) != n:
        raise ValueError(f"groups name {len(groupings[0])} items, xs are of {n}")
    values = [_similarities(xs, ys, more, comparison)]
    for kept in draw_halves(*groupings, resamples=resamples, seed=seed).astype(bool):
        items = np.flatnonzero(kept)
        if len(items) < 4:
            raise ValueError(f"a half-sample holds {len(items)} items, expected at least 4")
        pairs = pairs_among(items, n)
        values.append(_similarities(xs[:, pairs], ys[:, pairs], more[:, pairs], comparison))
    draws = np.stack(values[1:])
    draws += values[0] - draws.mean(0)
    return LayerScores(values[0], draws, paired_by=f"halves of {paired_by(*groupings)}")


def noise_ceiling(tables: RDMs, comparison: str = "spearman") -> tuple[float, float]:
    """Return the lower and upper limit of what the best possible model of these RDMs reaches.

    `tables`: the same items measured several times, such as the sentences of each speaker. Upper:
    the mean similarity of each with the mean of all; no model is nearer to all of them. Lower: of
    each with the mean of the *others*, which none has seen. A model between the two is as good as
    such data can tell. Raises ValueError for fewer than two RDMs.
    """
    tables = check_rdms(tables, "tables")
    if len(tables) < 2:
        raise ValueError(f"tables hold {len(tables)} RDM, expected at least 2")
    ready = np.stack([prepared(table, comparison) for table in tables])
    total = ready.sum(0)
    upper = np.sqrt(inner(total, total)) / len(ready)
    others = [total - one for one in ready]
    lower = [inner(z, o) / np.sqrt(inner(o, o)) for z, o in zip(ready, others, strict=True)]
    return float(np.mean(lower)), float(upper)


def _similarities(xs: RDMs, ys: RDMs, controls: RDMs, comparison: str) -> Float[np.ndarray, " x"]:
    """Return the similarity of each x with the one y, or with its own, beyond the controls."""
    if len(ys) > 1:
        pairs = zip(xs[:, None], ys[:, None], strict=True)
        return np.concatenate([_similarities(x, y, controls, comparison) for x, y in pairs])
    targets = np.vstack([ys, controls]) if len(controls) else ys
    with_xs = compare_rdms(xs, targets, comparison)
    if not len(controls):
        return with_xs[:, 0]
    return partial_similarity(with_xs, compare_rdms(targets, targets, comparison))


def _products(
    ready: Float[np.ndarray, "x pair"], target: RDM, orders: Int[np.ndarray, "order item"]
) -> Float[np.ndarray, "order x"]:
    """Return inner products of prepared RDMs with another whose items stand in each order."""
    whole, found = square(target.astype(np.float32)), []
    for start in range(0, len(orders), ORDERS_AT_A_TIME):
        some = orders[start : start + ORDERS_AT_A_TIME]
        moved = np.stack([condensed(whole.take(o, 0).take(o, 1)) for o in some])
        found.append(moved @ ready.T)
    return np.concatenate(found).astype(np.float64)
