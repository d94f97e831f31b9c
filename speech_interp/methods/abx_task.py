"""The task of ABX as data: which items of a table are compared with which."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped
from numpy import ndarray

Table = Any  # columns by name: a dictionary of sequences, a pandas table
Levels = Sequence[str | Sequence[str]]


class NoTripleError(ValueError):
    """No item of a table finds one of its own label and one of another to be compared with."""


@dataclass(frozen=True, eq=False)
class AbxTask:
    """Which items are compared with which. Made by `abx_task`.

    A class holds the items of one label in one BY group and one ACROSS group. A cell compares two
    labels there: X from class `x`, B from class `b`, A from class `a` (X's own label, B's side).
    """

    on: str
    by: tuple[tuple[str, ...], ...]  # names that are averaged together, in the order of averaging
    across: tuple[str, ...]
    item_count: int  # of the table
    items: Int[ndarray, " member"]  # numbers of the items that take part, sorted by class
    class_of: Int[ndarray, " member"]
    label_of: Int[ndarray, " member"]  # code of the ON label
    side_of: Int[ndarray, " member"]  # code of the ACROSS group
    group_starts: Int[ndarray, " group_and_end"]  # where each BY group begins among the members
    cells: dict[str, Shaped[ndarray, " cell"]] = field(repr=False)  # labels of each cell
    classes: Int[ndarray, "cell 3"] = field(repr=False)  # x, a, b
    triples: Int[ndarray, " cell"] = field(repr=False)

    def __len__(self) -> int:
        return len(self.triples)


def abx_task(
    table: Table,
    *,
    on: str,
    by: Levels = (),
    across: Sequence[str] = (),
    most_items: int | None = None,
    seed: int = 0,
) -> AbxTask:
    """Return the comparisons that a table of labels allows.

    `table`: label columns by name, one entry an item (a dictionary or a pandas table). `on`: A and
    B differ in it, X shares it with A (the phone). `by`: the same in A, B and X (the speaker, the
    neighbours); names in brackets are averaged together, from left to right:
    `by=(("before", "after"), "speaker")`. `across`: the same in A and B, another in X. `most_items`
    of a class are drawn, all by default.

    Raises ValueError for a column that is missing or of another length, NoTripleError where no
    triple is left.
    """
    levels = tuple((name,) if isinstance(name, str) else tuple(name) for name in by)
    names = [name for level in levels for name in level]
    columns = _columns(table, [on, *names, *across])
    count = len(columns[on])
    label_of = np.unique(columns[on], return_inverse=True)[1]
    group_of = _codes([columns[n] for n in names], count)
    side_of = _codes([columns[n] for n in across], count)
    order = np.lexsort((label_of, side_of, group_of))
    if most_items is not None:
        order = _drawn(order, (group_of, side_of, label_of), most_items, seed)
    same = [codes[order][1:] == codes[order][:-1] for codes in (group_of, side_of, label_of)]
    class_of = np.r_[0, np.cumsum(~np.all(same, axis=0))]
    first = np.flatnonzero(np.r_[True, np.diff(class_of) > 0])  # a member of each class
    sizes = np.diff(np.r_[first, len(order)])
    of_class = {name: columns[name][order[first]] for name in (on, *names, *across)}
    group, side, label = (codes[order[first]] for codes in (group_of, side_of, label_of))
    classes = _comparisons(group, side, label, [of_class[n] for n in across], sizes)
    if not len(classes):
        raise NoTripleError(
            f"no triple to compare: none of {count} items finds one of its own {on} and one of "
            f"another with equal {names or 'anything'} and {list(across) or 'nothing'} changed"
        )
    x, a, b = classes.T
    triples = sizes[x] * (sizes[a] - (x == a)) * sizes[b]
    cells = {on: of_class[on][x], f"{on}_b": of_class[on][b]}
    cells |= {name: of_class[name][x] for name in names}
    cells |= {name: of_class[name][b] for name in across}
    cells |= {f"{name}_x": of_class[name][x] for name in across}
    groups = np.flatnonzero(np.r_[True, np.diff(group_of[order]) > 0, True])
    return AbxTask(
        on, levels, tuple(across), count, order, class_of, label_of[order], side_of[order],
        groups, cells, classes, triples,
    )  # fmt: skip


def _columns(table: Table, names: list[str]) -> dict[str, ndarray]:
    missing = [name for name in names if name not in table]
    if missing:
        raise ValueError(f"the table has no column {missing}; it has {list(table)}")
    if len(set(names)) < len(names):
        raise ValueError(f"on, by and across name a column twice: {names}")
    columns = {name: np.asarray(table[name]) for name in names}
    for name, column in columns.items():
        if column.ndim != 1 or len(column) != len(columns[names[0]]):
            expected = f"({len(columns[names[0]])},)"
            raise ValueError(f"column {name!r} has shape {column.shape}, expected {expected}")
        if column.dtype.kind == "f" and np.isnan(column).any():
            raise ValueError(f"column {name!r} lacks {np.isnan(column).sum()} labels (NaN)")
    return columns


def _codes(columns: list[ndarray], count: int) -> Int[ndarray, " item"]:
    """One number for each combination of labels; 0 throughout without columns."""
    if not columns:
        return np.zeros(count, dtype=int)
    single = np.stack([np.unique(c, return_inverse=True)[1] for c in columns])
    return np.unique(single, axis=1, return_inverse=True)[1].ravel()


def _drawn(order: ndarray, codes: Sequence[ndarray], most: int, seed: int) -> ndarray:
    """Of the members of every class (the sorted `order`) at most so many, drawn at random."""
    if most < 2:
        raise ValueError(f"most_items is {most}, expected 2 or more: A and X need one each")
    class_of = _codes([c[order] for c in codes], len(order))
    chance = np.random.default_rng(seed).random(len(order))
    mixed = np.lexsort((chance, class_of))
    starts = np.flatnonzero(np.r_[True, np.diff(class_of[mixed]) > 0])
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    return order[np.sort(mixed[rank < most])]


def _comparisons(
    group: ndarray, side: ndarray, label: ndarray, across: list[ndarray], sizes: ndarray
) -> Int[ndarray, "cell 3"]:
    """Return the classes of X, A and B of every cell, ordered by the class of X."""
    found = [np.zeros((0, 3), dtype=int)]
    key = (group * (side.max() + 1) + side) * (label.max() + 1) + label  # ascending
    edges = np.flatnonzero(np.r_[True, np.diff(group) > 0, True])
    for first, last in itertools.pairwise(edges):
        own = slice(first, last)
        valid = label[own, None] != label[None, own]
        for values in across:
            valid &= values[own, None] != values[None, own]
        x, b = np.nonzero(valid)
        x, b = x + first, b + first
        a = x
        if across:
            wanted = key[b] - label[b] + label[x]
            a = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
        enough = (key[a] == wanted) if across else (sizes[a] > 1)
        found.append(np.stack([x, a, b], axis=1)[enough])
    return np.concatenate(found)
