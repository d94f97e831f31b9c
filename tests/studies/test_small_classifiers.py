"""Small classifiers find a planted unit."""

import torch

from speech_interp.studies import small_classifiers


def test_a_head_finds_a_unit_that_fires_for_one_frame_and_seeds_differ():
    torch.manual_seed(0)
    states, labels = torch.randn(256, 30, 8), torch.arange(256) % 2
    states[labels == 1, torch.randint(30, (128,)), 3] += 12
    head, again, other = (
        small_classifiers.train_head(states[:192], labels[:192], seed=s, passes=20)
        for s in (0, 0, 1)
    )
    assert small_classifiers.accuracy(head, states[192:], labels[192:]) > 0.9
    assert torch.equal(head(states), again(states))
    assert not torch.equal(head(states), other(states))
    shuffled = labels[torch.randperm(256)]
    guess = small_classifiers.train_head(states[:192], shuffled[:192], passes=20)
    assert small_classifiers.accuracy(guess, states[192:], labels[192:]) < 0.75


def test_states_of_half_precision():
    half = torch.randn(12, 5, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    labels = torch.arange(12) % 3
    one, two = (
        small_classifiers.train_head(states, labels, passes=1)(half)
        for states in (half, half.float())
    )
    assert one.dtype == torch.float32 and torch.equal(one, two)
