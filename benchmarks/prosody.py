"""F0 beside Praat's, and the tree kernel beside the listing of all fragments.

    python benchmarks/prosody.py [--utterances 60] [--trees 20]

Praat comes with `pip install praat-parselmouth` (0.4.7); without it the first part is skipped. The
listing writes every fragment of a tree down. Their number grows exponentially with the size of the
tree, the kernel's work with its square: on sentences as short as those of the corpus the listing is
the faster, and beyond `--most` fragments a tree is left out. Processor time, one thread.
"""

import argparse
import time
from collections import Counter
from itertools import product

import numpy as np

from speech_interp import load_corpus
from speech_interp.studies.prosody import pitch
from speech_interp.studies.trees import sentence_trees, tree_kernel, without_words


def timed(function, *args):
    start = time.process_time()
    return function(*args), time.process_time() - start


def beside_praat(utterances):
    try:
        import parselmouth
    except ImportError:
        print("F0: skipped, praat-parselmouth is not installed")
        return
    waves = [u.wave for u in utterances]
    ours, our_s = timed(lambda: [pitch(wave) for wave in waves])
    sounds = [parselmouth.Sound(wave.astype(float), 16_000) for wave in waves]
    theirs, their_s = timed(lambda: [s.to_pitch_ac(0.01, 60, pitch_ceiling=400) for s in sounds])
    here, there = (np.array(x) for x in zip(*rows(ours, theirs), strict=True))
    both = (here > 0) & (there > 0)
    off = np.abs(12 * np.log2(here[both] / there[both]))
    print(f"F0 of {len(waves)} utterances: {our_s:.2f} s, Praat {their_s:.2f} s")
    print(
        f"  voiced in both {both.mean():.1%}, in one only {((here > 0) != (there > 0)).mean():.1%}"
    )
    print(
        f"  median distance {np.median(off):.3f} semitones, more than one in {np.mean(off > 1):.1%}"
    )


def rows(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        for t, f0 in zip(one.times_s, one.f0_hz, strict=True):
            yield f0, np.nan_to_num(other.get_value_at_time(t))


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
    for name, default in (("utterances", 60), ("trees", 20), ("most", 20_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    spoken = load_corpus("stress_pairs")
    beside_praat(spoken[:: max(1, len(spoken) // options.utterances)])
    bare = [without_words(tree) for tree in sentence_trees().values()]
    sizes = [sum(count(node) for node in tree.nodes) for tree in bare]
    print(f"fragments of a sentence: median {np.median(sizes):.0f}, most {max(sizes)}")
    small = [t for t, size in zip(bare, sizes, strict=True) if size <= options.most]
    beside_the_listing(small[: options.trees])


if __name__ == "__main__":
    main()
