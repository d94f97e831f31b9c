"""Targets that do not say who speaks: the MFCCs of the same words in one voice.

    python -m training.pretraining.one_voice --runs FOLDER [--workers 2]

Clusters of a voice's own MFCCs are clusters of voices too. A HuBERT that predicted them knew the
speaker better with every layer (0.68 to 0.95 of single frames) and the phone worse (0.46 to 0.31).
So, as if each utterance had been through a perfect voice conversion first, its targets come from
flite's slt saying the same text, laid over its frames: by the phones where both come from flite,
else by the best monotone path between their MFCCs. `mfcc/NNNN.npy` holds them, (frame, 39).
"""

import argparse
import multiprocessing
import random
from pathlib import Path

import numpy as np
from tqdm import tqdm

from training.pretraining.acoustics import mfcc
from training.pretraining.config import RATE_HZ, RECEPTIVE_FIELD, STRIDE
from training.pretraining.speech import read_shard, say, shards

REFERENCE = {"tool": "flite", "voice": "slt", "warp": 1.0, "pitch_hz": 170, "stretch": 1.0}
FASTEST = 3  # frames of the reference that one frame may pass over, and one
SLACK = 15  # frames of either end that the path may leave out


def targets(wave: np.ndarray, record: dict) -> np.ndarray:
    """MFCCs of the reference voice at the frames of `wave`: (frame, 39)."""
    reference_wave, phones = say(record["text"], REFERENCE, random.Random(0))
    reference = mfcc(reference_wave)
    own = mfcc(wave)
    labels = [label for label, _ in record["phones"]]
    if labels and labels == [label for label, _ in phones]:
        seconds = (np.arange(len(own)) * STRIDE + RECEPTIVE_FIELD / 2) / RATE_HZ
        ends, reference_ends = ([0, *(end for _, end in x)] for x in (record["phones"], phones))
        there = np.interp(seconds, ends, reference_ends)
        frames = np.round((there * RATE_HZ - RECEPTIVE_FIELD / 2) / STRIDE).astype(int)
        return reference[np.clip(frames, 0, len(reference) - 1)]
    return reference[best_path(own[:, :13], reference[:, :13])]


def best_path(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """For each frame of x one of y, never going back, with the smallest sum of distances."""
    distances = np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1))
    total = np.full(len(y), np.inf)
    total[:SLACK] = distances[0, :SLACK]
    steps = np.zeros(distances.shape, np.int8)
    moves = np.full((FASTEST + 1, len(y)), np.inf)
    for i in range(1, len(x)):
        for step in range(FASTEST + 1):
            moves[step, step:] = total[: len(y) - step]
        steps[i] = moves.argmin(0)
        total = moves.min(0) + distances[i]
    ends = np.where(np.arange(len(y)) >= len(y) - SLACK, total, np.inf)
    if not np.isfinite(ends).any():  # x is less than a third as long as y
        return np.round(np.linspace(0, len(y) - 1, len(x))).astype(int)
    path = [int(ends.argmin())]
    for i in range(len(x) - 1, 0, -1):
        path.append(path[-1] - int(steps[i, path[-1]]))
    return np.array(path[::-1])


def cache_shard(job: tuple[Path, int]) -> None:
    """Writes the targets of one shard unless they are there."""
    runs, number = job
    path = runs / "mfcc" / f"{number:04d}.npy"
    if path.exists():
        return
    samples, records = read_shard(runs, number)
    found = []
    for record in records:
        wave = samples[record["start"] : record["start"] + record["length"]] / np.float32(32768)
        found.append(targets(wave, record).astype(np.float16))
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        np.save(file, np.concatenate(found))
    unfinished.rename(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    (options.runs / "mfcc").mkdir(exist_ok=True)
    jobs = [(options.runs, number) for number in shards(options.runs)]
    with multiprocessing.Pool(options.workers) as pool:
        for _ in tqdm(pool.imap(cache_shard, jobs), total=len(jobs), unit="shard"):
            pass


if __name__ == "__main__":
    main()
