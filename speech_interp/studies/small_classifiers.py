"""Output heads trained in the page: a small classifier on the frozen states of one layer."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

HIDDEN, DROPOUT, PASSES, BATCH, STEP = 64, 0.5, 6, 32, 5e-3


class Head(nn.Module):
    """Every frame votes for the classes; learned weights over time say which votes count."""

    mean: Float[Tensor, " unit"]
    scale: Float[Tensor, " unit"]

    def __init__(self, states: Float[Tensor, "utterance frame unit"], class_count: int):
        super().__init__()
        states = states.float()  # half precision has too few digits to train in
        self.register_buffer("mean", states.mean((0, 1)))
        self.register_buffer("scale", states.std((0, 1)) + 1e-5)
        self.dropout = nn.Dropout(DROPOUT)
        self.hidden = nn.Linear(states.shape[2], HIDDEN)
        self.vote = nn.Linear(HIDDEN, class_count)
        self.weight = nn.Linear(states.shape[2], 1)

    def forward(self, states: Float[Tensor, "batch frame unit"]) -> Float[Tensor, "batch class"]:
        """Return the score of each class, the weighted mean of the votes of all frames."""
        x = self.dropout((states.float() - self.mean) / self.scale)
        votes = self.vote(self.hidden(x).relu())  # (batch, frame, class)
        return (self.weight(x).softmax(dim=1) * votes).sum(dim=1)


def train_head(
    states: Float[Tensor, "utterance frame unit"],
    labels: Int[Tensor, " utterance"],
    *,
    class_count: int | None = None,
    seed: int = 0,
    passes: int = PASSES,
) -> Head:
    """Return a head trained on frozen states; `seed` draws first weights, order and dropout."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = Head(states, class_count or int(labels.max()) + 1)
        optimizer = torch.optim.AdamW(head.parameters(), lr=STEP, weight_decay=0.05)
        for _ in range(passes):
            for part in torch.randperm(len(states)).split(BATCH):
                loss = nn.functional.cross_entropy(head(states[part]), labels[part])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return head.eval()


@torch.no_grad()
def accuracy(
    head: Head, states: Float[Tensor, "utterance frame unit"], labels: Int[Tensor, " utterance"]
) -> float:
    """Return the share of utterances whose most likely class is right."""
    return float((head(states).argmax(1) == labels).float().mean())
