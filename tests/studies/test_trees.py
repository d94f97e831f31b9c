"""The tree kernel counts fragments: against an oracle that lists every one of them."""

from collections import Counter
from itertools import product

import numpy as np
import pytest

from speech_interp.speech.corpus import load_corpus
from speech_interp.studies.trees import (
    Tree,
    TreeError,
    bag,
    kernel_matrix,
    random_tree,
    read_tree,
    said_by,
    sentence_trees,
    shared_words,
    tree_kernel,
    tree_rdm,
    without_words,
    words_of,
)

SLEPT = "(S (NP (PRP He)) (VP (VBD slept)))"
DOG = "(S (NP (DT the) (NN dog)) (VP (VBD saw) (NP (DT a) (NN cat))))"


def fragments_at(tree):
    """Every fragment that begins at this node, as nested tuples; a leaf begins none."""
    if not tree.children:
        return []
    ways = [[(child.label,), *fragments_at(child)] for child in tree.children]
    return [(tree.label, *parts) for parts in product(*ways)]


def all_fragments(tree):
    below = [tree]
    found = Counter()
    while below:
        node = below.pop()
        found.update(fragments_at(node))
        below += node.children
    return found


def rules_in(fragment):
    parts = fragment[1:]
    return bool(parts) + sum(rules_in(part) for part in parts)


def kernel_by_listing(one, other, decay):
    a, b = all_fragments(one), all_fragments(other)
    return sum(decay ** rules_in(f) * a[f] * b[f] for f in a)


def some_tree(rng, depth=3):
    if depth == 0 or rng.random() < 0.25:
        return Tree(str(rng.choice(["x", "y"])))
    parts = tuple(some_tree(rng, depth - 1) for _ in range(rng.integers(1, 4)))
    return Tree(str(rng.choice(["A", "B"])), parts)


@pytest.mark.parametrize("decay", [0.4, 1.0])
def test_kernel_equals_the_listing_of_fragments(decay):
    rng = np.random.default_rng(0)
    trees = [t for t in (some_tree(rng) for _ in range(14)) if t.children]
    shared = 0
    for one in trees:
        for other in trees:
            expected = kernel_by_listing(one, other, decay)
            shared += expected > 0 and one is not other
            assert tree_kernel(one, other, decay=decay) == pytest.approx(expected)
    assert shared > 10


def test_fragments_of_a_small_tree_counted_on_paper():
    """S over NP VP: the rule at the top alone, with NP's, with VP's, with both; and those two."""
    tree = without_words(read_tree(SLEPT))
    assert str(tree) == "(S (NP PRP) (VP VBD))"
    assert tree_kernel(tree, tree, decay=1.0) == 4 + 2


def test_reading_gives_back_what_was_written():
    for text in (SLEPT, DOG):
        assert str(read_tree(text)) == text
    tree = read_tree(DOG)
    assert tree.words == ("the", "dog", "saw", "a", "cat")
    assert tree.depth == 4 and without_words(tree).depth == 3
    assert without_words(tree).words == ("DT", "NN", "VBD", "DT", "NN")


@pytest.mark.parametrize("text", ["(S (NP He)", "(S He))", "He", "()", "(S)", "((S He))", ""])
def test_brackets_that_are_no_tree_are_refused(text):
    with pytest.raises(TreeError):
        read_tree(text)


def test_matrix_is_a_likeness():
    trees = [without_words(read_tree(text)) for text in (SLEPT, DOG, DOG)]
    values = kernel_matrix(trees)
    np.testing.assert_allclose(np.diag(values), 1)
    assert values[1, 2] == pytest.approx(1) and 0 < values[0, 1] < 0.5
    np.testing.assert_allclose(values, values.T)
    assert np.linalg.eigvalsh(values).min() > -1e-12


def test_words_do_not_count_without_words():
    one, other = read_tree(SLEPT), read_tree("(S (NP (PRP She)) (VP (VBD ran)))")
    assert kernel_matrix([one, other])[0, 1] < 0.9
    bare = [without_words(tree) for tree in (one, other)]
    assert kernel_matrix(bare)[0, 1] == pytest.approx(1)


def test_unsuitable_arguments_are_named():
    tree = read_tree(SLEPT)
    with pytest.raises(ValueError, match="decay is 0, expected above 0"):
        tree_kernel(tree, tree, decay=0)
    with pytest.raises(ValueError, match="'NN' is a leaf"):
        kernel_matrix([Tree("NN")])


PHRASES = {"S", "SQ", "SBAR", "SBARQ", "NP", "VP", "PP", "ADJP", "ADVP"}
PHRASES |= {"WHNP", "WHADVP", "WHADJP"}
PARTS = set(
    "CC CD DT EX IN JJ JJR JJS MD NN NNS NNP NNPS NN$ PRP PRP$ RB TO VB VBD VBG VBN VBP VBZ".split()
) | {"WDT", "WP", "WRB"}


