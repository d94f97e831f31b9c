"""k-means of frames: the targets of HuBERT's masked prediction."""

from pathlib import Path

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans
from tqdm import tqdm

from training.pretraining.features import Cache


def sample(cache: Cache, states_of, frames: int, seed: int) -> np.ndarray:
    """About `frames` frames of random utterances: (frame, unit)."""
    rng = np.random.default_rng(seed)
    found, count = [], 0
    for i in rng.permutation(len(cache.items)):
        states = np.asarray(states_of(cache.items[i]), np.float32)
        found.append(states)
        count += len(states)
        if count >= frames:
            break
    return np.concatenate(found)


def label(cache: Cache, states_of, kind: str, *, clusters: int, frames: int, seed: int) -> Path:
    """Fits k-means to a sample, then writes the cluster of every frame to `kind/NNNN.npy`."""
    folder = cache.runs / kind
    folder.mkdir(exist_ok=True)
    centres_path = folder / "centres.npy"
    if not centres_path.exists():
        points = sample(cache, states_of, frames, seed)
        kmeans = MiniBatchKMeans(clusters, batch_size=10000, n_init=3, random_state=seed)
        np.save(centres_path, kmeans.fit(points).cluster_centers_)
    centres = torch.from_numpy(np.load(centres_path).astype(np.float32))
    by_shard: dict[int, list] = {}
    for item in cache.items:
        by_shard.setdefault(item.shard, []).append(item)
    for number, items in tqdm(by_shard.items(), desc=kind, unit="shard"):
        path = folder / f"{number:04d}.npy"
        if path.exists():
            continue
        labels = []
        for item in items:
            states = torch.from_numpy(np.asarray(states_of(item), np.float32))
            distances = (centres**2).sum(1) - 2 * states @ centres.T
            labels.append(distances.argmin(1).numpy().astype(np.int16))
        unfinished = path.with_suffix(".part")
        with unfinished.open("wb") as file:
            np.save(file, np.concatenate(labels))
        unfinished.rename(path)
    return folder
