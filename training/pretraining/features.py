"""Phase 2: what the frozen front end hears of every utterance, and its MFCCs, cached at 50 Hz.

    python -m training.pretraining.features --runs FOLDER [--part 0/2]

For every shard `features/NNNN.npy` holds (frame, 256) of the augmented speech and `mfcc/NNNN.npy`
(frame, 39) of the clean speech, one utterance after the other, float16. Before the MFCCs are taken
the warp of the vocal tract is undone, so that targets made from them say as little as possible
about the speaker: HuBERT has to hear through the change.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.signal import resample_poly
from tqdm import tqdm

from training.pretraining.acoustics import augment, mfcc, normalise
from training.pretraining.config import RECEPTIVE_FIELD, STRIDE
from training.pretraining.front_end import command_line, trained_front_end
from training.pretraining.speech import read_shard, shards

AUGMENTED = 0.4  # of the utterances


def frame_count(samples: int) -> int:
    """Frames of an utterance: 49 in a second."""
    return (samples - RECEPTIVE_FIELD) // STRIDE + 1


def unwarped_mfcc(wave: np.ndarray, warp: float) -> np.ndarray:
    """MFCCs of the voice before its tract was warped, at the frames of `wave`: (frame, 39)."""
    plain = mfcc(resample_poly(wave, round(1000 * warp), 1000))
    frames = np.round(np.arange(frame_count(len(wave))) * warp + 0.625 * (warp - 1))
    return plain[np.minimum(frames.astype(int), len(plain) - 1)]


def cache_shard(runs: Path, number: int, front_end: torch.nn.Module) -> None:
    """Writes both arrays of one shard unless they are there."""
    paths = [runs / kind / f"{number:04d}.npy" for kind in ("mfcc", "features")]
    if paths[-1].exists():
        return
    rng = np.random.default_rng((5, number))
    samples, records = read_shard(runs, number)
    arrays = ([], [])
    for record in records:
        wave = samples[record["start"] : record["start"] + record["length"]] / np.float32(32768)
        heard = augment(wave, rng) if rng.random() < AUGMENTED else wave
        with torch.inference_mode():
            states = front_end(torch.from_numpy(normalise(heard))[None])[0].T
        arrays[0].append(unwarped_mfcc(wave, record["warp"]).astype(np.float16))
        arrays[1].append(states.numpy().astype(np.float16))
        assert len(states) == frame_count(record["length"]) == len(arrays[0][-1])
    for path, array in zip(paths, arrays, strict=True):
        unfinished = path.with_suffix(".part")
        with unfinished.open("wb") as file:
            np.save(file, np.concatenate(array))
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
    """The cached shards of a folder, in batches of about equal length."""

    def __init__(self, runs: Path, *, only: int | None = None):
        self.runs = runs
        self.items: list[Item] = []
        self.arrays: dict[tuple[str, int], np.ndarray] = {}
        self._order: tuple[int, list] = (-1, [])
        for path in sorted((runs / "features").glob("[0-9]*.npy"))[:only]:
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
        """The utterances of a step: every utterance once an epoch, neighbours of similar length."""
        at = step
        epoch = 0
        while at >= len(batches := self._batches(epoch, batch_s, seed)):
            at -= len(batches)
            epoch += 1
        return batches[at]

    def _batches(self, epoch, batch_s, seed):
        if self._order[0] != epoch:
            rng = np.random.default_rng((seed, epoch))
            lengths = np.array([item.length for item in self.items])
            order = np.argsort(lengths * rng.uniform(0.9, 1.1, len(lengths)))
            batches, batch = [], []
            for i in order:
                batch.append(self.items[i])
                if len(batch) * max(item.length for item in batch) > batch_s * 50:
                    batches.append(batch)
                    batch = []
            self._order = (epoch, [batches[i] for i in rng.permutation(len(batches))])
        return self._order[1]

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
    for kind in ("mfcc", "features"):
        (recipe.runs / kind).mkdir(exist_ok=True)
    front_end = trained_front_end(recipe.runs)
    for number in tqdm(shards(recipe.runs)[part::parts], unit="shard"):
        cache_shard(recipe.runs, number, front_end)


if __name__ == "__main__":
    main()
