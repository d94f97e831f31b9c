"""The families of speech encoders that the package looks into: one row for each.

A row says where transformers keeps the Transformer layers, what the encoder takes, which grid its
frames lie on (`states.frames` computes it), and which preparation its checkpoints are trained
with. A new family is one more row; CONTRIBUTING.md shows how to find it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

HOW_TO_ADD = (
    "To add it, put a row into speech_interp/models/families.py (where its layers are, what it "
    "takes, the grid of its frames) and its name into FAMILIES of tests/tiny.py, whose impulse and "
    "hook tests then tell whether the row is right"
)


def norm_if_stable(config: Any) -> str | None:
    """The norm after the last layer of a stable-LN encoder; none in a post-norm one."""
    return "encoder.layer_norm" if config.do_stable_layer_norm else None


def encoder_config(config: Any) -> Any:
    """The part of a configuration that is about the encoder: Parakeet's lies in one of its own."""
    return getattr(config, "encoder_config", config)


@dataclass(frozen=True)
class Family:
    """What differs between encoders; the names are those of transformers."""

    name: str  # `model_type` in config.json
    layers: str = "encoder.layers"  # of the Transformer, seen from the encoder
    # Of a configuration: what stands between the last layer and whatever reads it, seen from the
    # encoder. Post-norm models apply their `encoder.layer_norm` before layer 1.
    # None: `norm_if_stable`.
    after_layers: Callable[[Any], str | None] | None = None
    by_get_encoder: bool = False  # the encoder is what get_encoder() gives, else base_model
    inputs: str = "input_values"  # what the feature extractor makes: the wave, or input_features
    grid: str = "convolutions"  # one of `states.frames.GRIDS`
    head_grid: str | None = None  # of what a CTC head says, if that is another
    differentiable: bool = True  # `states.scores` makes the inputs itself, with gradients
    extractor: str = "Wav2Vec2FeatureExtractor"
    processor: str = "Wav2Vec2Processor"
    # Without a preprocessor file: what differs from the defaults of the extractor's class, where
    # that comes from, and what the model's line says of it.
    extractor_options: Callable[[Any], dict[str, Any]] | None = None
    options_from: str | None = None
    options_said: tuple[str, ...] = ("do_normalize",)
    attentions: tuple[str, ...] = ("sdpa", "eager")
    layer_kind: str | None = None  # one of `states.layer_parts.PARTS`, where layers are plain ones
    longest_s: float = 120.0  # of one pass: attention grows with the square of the duration


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("wav2vec2", layer_kind="wav2vec2"),
        Family("hubert", layer_kind="wav2vec2"),
        Family("data2vec-audio", layer_kind="wav2vec2", after_layers=lambda _: None),
        Family("unispeech-sat", layer_kind="wav2vec2"),
        Family("wav2vec2-conformer", after_layers=lambda _: "encoder.layer_norm"),
        Family(
            "sew",
            grid="squeezed convolutions",
            head_grid="convolutions",
            layer_kind="wav2vec2",
            after_layers=lambda _: "encoder.upsample",
        ),
        Family(
            "wav2vec2-bert",
            after_layers=lambda _: None,
            inputs="input_features",
            grid="filterbank",
            differentiable=False,
            extractor="SeamlessM4TFeatureExtractor",
            processor="Wav2Vec2BertProcessor",
            options_said=("stride",),
        ),
        *(
            Family(
                name,
                layers="layers",
                after_layers=lambda _: None,
                by_get_encoder=True,
                inputs="input_features",
                grid="parakeet",
                differentiable=False,
                extractor="ParakeetFeatureExtractor",
                processor="ParakeetProcessor",
                extractor_options=lambda c: {"feature_size": encoder_config(c).num_mel_bins},
                options_from="the model's num_mel_bins",
                options_said=("feature_size",),
            )
            for name in ("parakeet_ctc", "parakeet_encoder")
        ),
        Family(
            "moonshine",
            layers="layers",
            after_layers=lambda _: "layer_norm",
            by_get_encoder=True,
            grid="moonshine",
        ),
        Family(
            "wavlm",
            layer_kind="wavlm",
            attentions=("eager",),
            # The class would normalise all. That base models take waves as they are is not in
            # transformers: the line says so, and a preprocessor file has the last word.
            extractor_options=lambda config: {"do_normalize": config.feat_extract_norm == "layer"},
            options_from="the wavlm family, not of transformers",
        ),
        Family(
            "whisper",
            layers="layers",
            after_layers=lambda _: "layer_norm",
            by_get_encoder=True,
            inputs="input_features",
            grid="whisper",
            layer_kind="whisper",
            extractor="WhisperFeatureExtractor",
            processor="WhisperProcessor",
            extractor_options=lambda config: {"feature_size": config.num_mel_bins},
            options_from="the model's num_mel_bins",
            options_said=("feature_size",),
            longest_s=30.0,
        ),
    )
}


def family_of(name: str) -> Family:
    """The row of a family, by its `model_type`. Raises ValueError, saying how to add another."""
    if name not in FAMILIES:
        raise ValueError(f"a {name} model, expected one of {', '.join(FAMILIES)}. {HOW_TO_ADD}")
    return FAMILIES[name]
