"""Phase 2: what the frozen front end hears of every utterance, cached at 50 Hz.

    python -m training.pretraining.features --runs FOLDER [--part 0/2]

For every shard `features/NNNN.npy` holds (frame, 256) of the speech, some of it with noise, in a
room or through a channel, one utterance after the other, float16.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from training.pretraining.acoustics import augment, normalise
from training.pretraining.config import RECEPTIVE_FIELD, STRIDE, Data
from training.pretraining.front_end import command_line, trained_front_end
from training.pretraining.speech import read_shard, shards

AUGMENTED = 0.4  # of the utterances


def frame_count(samples: int) -> int:
    """Frames of an utterance: 49 in a second."""
    return (samples - RECEPTIVE_FIELD) // STRIDE + 1


def cache_shard(runs: Path, number: int, front_end: torch.nn.Module) -> None:
    """Writes the features of one shard unless they are there."""
    path = runs / "features" / f"{number:04d}.npy"
    if path.exists():
        return
    rng = np.random.default_rng((5, number))
    samples, records = read_shard(runs, number)
    found = []
    for record in records:
        wave = samples[record["start"] : record["start"] + record["length"]] / np.float32(32768)
        heard = augment(wave, rng) if rng.random() < AUGMENTED else wave
        with torch.inference_mode():
            states = front_end(torch.from_numpy(normalise(heard))[None])[0].T
        found.append(states.numpy().astype(np.float16))
        assert len(states) == frame_count(record["length"])
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        np.save(file, np.concatenate(found))
    unfinished.rename(path)


@dataclass(frozen=True)
class Item:
    """One utterance in the cache."""

    shard: int
    start: int  # frame
    length: int  # frames
    speaker: str
    letters: str


class Cache:
    """The shards of which all `kinds` are cached, in batches of about equal length.

    Those of neural voices are left out unless `neural`: pre-training is not to hear them.
    """

    def __init__(self, runs: Path, *, kinds: tuple[str, ...] = ("features",), neural: bool = False):
        self.runs = runs
        self.items: list[Item] = []
        self.arrays: dict[tuple[str, int], np.ndarray] = {}
        self._orders: dict[tuple, list[list[Item]]] = {}
        for path in sorted((runs / kinds[0]).glob("[0-9]*.npy")):
            left_out = int(path.stem) >= Data().shards and not neural
            if not left_out and all((runs / kind / path.name).exists() for kind in kinds):
                self._add(int(path.stem))

    def _add(self, number):
        records = json.loads((self.runs / "speech" / f"{number:04d}.json").read_text())
        start = 0
        for record in records:
            length = frame_count(record["length"])
            self.items.append(Item(number, start, length, record["speaker"], record["letters"]))
            start += length

    def read(self, kind: str, item: Item) -> np.ndarray:
        """(frame, unit) of one utterance; kind is "features", "mfcc" or a kind of labels."""
        key = (kind, item.shard)
        if key not in self.arrays:
            self.arrays[key] = np.load(self.runs / kind / f"{item.shard:04d}.npy", mmap_mode="r")
        return self.arrays[key][item.start : item.start + item.length]

    def batch(self, step: int, batch_s: float, seed: int) -> list[Item]:
        """The utterances of a step: each at most once an epoch, neighbours of similar length.

        The longest few of an epoch, too few for a batch, are left out of it.
        """
        at = step
        epoch = 0
        while at >= len(batches := self._batches(epoch, batch_s, seed)):
            at -= len(batches)
            epoch += 1
        return batches[at]

    def _batches(self, epoch, batch_s, seed):
        key = (epoch, batch_s, seed)
        if key not in self._orders:
            rng = np.random.default_rng((seed, epoch))
            lengths = np.array([item.length for item in self.items])
            order = np.argsort(lengths * rng.uniform(0.9, 1.1, len(lengths)))
            batches, batch = [], []
            for i in order:
                batch.append(self.items[i])
                if len(batch) * max(item.length for item in batch) > batch_s * 50:
                    batches.append(batch)
                    batch = []
            self._orders[key] = [batches[i] for i in rng.permutation(len(batches))]
        return self._orders[key]

    def stack(self, items: list[Item]) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (item, frame, unit), zero beyond the end, and a mask of what is speech."""
        longest = max(item.length for item in items)
        features = np.zeros((len(items), longest, 256), np.float32)
        mask = np.zeros((len(items), longest), bool)
        for row, item in enumerate(items):
            features[row, : item.length] = self.read("features", item)
            mask[row, : item.length] = True
        return torch.from_numpy(features), torch.from_numpy(mask)


def span_mask(speech: torch.Tensor, *, length: int, share: float, seed) -> torch.Tensor:
    """Spans of `length` frames that together cover about `share` of the speech; (item, frame)."""
    rng = np.random.default_rng(seed)
    masked = np.zeros(speech.shape, bool)
    for row, frames in enumerate(speech.sum(1).tolist()):
        # spans overlap: n spans leave (1 - length / frames) ** n of the frames uncovered
        chance = min(0.9, length / frames)
        spans = max(1, round(np.log(1 - share) / np.log(1 - chance)))
        for start in rng.integers(0, max(1, frames - length + 1), spans):
            masked[row, start : start + length] = True
    return torch.from_numpy(masked) & speech


def main():
    import sys

    part, parts = 0, 1
    if "--part" in sys.argv:
        i = sys.argv.index("--part")
        part, parts = map(int, sys.argv[i + 1].split("/"))
        del sys.argv[i : i + 2]
    recipe, _ = command_line(__doc__.splitlines()[0])
    (recipe.runs / "features").mkdir(exist_ok=True)
    front_end = trained_front_end(recipe.runs)
    for number in tqdm(shards(recipe.runs)[part::parts], unit="shard"):
        cache_shard(recipe.runs, number, front_end)


if __name__ == "__main__":
    main()
