"""Phase 1: the convolutional front end learns to hear, from the sound alone.

    python -m training.pretraining.front_end --runs FOLDER

It predicts log-mel energies, of the whole frame and of its two halves, normalised over the
utterance, through one linear layer that is thrown away. No label is used. Afterwards it is frozen:
the Transformers then train on its cached output at several times the speed.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

import speech_interp.speech  # noqa: F401  (makes transformers import beside any torch)
from training.pretraining.acoustics import augment, log_mel, normalise
from training.pretraining.config import RATE_HZ, SHAPE, Recipe
from training.pretraining.loop import load, train
from training.pretraining.speech import read_shard, shards

CROP = 4 * RATE_HZ
DATA = Path(__file__).parents[2] / "speech_interp" / "data"


class FrontEnd(nn.Module):
    """The feature encoder of transformers, and the linear layer that it is trained through."""

    def __init__(self):
        super().__init__()
        from transformers import HubertConfig, HubertModel

        shape = {**SHAPE, "num_hidden_layers": 1}
        self.encoder = HubertModel(HubertConfig(**shape)).feature_extractor
        self.norm = nn.LayerNorm(SHAPE["conv_dim"][-1])
        self.to_mel = nn.Linear(SHAPE["conv_dim"][-1], 120)

    def forward(self, waves):
        """(item, sample) -> (item, frame, 120)"""
        return self.to_mel(self.norm(self.encoder(waves).transpose(1, 2)))


def targets(waves: torch.Tensor) -> torch.Tensor:
    """(item, frame, 120): 40 bands of the frame, of its first 240 and of its last 240 samples."""
    views = [(400, 0), (240, 0), (240, 160)]
    mel = torch.cat([log_mel(waves, window=w, offset=o) for w, o in views], -1)
    return (mel - mel.mean(1, keepdim=True)) / (mel.std(1, keepdim=True) + 0.1)


def batch(runs: Path, step: int, recipe: Recipe) -> torch.Tensor:
    """Random crops of random utterances, half of them augmented: (item, sample)."""
    rng = np.random.default_rng((recipe.front_end.seed, step))
    samples, records = read_shard(runs, int(rng.choice(shards(runs))))
    records = [r for r in records if r["length"] >= CROP // 2]
    waves = []
    for _ in range(round(recipe.front_end.batch_s * RATE_HZ / CROP)):
        record = records[rng.integers(len(records))]
        wave = samples[record["start"] : record["start"] + record["length"]] / np.float32(32768)
        if rng.random() < 0.5:
            wave = augment(wave, rng)
        wave = np.resize(wave, max(CROP, len(wave)))  # a short utterance is repeated
        at = rng.integers(len(wave) - CROP + 1)
        waves.append(normalise(wave[at : at + CROP]))
    return torch.from_numpy(np.stack(waves))


def trained_front_end(runs: Path) -> nn.Module:
    """The frozen feature encoder of the last checkpoint, or the shipped one where there is none."""
    module = FrontEnd()
    if (runs / "front_end" / "checkpoint.pt").exists():
        load(runs / "front_end", module)
    else:
        module.encoder.load_state_dict(shipped_front_end())
    return module.encoder.eval().requires_grad_(False)


def shipped_front_end() -> dict[str, torch.Tensor]:
    """The parameters of the front end that the stand-ins share, as float32."""
    prefix = "feature_extractor."
    weights = load_file(DATA / "hubert-mini" / "model.safetensors")
    return {k.removeprefix(prefix): v.float() for k, v in weights.items() if k.startswith(prefix)}


def run(recipe: Recipe, *, minutes=None):
    torch.manual_seed(recipe.front_end.seed)
    module = FrontEnd()

    def loss_at(step):
        waves = batch(recipe.runs, step, recipe)
        wanted = targets(waves)
        loss = (module(waves) - wanted).abs().mean()
        return loss, {"audio_s": waves.numel() / RATE_HZ}

    return train(module, loss_at, recipe.front_end, recipe.runs / "front_end", minutes=minutes)


def command_line(description) -> tuple[Recipe, argparse.Namespace]:
    """The options that all phases share; sets the number of threads."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--runs", type=Path, required=True, help="folder for data and checkpoints")
    parser.add_argument("--minutes", type=float, help="stop after so long; run again to go on")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    return Recipe(options.runs), options


if __name__ == "__main__":
    recipe, options = command_line(__doc__.splitlines()[0])
    print(run(recipe, minutes=options.minutes))
