"""Writes the stand-ins to `speech_interp/data/` as float16, with configuration and tokenizer.

    python -m training.pretraining.export --runs FOLDER

The cards come afterwards, from `training.pretraining.score` and `training.pretraining.card`.
"""

import json
from pathlib import Path

import torch

from training.pretraining import ctc, hubert, wav2vec2
from training.pretraining.config import VOCABULARY, Recipe
from training.pretraining.front_end import DATA, command_line, trained_front_end
from training.pretraining.loop import load

#: What the originals' configurations say; training itself ran without dropout.
AS_PUBLISHED = {
    "hidden_dropout": 0.1,
    "attention_dropout": 0.1,
    "activation_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "final_dropout": 0.0,
    "layerdrop": 0.0,
}


def hubert_mini(recipe: Recipe):
    """The second iteration, or the first where that is all there is; and its summary."""
    second = (recipe.runs / "hubert_2" / "checkpoint.pt").exists()
    settings = recipe.hubert
    clusters = settings.second_clusters if second else settings.first_clusters
    module = hubert.MaskedPrediction(clusters, settings, 0)
    summary = load(recipe.runs / ("hubert_2" if second else "hubert_1"), module)
    module.hubert.feature_extractor = trained_front_end(recipe.runs)
    return module.hubert, {**summary, "iteration": 2 if second else 1}


def front_end_summary(runs: Path) -> dict:
    """Steps and seconds of the front end's training, here or, where it is taken over, then."""
    here = runs / "front_end" / "summary.json"
    if here.exists():
        return {key: json.loads(here.read_text())[key] for key in ("steps", "seconds")}
    return json.loads((DATA / "hubert-mini" / "training.json").read_text())["front_end"]


def wav2vec2_mini(recipe: Recipe):
    model = wav2vec2.new_model(recipe.wav2vec2)
    summary = load(recipe.runs / "wav2vec2", model)
    model.wav2vec2.feature_extractor = trained_front_end(recipe.runs)
    return model, summary


def wav2vec2_mini_ctc(recipe: Recipe):
    model = ctc.new_model()
    summary = load(recipe.runs / "ctc", model)
    model.wav2vec2.feature_extractor = trained_front_end(recipe.runs)
    return model, summary


MODELS = {
    "hubert-mini": hubert_mini,
    "wav2vec2-mini": wav2vec2_mini,
    "wav2vec2-mini-ctc": wav2vec2_mini_ctc,
}


def save(name: str, recipe: Recipe, folder: Path) -> dict:
    """Saves one model as the Hub stores its original; returns the summary of its training."""
    from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2Processor

    model, summary = MODELS[name](recipe)
    for key, value in AS_PUBLISHED.items():
        setattr(model.config, key, value)
    folder.mkdir(parents=True, exist_ok=True)
    model.eval().to(torch.float16).save_pretrained(folder)
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False)
    if name.endswith("ctc"):
        vocabulary = folder / "vocab.json"
        ids = {letter: i for i, letter in enumerate(VOCABULARY)}
        vocabulary.write_text(json.dumps(ids, ensure_ascii=False))
        tokenizer = Wav2Vec2CTCTokenizer(str(vocabulary), do_lower_case=False)
        Wav2Vec2Processor(feature_extractor=extractor, tokenizer=tokenizer).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    extractor.save_pretrained(folder)
    summary["front_end"] = front_end_summary(recipe.runs)
    (folder / "training.json").write_text(json.dumps(summary, indent=1) + "\n")
    return summary


def main():
    recipe, _ = command_line(__doc__.splitlines()[0])
    for name in MODELS:
        folder = {"hubert-mini": "hubert_1", "wav2vec2-mini": "wav2vec2"}.get(name, "ctc")
        if (recipe.runs / folder / "checkpoint.pt").exists():
            print(name, save(name, recipe, DATA / name))


if __name__ == "__main__":
    main()
