"""The numbers that attribution explains: a `Score` maps sound (batch, sample) to (batch,).

Every score takes the raw 16 kHz wave and does the model's own preparation itself, in torch, so that
gradients reach the samples and a batch of changed waves costs one forward pass.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from speech_interp.hidden_states import encoder_layers, encoder_of

Score = Callable[[Float[Tensor, "batch sample"]], Float[Tensor, " batch"]]


def whisper_score(model, ids: Sequence[int], positions: Sequence[int]) -> Score:
    """Return the summed log-probability of the tokens at `positions`, given all tokens before.

    `ids` is the whole decoder sequence, prompt tokens first: the model is teacher-forced with it.
    """
    from_mel = whisper_mel_score(model, ids, positions)
    return lambda waves: from_mel(log_mel(model, waves))


def whisper_mel_score(model, ids: Sequence[int], positions: Sequence[int]) -> Callable:
    """Return the same score as a function of the log-mel spectrogram (batch, bin, frame)."""
    if min(positions) < 1 or max(positions) >= len(ids):
        raise ValueError(f"positions are {list(positions)}, expected 1 to {len(ids) - 1}")
    ids, positions = torch.tensor(ids), torch.tensor(positions)

    def score(mel: Tensor) -> Tensor:
        prefix = ids[:-1].expand(len(mel), -1)
        logits = model.module(input_features=mel, decoder_input_ids=prefix).logits
        # The logits at position p - 1 say what comes at position p.
        chances = logits[:, positions - 1].log_softmax(-1)
        return chances.gather(-1, ids[positions].expand(len(mel), -1)[..., None]).sum((1, 2))

    return score


def log_mel(model, waves: Float[Tensor, "batch sample"]) -> Float[Tensor, "batch bin frame"]:
    """Return Whisper's input features, as its feature extractor makes them, with gradients."""
    extractor = model.processor.feature_extractor
    waves = nn.functional.pad(waves, (0, extractor.n_samples - waves.shape[1]))
    window = torch.hann_window(extractor.n_fft)
    spectrum = torch.stft(
        waves, extractor.n_fft, extractor.hop_length, window=window, return_complex=True
    )
    filters = torch.as_tensor(np.asarray(extractor.mel_filters), dtype=torch.float32)
    power = spectrum[..., :-1].abs().square()
    mel = (filters.T @ power).clamp_min(1e-10).log10()
    loudest = mel.amax((1, 2), keepdim=True)
    return (torch.maximum(mel, loudest - 8) + 4) / 4


def ctc_log_probs(
    model, waves: Float[Tensor, "batch sample"]
) -> Float[Tensor, "batch frame label"]:
    """Return the log-probability of every label in every frame."""
    return model.module(_normalised(waves)).logits.log_softmax(-1)


def ctc_score(model, labels: Sequence[int]) -> Score:
    """Return log P(transcription): the sum over all ways to write `labels` [graves2006ctc]."""
    labels = torch.tensor(labels)

    def score(waves: Tensor) -> Tensor:
        log_probs = ctc_log_probs(model, waves).transpose(0, 1)  # (frame, batch, label)
        frames, batch, _ = log_probs.shape
        return -nn.functional.ctc_loss(
            log_probs,
            labels.expand(batch, -1),
            torch.full((batch,), frames),
            torch.full((batch,), len(labels)),
            blank=model.module.config.pad_token_id,
            reduction="none",
        )

    return score


def ctc_token_score(model, label: int, frames: slice) -> Score:
    """Return the mean log-probability of one label in the frames that were aligned with it."""
    return lambda waves: ctc_log_probs(model, waves)[:, frames, label].mean(1)


def ctc_align(
    log_probs: Float[Tensor, "frame label"], labels: Sequence[int], *, blank: int = 0
) -> Int[Tensor, " frame"]:
    """Return for each frame which of `labels` the best path writes there: its place, or -1.

    Viterbi over labels with optional blanks between them. Raises ValueError if the frames are too
    few for the labels.
    """
    states = [blank, *(s for label in labels for s in (label, blank))]
    may_skip = [k >= 2 and s != blank and s != states[k - 2] for k, s in enumerate(states)]
    emitted = log_probs[:, states].detach().double()
    best = torch.full((len(states),), -torch.inf, dtype=torch.double)
    best[:2] = emitted[0, :2]
    steps = []
    for frame in emitted[1:]:
        one = nn.functional.pad(best, (1, 0), value=-torch.inf)[:-1]
        two = nn.functional.pad(best, (2, 0), value=-torch.inf)[:-2]
        two = torch.where(torch.tensor(may_skip), two, -torch.inf)
        best, step = torch.stack([best, one, two]).max(0)
        best = best + frame
        steps.append(step)
    state = max(range(max(0, len(states) - 2), len(states)), key=lambda k: float(best[k]))
    if best[state] == -torch.inf:
        raise ValueError(f"labels: {len(labels)} do not fit into {len(log_probs)} frames")
    path = [state]
    for step in reversed(steps):
        path.append(path[-1] - int(step[path[-1]]))
    return torch.tensor([(s - 1) // 2 if s % 2 else -1 for s in reversed(path)])


def head_score(model, head: nn.Module, target: int, *, layer: int) -> Score:
    """Return the log-probability of a class, by a `head` on the mean state of `layer`."""
    return lambda waves: head(mean_state(model, waves, layer=layer)).log_softmax(-1)[:, target]


def mean_state(
    model, waves: Float[Tensor, "batch sample"], *, layer: int
) -> Float[Tensor, "batch unit"]:
    """Return the state of a layer (1 to layer_count), mean over frames, with gradients."""
    return _states(model, _normalised(waves), layer).mean(1)


def convolution_features(model, waves: Tensor) -> Float[Tensor, "batch channel frame"]:
    """Return what the convolutions of wav2vec2 or HuBERT give, before any Transformer layer."""
    return encoder_of(model).feature_extractor(_normalised(waves))


def on_features(model, score: Score, wave: Float[Tensor, "1 sample"]) -> Callable:
    """Return the score as a function of the convolution features (batch, channel, frame)."""
    extractor = encoder_of(model).feature_extractor

    def of_features(features: Tensor) -> Tensor:
        handle = extractor.register_forward_hook(lambda *_: features)
        try:
            return score(wave.expand(len(features), -1))
        finally:
            handle.remove()

    return of_features


def _normalised(waves: Tensor) -> Tensor:
    """Return waves of mean 0 and variance 1, as the feature extractors of both families do."""
    centred = waves - waves.mean(1, keepdim=True)
    return centred / (waves.var(1, unbiased=False, keepdim=True) + 1e-7).sqrt()


def _states(model, inputs: Tensor, layer: int) -> Float[Tensor, "batch frame unit"]:
    taken = []
    hook = encoder_layers(model)[layer - 1].register_forward_hook(
        lambda module, args, output: taken.append(output)
    )
    try:
        encoder_of(model)(inputs)
    finally:
        hook.remove()
    return taken[0]
