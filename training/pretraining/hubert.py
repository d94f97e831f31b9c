"""`hubert-mini`: masked prediction of cluster labels, two iterations.

    python -m training.pretraining.hubert --runs FOLDER [--minutes 30]

Targets of the first iteration are k-means clusters of MFCCs (of the same words in one voice, see
`one_voice`), those of the second are clusters of the first's own middle layer. The front end is the
frozen one of phase 1.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import speech_interp.speech  # noqa: F401  (makes transformers import beside any torch)
from training.pretraining.clusters import label
from training.pretraining.config import NO_DROPOUT, SHAPE, Hubert, Phase, Recipe
from training.pretraining.features import Cache, span_mask
from training.pretraining.front_end import command_line, trained_front_end
from training.pretraining.loop import fast_products, load, train


def new_model(seed: int = 0):
    """The unmodified HubertModel of transformers, randomly initialised, in our shape."""
    from transformers import HubertConfig, HubertModel

    torch.manual_seed(seed)
    config = HubertConfig(**SHAPE, **NO_DROPOUT, feat_proj_layer_norm=True)
    model = HubertModel(config)
    model.set_attn_implementation("eager")  # faster here than sdpa, forwards and backwards
    return model


class MaskedPrediction(nn.Module):
    """HubertModel with the head that it is trained through: similarity to one code a cluster."""

    def __init__(self, clusters: int, settings: Hubert, seed: int):
        super().__init__()
        self.hubert = new_model(seed)
        self.hubert.feature_extractor.requires_grad_(False)
        self.to_code = nn.Linear(SHAPE["hidden_size"], settings.code_size)
        self.codes = nn.Embedding(clusters, settings.code_size)
        self.temperature = settings.temperature

    def states(self, features, speech, masked=None):
        """What the Transformer makes of cached features: (item, frame, unit)."""
        mask = None if speech.all() else speech
        with fast_products():
            hidden = self.hubert.feature_projection(features)
            if masked is not None:
                hidden = torch.where(masked[..., None], self.hubert.masked_spec_embed, hidden)
            return self.hubert.encoder(hidden, attention_mask=mask).last_hidden_state.float()

    def forward(self, features, speech, masked):
        """Logits of all frames: (item, frame, cluster)"""
        states = self.states(features, speech, masked)
        codes = F.normalize(self.codes.weight, dim=-1)
        return F.normalize(self.to_code(states), dim=-1) @ codes.T / self.temperature


def iterate(recipe: Recipe, number: int, kind: str, clusters: int, phase: Phase, minutes=None):
    """One iteration on the labels `kind`; its folder is `hubert_1` or `hubert_2`."""
    settings = recipe.hubert
    cache = Cache(recipe.runs, kinds=("features", kind))
    module = MaskedPrediction(clusters, settings, phase.seed)
    module.hubert.feature_extractor = trained_front_end(recipe.runs)

    def loss_at(step):
        items = cache.batch(step, phase.batch_s, phase.seed)
        features, speech = cache.stack(items)
        masked = span_mask(
            speech,
            length=settings.mask_length,
            share=settings.mask_share,
            seed=(phase.seed, step),
        )
        wanted = np.zeros(speech.shape, np.int64)
        for row, item in enumerate(items):
            wanted[row, : item.length] = cache.read(kind, item)
        wanted = torch.from_numpy(wanted)
        logits = module(features, speech, masked)
        right = logits.argmax(-1) == wanted
        seen = speech & ~masked
        hidden_loss = F.cross_entropy(logits[masked], wanted[masked])
        seen_loss = F.cross_entropy(logits[seen], wanted[seen])
        numbers = {
            "masked_loss": hidden_loss.item(),
            "accuracy": right[masked].float().mean().item(),
            "accuracy_seen": right[seen].float().mean().item(),
            "audio_s": speech.sum().item() / 50,
        }
        return hidden_loss + settings.seen_weight * seen_loss, numbers

    return train(module, loss_at, phase, recipe.runs / f"hubert_{number}", minutes=minutes)


def layer_states(runs: Path, settings: Hubert, cache: Cache):
    """A function that gives the states of the first iteration's middle layer for an utterance."""
    module = MaskedPrediction(settings.first_clusters, settings, 0)
    load(runs / "hubert_1", module)
    module.eval()
    found = {}
    layer = module.hubert.encoder.layers[settings.second_layer - 1]
    layer.register_forward_hook(lambda _, inputs, output: found.update(states=output))

    @torch.inference_mode()
    def states_of(item):
        module.states(*cache.stack([item]))
        states = found["states"][0].float().numpy()
        return states - states.mean(0)  # the mean over an utterance says who speaks

    return states_of


def run(recipe: Recipe, *, minutes=None):
    settings = recipe.hubert
    cache = Cache(recipe.runs, kinds=("features", "mfcc"))
    options = {"frames": settings.kmeans_frames, "seed": 0}
    label(
        cache,
        lambda item: cache.read("mfcc", item),
        "labels_1",
        clusters=settings.first_clusters,
        **options,
    )
    first = iterate(recipe, 1, "labels_1", settings.first_clusters, settings.first, minutes)
    if first["steps"] < first["of"]:
        return first
    every = Cache(recipe.runs)
    label(
        every,
        layer_states(recipe.runs, settings, every),
        "labels_2",
        clusters=settings.second_clusters,
        **options,
    )
    return iterate(recipe, 2, "labels_2", settings.second_clusters, settings.second, minutes)


if __name__ == "__main__":
    recipe, options = command_line(__doc__.splitlines()[0])
    print(run(recipe, minutes=options.minutes))
