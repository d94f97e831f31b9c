"""Constituency trees: how deep they are, and how alike two of them are.

A tree is written in brackets, `(S (NP (PRP He)) (VP (VBD slept)))`. Two trees are alike if they
share many fragments: what the tree kernel counts without listing them [shenWaveSyntaxProbing2023a].
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from speech_interp.methods.rsa_distances import RDM, condensed
from speech_interp.speech.corpus import Utterance

# Large trees have very many large fragments: a share of each level's weight keeps a tree from being
# like nothing but itself.
DECAY = 0.4


class TreeError(ValueError):
    """Brackets that are not a tree; the message says where."""


@dataclass(frozen=True)
class Tree:
    """A label and the trees below it; a word is a tree without any."""

    label: str
    children: "tuple[Tree, ...]" = ()

    def __str__(self) -> str:
        if not self.children:
            return self.label
        return f"({self.label} {' '.join(map(str, self.children))})"

    @property
    def words(self) -> tuple[str, ...]:
        """The labels of the leaves, from left to right."""
        if not self.children:
            return (self.label,)
        return tuple(word for child in self.children for word in child.words)

    @property
    def depth(self) -> int:
        """The number of steps from here to the deepest leaf."""
        return 1 + max(child.depth for child in self.children) if self.children else 0

    @property
    def nodes(self) -> "tuple[Tree, ...]":
        """This tree and all below it, parents first."""
        return (self, *(node for child in self.children for node in child.nodes))


def read_tree(text: str) -> Tree:
    """Return the tree written in brackets. Raises TreeError for brackets that do not match."""
    tokens = re.findall(r"[()]|[^\s()]+", text)
    stack: list[list] = [[]]
    for number, token in enumerate(tokens):
        if token == "(":
            stack.append([])
        elif token == ")":
            label, *children = (stack.pop() if len(stack) > 1 else []) or [None]
            if not isinstance(label, str) or not children:
                raise TreeError(f"token {number} of {text!r} closes nothing with a label and parts")
            parts = (Tree(c) if isinstance(c, str) else c for c in children)
            stack[-1].append(Tree(label, tuple(parts)))
        else:
            stack[-1].append(token)
    if len(stack) != 1 or len(stack[0]) != 1 or isinstance(stack[0][0], str):
        raise TreeError(f"{text!r} is not one tree: {len(stack) - 1} brackets are left open")
    return stack[0][0]


def sentence_trees() -> dict[str, Tree]:
    """Return the trees of sentences of the subset "sentences", by their words in lower case.

    Written by hand (`data/corpus/trees.txt`), 76 of the 122 sentences; look them up with
    `words_of(utterance.text)`.
    """
    text = (files("speech_interp") / "data" / "corpus" / "trees.txt").read_text(encoding="utf-8")
    trees = [read_tree(line) for line in text.splitlines() if line and not line.startswith("#")]
    return {words_of(" ".join(tree.words)): tree for tree in trees}


def words_of(text: str) -> str:
    """Return a text in lower case and without punctuation, but for apostrophes."""
    return " ".join(re.findall(r"[\w']+", text.lower()))


def said_by(utterances: Sequence[Utterance], voices: Sequence[str]) -> list[Utterance]:
    """Return the sentences that have trees, as each voice says them: voice by voice.

    In the order of `sentence_trees`. Raises ValueError where a voice lacks a sentence.
    """
    said: dict[tuple[str, str], Utterance] = {}
    for utterance in utterances:
        said.setdefault((utterance.speaker, words_of(utterance.text)), utterance)
    wanted = [(voice, text) for voice in voices for text in sentence_trees()]
    if lost := [key for key in wanted if key not in said]:
        raise ValueError(f"voice {lost[0][0]!r} does not say {lost[0][1]!r}")
    return [said[key] for key in wanted]


def bag(
    rows: Sequence[Sequence[str]], *, at_least: int = 2
) -> tuple[Float[ndarray, "row kind"], list[str]]:
    """Return how often each row holds each kind, and the kinds: those of `at_least` so many rows.

    Rows of words are bags of words, rows of parts of speech bags of those; order is lost.
    """
    among = Counter(kind for row in rows for kind in set(row))
    kinds = sorted(kind for kind, count in among.items() if count >= at_least)
    return np.array([[list(row).count(k) for k in kinds] for row in rows], float), kinds


def shared_words(rows: Sequence[Sequence[str]]) -> Float[ndarray, "row row"]:
    """Return for all pairs of rows the share of their kinds of words that both have: 0 to 1.

    Raises ValueError for a row without words.
    """
    has = bag(rows, at_least=1)[0] > 0
    if not has.any(axis=1).all():
        raise ValueError(f"row {int(has.any(axis=1).argmin())} has no words")
    both = (has.astype(int) @ has.T.astype(int)).astype(float)
    own = np.diag(both)
    return both / (own[:, None] + own - both)


def random_tree(words: Sequence[str], rng: np.random.Generator) -> Tree:
    """Return a tree over the words that knows nothing of them: cut in two, at random, and again.

    As deep as chance makes it, deeper on average for more words: what a probe of depth finds in
    such trees, it owes to length. Raises ValueError without words.
    """
    if not len(words):
        raise ValueError("words: got none, expected at least one")
    if len(words) == 1:
        return Tree("X", (Tree(words[0]),))
    cut = int(rng.integers(1, len(words)))
    return Tree("X", (random_tree(words[:cut], rng), random_tree(words[cut:], rng)))


def without_words(tree: Tree) -> Tree:
    """Return the tree with its parts of speech as leaves: its words say nothing any more."""
    if all(not child.children for child in tree.children):
        return Tree(tree.label)
    return Tree(tree.label, tuple(without_words(child) for child in tree.children))


def tree_kernel(one: Tree, other: Tree, *, decay: float = DECAY) -> float:
    """Return the number of pairs of equal fragments, each weighed by decay to the number of rules.

    A fragment is a node with all its children, some of them with all of theirs, and so on; each
    node that is opened is one rule. Raises ValueError for a decay that is not above 0, at most 1.
    """
    if not 0 < decay <= 1:
        raise ValueError(f"decay is {decay}, expected above 0 and at most 1")
    known: dict[tuple[int, int], float] = {}

    def rooted(a: Tree, b: Tree) -> float:
        """Return the weight of pairs of equal fragments that begin at these two nodes."""
        if not a.children or _rule(a) != _rule(b):
            return 0.0
        key = (id(a), id(b))
        if key not in known:
            product = decay
            for pair in zip(a.children, b.children, strict=True):
                product *= 1 + rooted(*pair)
            known[key] = product
        return known[key]

    return sum(rooted(a, b) for a in one.nodes for b in other.nodes)


def kernel_matrix(trees: Sequence[Tree], *, decay: float = DECAY) -> Float[ndarray, "tree tree"]:
    """Return the likeness of every pair of trees, 1 with itself, 0 without a common fragment.

    The kernel over the root of its product with both selves. Raises ValueError for a tree without
    any rule: it is like nothing.
    """
    if bare := [str(tree) for tree in trees if not tree.children]:
        raise ValueError(f"{bare[0]!r} is a leaf; expected trees with at least one rule")
    values = np.zeros((len(trees), len(trees)))
    for i, one in enumerate(trees):
        for j in range(i + 1):
            values[i, j] = values[j, i] = tree_kernel(one, trees[j], decay=decay)
    scale = np.sqrt(np.diag(values))
    return values / np.outer(scale, scale)


def tree_rdm(trees: Sequence[Tree], *, decay: float = DECAY) -> RDM:
    """Return for all pairs of trees 1 less their likeness: 0 if equal, 1 if they share nothing.

    A reference space for whole sentences, beside `edit_rdm` [shenWaveSyntaxProbing2023a]. Raises
    ValueError for a tree without any rule and for fewer than three trees.
    """
    if len(trees) < 3:
        raise ValueError(f"trees hold {len(trees)}, expected at least 3: RSA needs several pairs")
    return condensed(1 - kernel_matrix(trees, decay=decay))


def _rule(tree: Tree) -> tuple[str, ...]:
    return (tree.label, *(child.label for child in tree.children))