def test_the_words_of_every_tree_are_those_of_a_sentence_of_the_corpus():
    said = {words_of(u.text): u for u in load_corpus("sentences")}
    trees = sentence_trees()
    assert len(trees) == 76 and set(trees) <= set(said)
    for text, tree in trees.items():
        spoken = [w.label.lower() for w in said[text].words]
        assert [w.lower() for w in tree.words] == spoken, text
    tested = {words_of(u.text) for u in load_corpus("sentences") if u.split == "test"}
    assert tested <= set(trees)


def test_the_trees_use_one_set_of_labels_and_vary_in_depth():
    depths = []
    for tree in sentence_trees().values():
        assert tree.label in {"S", "SQ", "SBARQ"}
        bare = without_words(tree)
        depths.append(bare.depth)
        for node in bare.nodes:
            assert node.label in (PHRASES if node.children else PARTS), f"{node.label} in {tree}"
            # a phrase that is all of another phrase of its kind is a slip of the pen
            assert [c.label for c in node.children] != [node.label] or str(node) == "(NP (NP DT))"
    assert min(depths) <= 3 and max(depths) >= 8 and len(set(depths)) >= 6


def test_trees_of_other_sentences_are_less_alike_than_a_tree_and_itself():
    values = kernel_matrix([without_words(tree) for tree in list(sentence_trees().values())[:15]])
    off = values[~np.eye(len(values), dtype=bool)]
    assert off.max() < 1 and off.min() >= 0 and off.std() > 0.01


@pytest.mark.parametrize("decay", [0.4, 1.0])
def test_distances_of_trees_are_one_less_the_likeness_by_listing(decay):
    rng = np.random.default_rng(3)
    trees = [read_tree(SLEPT), read_tree(DOG), *(some_tree(rng, 4) for _ in range(12))]
    trees = [tree for tree in trees if tree.children][:8]

    def likeness(one, other):
        values = [
            kernel_by_listing(a, b, decay) for a, b in ((one, other), (one, one), (other, other))
        ]
        return values[0] / np.sqrt(values[1] * values[2])

    expected = [1 - likeness(a, b) for i, a in enumerate(trees) for b in trees[i + 1 :]]
    np.testing.assert_allclose(tree_rdm(trees, decay=decay), expected, atol=1e-12)


def test_equal_trees_are_at_no_distance_and_strangers_at_one():
    other = read_tree("(X (Y (Z z)))")
    expected = [0, 1, 1]
    np.testing.assert_allclose(
        tree_rdm([read_tree(DOG), read_tree(DOG), other]), expected, atol=1e-12
    )


def test_two_trees_are_too_few_for_distances():
    with pytest.raises(ValueError, match="trees hold 2, expected at least 3"):
        tree_rdm([read_tree(DOG), read_tree(SLEPT)])


def test_sentences_come_voice_by_voice_in_the_order_of_the_trees():
    corpus = load_corpus("sentences")
    spoken = said_by(corpus, ["slt", "rms"])
    assert [words_of(u.text) for u in spoken] == 2 * list(sentence_trees())
    assert [u.speaker for u in spoken] == 76 * ["slt"] + 76 * ["rms"]
    first = words_of(spoken[0].text)
    some = [u for u in corpus if (words_of(u.text), u.speaker) != (first, "slt")]
    with pytest.raises(ValueError, match=f"voice 'slt' does not say '{first}'"):
        said_by(some, ["slt"])


def test_shared_words_counted_on_paper():
    found = shared_words([["a", "b"], ["b", "c", "b"], ["d"]])
    np.testing.assert_allclose(found, [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]])
    with pytest.raises(ValueError, match="row 1 has no words"):
        shared_words([["a"], []])


def test_a_bag_counts_and_forgets_the_order():
    counts, kinds = bag([["a", "b", "a"], ["b", "c", "b"], ["b", "a"]])
    assert kinds == ["a", "b"]  # c is in one row only
    np.testing.assert_array_equal(counts, [[2, 1], [0, 2], [1, 1]])
    assert bag([["a"], ["b"]], at_least=1)[1] == ["a", "b"]


def cuts(n):
    """The expected depth of a random tree over n words, from every way to cut: by recursion."""
    shares = {1: {1: 1.0}}  # words: {depth: probability}
    for m in range(2, n + 1):
        shares[m] = Counter()
        for cut in range(1, m):
            for (a, p), (b, q) in product(shares[cut].items(), shares[m - cut].items()):
                shares[m][1 + max(a, b)] += p * q / (m - 1)
    return sum(depth * p for depth, p in shares[n].items())


@pytest.mark.parametrize("n", [1, 3, 9])
def test_random_trees_keep_the_words_and_are_as_deep_as_chance_makes_them(n):
    rng, words = np.random.default_rng(0), [f"w{k}" for k in range(n)]
    trees = [random_tree(words, rng) for _ in range(600)]
    assert all(tree.words == tuple(words) for tree in trees)
    depths = np.array([tree.depth for tree in trees])
    assert abs(depths.mean() - cuts(n)) <= 4 * depths.std() / np.sqrt(600)


def test_a_tree_needs_words():
    with pytest.raises(ValueError, match="words: got none"):
        random_tree([], np.random.default_rng(0))
