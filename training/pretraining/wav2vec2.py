"""`wav2vec2-mini`: wav2vec 2.0's contrastive objective with its quantiser.

    python -m training.pretraining.wav2vec2 --runs FOLDER [--minutes 30]

A masked frame has to be told from others of the same utterance by its quantised features. The
front end is the frozen one of phase 1. The quantiser starts from nothing, the Transformer from
`hubert-mini`: from nothing it told 12 % of frames apart after 1000 steps of 16 s.
"""

import numpy as np
import torch
from torch.nn import functional as F

import speech_interp.speech  # noqa: F401  (makes transformers import beside any torch)
from training.pretraining.config import NO_DROPOUT, SHAPE, Recipe, Wav2vec2
from training.pretraining.features import Cache, span_mask
from training.pretraining.front_end import command_line, trained_front_end
from training.pretraining.hubert import MaskedPrediction
from training.pretraining.loop import fast_products, load, train


def new_model(settings: Wav2vec2, seed: int = 0):
    """The unmodified Wav2Vec2ForPreTraining of transformers, in our shape."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining

    torch.manual_seed(seed)
    config = Wav2Vec2Config(
        **SHAPE,
        **NO_DROPOUT,
        feat_quantizer_dropout=0.0,
        num_codevectors_per_group=settings.codes,
        num_codevector_groups=settings.groups,
        codevector_dim=settings.code_size,
        proj_codevector_dim=settings.code_size,
        num_negatives=settings.negatives,
        contrastive_logits_temperature=settings.temperature,
        diversity_loss_weight=settings.diversity_weight,
    )
    model = Wav2Vec2ForPreTraining(config)
    model.set_attn_implementation("eager")  # faster here than sdpa, forwards and backwards
    return model


def negatives(masked: torch.Tensor, count: int, seed) -> torch.Tensor:
    """For every masked frame, `count` other masked frames of its utterance: (frame, negative).

    Frames are numbered in the order of `states[masked]`.
    """
    rng = np.random.default_rng(seed)
    rows, first = [], 0
    for frames in masked.sum(1).tolist():
        drawn = rng.integers(0, max(1, frames - 1), (frames, count))
        drawn += drawn >= np.arange(frames)[:, None]  # never the frame itself
        rows.append(first + np.minimum(drawn, frames - 1))
        first += frames
    return torch.from_numpy(np.concatenate(rows))


def run(recipe: Recipe, *, minutes=None):
    settings, phase = recipe.wav2vec2, recipe.wav2vec2.phase
    cache = Cache(recipe.runs)
    model = new_model(settings, phase.seed)
    with torch.no_grad():
        model.quantizer.weight_proj.weight *= settings.choice_scale
    model.wav2vec2.feature_extractor = trained_front_end(recipe.runs)
    if settings.warm_start:
        hubert = MaskedPrediction(recipe.hubert.second_clusters, recipe.hubert, 0)
        load(recipe.runs / "hubert_2", hubert)
        model.wav2vec2.load_state_dict(hubert.hubert.state_dict())

    def loss_at(step):
        share = min(1.0, step / (0.6 * phase.steps))
        fall = settings.gumbel_end / settings.gumbel_start
        model.set_gumbel_temperature(settings.gumbel_start * fall**share)
        items = cache.batch(step, phase.batch_s, phase.seed)
        features, speech = cache.stack(items)
        masked = span_mask(
            speech,
            length=settings.mask_length,
            share=settings.mask_share,
            seed=(phase.seed, step),
        )
        base = model.wav2vec2
        mask = None if speech.all() else speech
        with fast_products():
            hidden, normed = base.feature_projection(features)
            hidden = torch.where(masked[..., None], base.masked_spec_embed, hidden)
            states = base.encoder(hidden, attention_mask=mask).last_hidden_state[masked].float()
        normed = normed.float()
        codes, perplexity = model.quantizer(normed[masked][None])
        predicted = F.normalize(model.project_hid(states), dim=-1)
        wanted = F.normalize(model.project_q(codes[0]), dim=-1)
        others = negatives(masked, settings.negatives, (phase.seed, step))
        right = (predicted * wanted).sum(-1, keepdim=True)
        wrong = torch.einsum("fc,fnc->fn", predicted, wanted[others])
        same = (codes[0][others] == codes[0][:, None]).all(-1)
        wrong = wrong.masked_fill(same, float("-inf"))  # the same code is no wrong answer
        logits = torch.cat([right, wrong], 1) / settings.temperature
        contrastive = -F.log_softmax(logits, 1)[:, 0].mean()
        total = settings.groups * settings.codes
        diversity = (total - perplexity) / total
        accuracy = (logits.argmax(1) == 0).float().mean()
        numbers = {
            "contrastive": contrastive.item(),
            "accuracy": accuracy.item(),
            "perplexity": perplexity.item(),
            "audio_s": speech.sum().item() / 50,
        }
        return contrastive + settings.diversity_weight * diversity, numbers

    return train(model, loss_at, phase, recipe.runs / "wav2vec2", minutes=minutes)


if __name__ == "__main__":
    recipe, options = command_line(__doc__.splitlines()[0])
    print(run(recipe, minutes=options.minutes))
