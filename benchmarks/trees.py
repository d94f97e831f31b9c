"""The tree kernel beside the listing of all fragments, on the trees of the corpus.

    python benchmarks/trees.py [--trees 12]

The listing writes every fragment of a tree down, which is the definition. Their number grows
exponentially with the size of the tree, the kernel's work with its square: on single sentences of
the corpus the listing is the faster, on several sentences under one root the kernel. Processor
time, one thread.
"""

import argparse
import time
from collections import Counter
from itertools import product

import numpy as np

from speech_interp.studies.trees import Tree, sentence_trees, tree_kernel, without_words


def timed(function, *args):
    start = time.process_time()
    return function(*args), time.process_time() - start


def fragments_at(tree):
    """Every fragment that begins at this node, as nested tuples."""
    if not tree.children:
        return []
    ways = [[(child.label,), *fragments_at(child)] for child in tree.children]
    return [(tree.label, *parts) for parts in product(*ways)]


def listed(tree):
    return Counter(f for node in tree.nodes for f in fragments_at(node))


def count(tree):
    """How many fragments begin at this node, without listing them."""
    return int(np.prod([1 + count(c) for c in tree.children])) if tree.children else 0


def beside_the_listing(trees):
    pairs = [(a, b) for a in trees for b in trees]
    ours, our_s = timed(lambda: [tree_kernel(a, b, decay=1.0) for a, b in pairs])

    def by_listing():
        every = {id(tree): listed(tree) for tree in trees}
        return [sum(n * every[id(b)][f] for f, n in every[id(a)].items()) for a, b in pairs]

    theirs, their_s = timed(by_listing)
    assert np.allclose(ours, theirs)
    print(f"kernel of {len(pairs)} pairs: {our_s:.3f} s, by listing {their_s:.3f} s, equal")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trees", type=int, default=12, help="of several sentences each")
    options = parser.parse_args()
    bare = [without_words(tree) for tree in sentence_trees().values()]
    for together in (1, 2, 3):
        groups = zip(*(bare[k:] for k in range(together)), strict=False)
        trees = [Tree("S", group) if together > 1 else group[0] for group in groups]
        trees = trees if together == 1 else trees[: options.trees]
        sizes = [sum(count(node) for node in tree.nodes) for tree in trees]
        print(
            f"{together} sentence(s) a tree, fragments of a tree: median {np.median(sizes):,.0f}, "
            f"most {max(sizes):,}"
        )
        beside_the_listing(trees)


if __name__ == "__main__":
    main()
