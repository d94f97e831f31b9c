"""Every number of the recipe, in one place."""

from dataclasses import dataclass
from pathlib import Path

RATE_HZ = 16000
STRIDE = 320  # samples between two frames of the convolutional front end
RECEPTIVE_FIELD = 400

#: The letters of facebook/wav2vec2-base-960h, in its order; "|" stands between words.
VOCABULARY = ["<pad>", "<s>", "</s>", "<unk>", *"|ETAONIHSRDLUMWCFGYPBVK'XJQZ"]

#: What the three models share: the shape of the base models, scaled down. Kernels and strides are
#: the originals', so that a frame means the same.
SHAPE = {
    "conv_dim": (32, 48, 64, 96, 128, 192, 256),
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
    "conv_stride": (5, 2, 2, 2, 2, 2, 2),
    "conv_bias": False,
    "feat_extract_norm": "group",
    "do_stable_layer_norm": False,
    "hidden_size": 256,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
    "num_conv_pos_embeddings": 64,
    "num_conv_pos_embedding_groups": 16,
    "vocab_size": len(VOCABULARY),
}

#: No dropout in pre-training: with this little compute the models underfit, and drawing the masks
#: takes a seventh of the time.
NO_DROPOUT = {
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "final_dropout": 0.0,
    "layerdrop": 0.0,
}


#: Matrix products in bfloat16: with eager attention a step takes 0.43 of its time in float32 where
#: the processor has such instructions (avx512_bf16), and longer than that where it has none.
BF16 = True


@dataclass(frozen=True)
class Phase:
    """One stretch of training. `batch_s` is seconds of audio a step, `budget_s` steps at most."""

    steps: int
    batch_s: float
    learning_rate: float
    warmup_steps: int
    seed: int = 0
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    muon: bool = True  # for the matrices of the Transformer layers; AdamW where False
    checkpoint_every_s: float = 120.0
    log_every: int = 10


@dataclass(frozen=True)
class Data:
    """The synthetic speech: files of `utterances` each; the neural ones only train CTC."""

    shards: int = 160
    neural_shards: int = 7
    utterances: int = 120
    seed: int = 20


@dataclass(frozen=True)
class Hubert:
    """Masked prediction of cluster labels, two iterations."""

    first: Phase = Phase(steps=1200, batch_s=40, learning_rate=2e-3, warmup_steps=100)
    second: Phase = Phase(steps=1700, batch_s=40, learning_rate=2e-3, warmup_steps=100, seed=1)
    first_clusters: int = 100
    second_clusters: int = 200
    second_layer: int = 4  # the layer of the first iteration whose states give the second's targets
    mask_length: int = 10
    mask_share: float = 0.4
    seen_weight: float = 0.5  # of the loss at frames that are not masked
    code_size: int = 128
    temperature: float = 0.1
    kmeans_frames: int = 300_000


@dataclass(frozen=True)
class Wav2vec2:
    """Contrastive learning against quantised features."""

    phase: Phase = Phase(steps=900, batch_s=40, learning_rate=1e-3, warmup_steps=100)
    mask_length: int = 10
    mask_share: float = 0.5
    negatives: int = 100
    groups: int = 2
    codes: int = 64
    code_size: int = 128
    temperature: float = 0.1
    diversity_weight: float = 0.1
    gumbel_start: float = 2.0
    gumbel_end: float = 0.5
    choice_scale: float = 0.25  # of the quantiser's initial choice; at 1 few codes were ever used
    warm_start: bool = True  # the Transformer starts from hubert-mini


@dataclass(frozen=True)
class Ctc:
    """Fine-tuning on letters, the front end frozen as in the original."""

    phase: Phase = Phase(steps=14000, batch_s=32, learning_rate=1.5e-3, warmup_steps=100)


@dataclass(frozen=True)
class Recipe:
    """All of it; `runs` is a folder outside git."""

    runs: Path
    data: Data = Data()
    front_end: Phase = Phase(steps=800, batch_s=32, learning_rate=3e-3, warmup_steps=60)
    hubert: Hubert = Hubert()
    wav2vec2: Wav2vec2 = Wav2vec2()
    ctc: Ctc = Ctc()
