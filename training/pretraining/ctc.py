"""`wav2vec2-mini-ctc`: `wav2vec2-mini` fine-tuned on letters with CTC.

    python -m training.pretraining.ctc --runs FOLDER [--minutes 30]

As in the original the front end stays frozen. Spans of time are masked for regularisation, and the
last one in twenty shards is kept back: its error rate is logged and chooses nothing.
"""

import numpy as np
import torch
from torch.nn import functional as F

import speech_interp.speech  # noqa: F401  (makes transformers import beside any torch)
from speech_interp.states.transcripts import edit_distance
from training.pretraining.config import NO_DROPOUT, SHAPE, VOCABULARY, Recipe
from training.pretraining.features import Cache, span_mask
from training.pretraining.front_end import command_line, trained_front_end
from training.pretraining.loop import fast_products, load, train
from training.pretraining.wav2vec2 import new_model as new_pretraining_model

LETTER_IDS = {letter: i for i, letter in enumerate(VOCABULARY)}


def new_model(seed: int = 0):
    """The unmodified Wav2Vec2ForCTC of transformers, in our shape."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    torch.manual_seed(seed)
    options = {**SHAPE, **NO_DROPOUT, "pad_token_id": 0, "ctc_loss_reduction": "mean"}
    model = Wav2Vec2ForCTC(Wav2Vec2Config(**options))
    model.set_attn_implementation("eager")  # faster here than sdpa, forwards and backwards
    return model


def logits_of(model, features, speech, masked=None):
    """Logits of cached features: (item, frame, letter)."""
    base = model.wav2vec2
    mask = None if speech.all() else speech
    with fast_products():
        hidden, _ = base.feature_projection(features)
        if masked is not None:
            hidden = torch.where(masked[..., None], base.masked_spec_embed, hidden)
        states = base.encoder(hidden, attention_mask=mask).last_hidden_state
    return model.lm_head(states.float())


def decode(ids) -> str:
    """Greedy CTC: repeats joined, blanks dropped."""
    ids = np.asarray(ids)
    kept = ids[np.concatenate([[True], ids[1:] != ids[:-1]])]
    return "".join(VOCABULARY[i] for i in kept if i > 3)


def run(recipe: Recipe, *, minutes=None):
    phase = recipe.ctc.phase
    cache = Cache(recipe.runs, neural=True)
    kept_back = [item for item in cache.items if item.shard % 20 == 19]
    cache.items = [item for item in cache.items if item.shard % 20 != 19]
    model = new_model(phase.seed)
    pretrained = new_pretraining_model(recipe.wav2vec2)
    load(recipe.runs / "wav2vec2", pretrained)
    model.wav2vec2.load_state_dict(pretrained.wav2vec2.state_dict())
    model.wav2vec2.feature_extractor = trained_front_end(recipe.runs)
    rng = np.random.default_rng(1)
    checked = [kept_back[i] for i in rng.permutation(len(kept_back))[:40]]

    def error_rate():
        model.eval()
        wrong = letters = 0
        with torch.inference_mode():
            for item in checked:
                heard = decode(logits_of(model, *cache.stack([item]))[0].argmax(-1).numpy())
                wrong += edit_distance(heard, item.letters)
                letters += len(item.letters)
        model.train()
        return wrong / letters

    last_rate = {}

    def loss_at(step):
        items = cache.batch(step, phase.batch_s, phase.seed)
        features, speech = cache.stack(items)
        masked = span_mask(speech, length=10, share=0.08, seed=(phase.seed, step))
        log_p = logits_of(model, features, speech, masked).log_softmax(-1)
        wanted = [torch.tensor([LETTER_IDS[x] for x in item.letters]) for item in items]
        lengths = torch.tensor([len(x) for x in wanted])
        loss = F.ctc_loss(
            log_p.transpose(0, 1),
            torch.cat(wanted),
            speech.sum(1),
            lengths,
            blank=0,
            zero_infinity=True,
        )
        numbers = {"audio_s": speech.sum().item() / 50}
        if not last_rate or step % 100 == 99:
            last_rate["error_rate"] = error_rate()
        return loss, {**numbers, **last_rate}

    return train(model, loss_at, phase, recipe.runs / "ctc", minutes=minutes)


if __name__ == "__main__":
    recipe, options = command_line(__doc__.splitlines()[0])
    print(run(recipe, minutes=options.minutes))
