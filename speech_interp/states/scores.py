"""The numbers that attribution explains: a `Score` maps sound (batch, sample) to (batch,).

Some give several numbers from one pass, (batch, column): every word, or the same by several heads.

Every score takes the raw 16 kHz wave and does the model's own preparation itself, in torch, so that
gradients reach the samples and a batch of changed waves costs one forward pass. It works where the
model is; what it takes and gives, gradients too, is on the CPU.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from speech_interp.models.families import FAMILIES, family_of
from speech_interp.models.processors import extractor_of, tokenizer_of
from speech_interp.speech.audio import RATE_HZ, AnyWave, TooLongAudioError, check_scale
from speech_interp.states.hidden_states import (
    brought_back,
    convolutions_of,
    device_of,
    encoder_layers,
    encoder_of,
    model_inputs,
    placed,
)
from speech_interp.states.layer_parts import widened
from speech_interp.states.prompts import whisper_prompt

Score = Callable[[Float[Tensor, "batch sample"]], Float[Tensor, " batch"]]


@dataclass(frozen=True)
class Written:
    """A word that a model wrote: where (decoder positions or frames), and the token at each."""

    label: str
    places: tuple[int, ...]
    tokens: tuple[int, ...]


# Whisper


@torch.no_grad()
def whisper_ids(model, wave: AnyWave, *, longest: int = 64) -> list[int]:
    """Return the decoder sequence that the model writes by itself: prompt, text, end of text."""
    tokenizer, prompt = tokenizer_of(model), whisper_prompt(model, wave)
    written = model.module.generate(model_inputs(model, wave), max_new_tokens=longest)[0].tolist()
    text = [token for token in written if token not in tokenizer.all_special_ids]
    return [*prompt, *text, tokenizer.eos_token_id]


def whisper_words(model, ids: Sequence[int]) -> list[Written]:
    """Return the words of a decoder sequence; signs such as the full stop belong to none."""
    tokenizer = tokenizer_of(model)
    words: list[Written] = []
    for place, token in enumerate(ids):
        text = "" if token in tokenizer.all_special_ids else tokenizer.decode([token])
        if not any(sign.isalnum() for sign in text):
            continue
        if text.startswith(" ") or not words:
            words.append(Written(text.strip(), (place,), (token,)))
        else:
            last = words[-1]
            more = (last.label + text, (*last.places, place), (*last.tokens, token))
            words[-1] = Written(*more)
    return words


def tokens_of(model, word: str) -> list[int]:
    """Return the tokens of a word as it stands inside a sentence, after a space."""
    return tokenizer_of(model)(" " + word, add_special_tokens=False).input_ids


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
    before, tokens = [p - 1 for p in positions], [ids[p] for p in positions]
    return lambda mel: _next_log_probs(model, mel, ids)[:, before, tokens].sum(1)


def whisper_word_scores(model, ids: Sequence[int], words: Sequence[Written]) -> Score:
    """Return the log-probability of every word from one pass: (batch, word).

    The tokens of a word need not be those of `ids`: so two spellings can be weighed at one place.
    """

    def score(waves: Tensor) -> Float[Tensor, "batch word"]:
        log_probs = _next_log_probs(model, log_mel(model, waves), ids)
        places = [[place - 1 for place in word.places] for word in words]
        columns = [log_probs[:, p, w.tokens].sum(1) for p, w in zip(places, words, strict=True)]
        return torch.stack(columns, dim=1)

    return score


def _next_log_probs(model, mel: Tensor, ids: Sequence[int]) -> Float[Tensor, "batch place token"]:
    """Return what the teacher-forced decoder expects after each token but the last."""
    prefix = torch.tensor(ids[:-1], device=device_of(model)).expand(len(mel), -1)
    logits = model.module(input_features=placed(model, mel), decoder_input_ids=prefix).logits
    return widened(logits).log_softmax(-1).cpu()


def log_mel(model, waves: Float[Tensor, "batch sample"]) -> Float[Tensor, "batch bin frame"]:
    """Return Whisper's input features, as its feature extractor makes them, with gradients.

    Raises TooLongAudioError, a ValueError, for more than 30 s, where that cuts off the rest, and
    ScaleAudioError for samples far outside [-1, 1].
    """
    check_scale(waves, name="waves")
    extractor = extractor_of(model)
    if waves.shape[1] > extractor.n_samples:
        raise TooLongAudioError(
            f"waves: {waves.shape[1] / RATE_HZ:.1f} s, Whisper takes at most "
            f"{extractor.n_samples / RATE_HZ:.0f} s"
        )
    waves = nn.functional.pad(waves, (0, extractor.n_samples - waves.shape[1]))
    window = torch.hann_window(extractor.n_fft, device=waves.device)
    spectrum = torch.stft(
        waves, extractor.n_fft, extractor.hop_length, window=window, return_complex=True
    )
    filters = torch.as_tensor(np.asarray(extractor.mel_filters), dtype=torch.float32)
    filters = filters.to(waves.device)
    power = spectrum[..., :-1].abs().square()
    mel = (filters.T @ power).clamp_min(1e-10).log10()
    loudest = mel.amax((1, 2), keepdim=True)
    return (torch.maximum(mel, loudest - 8) + 4) / 4


# CTC


def ctc_log_probs(
    model, waves: Float[Tensor, "batch sample"]
) -> Float[Tensor, "batch frame label"]:
    """Return the log-probability of every label in every frame."""
    return widened(model.module(prepared_inputs(model, waves)).logits).log_softmax(-1).cpu()


def ctc_score(model, labels: Sequence[int]) -> Score:
    """Return log P(transcription): the sum over all ways to write `labels` [graves2006ctc]."""
    targets = torch.tensor(labels)

    def score(waves: Tensor) -> Tensor:
        log_probs = ctc_log_probs(model, waves).transpose(0, 1)  # (frame, batch, label)
        frames, batch, _ = log_probs.shape
        return -nn.functional.ctc_loss(
            log_probs,
            targets.expand(batch, -1),
            torch.full((batch,), frames),
            torch.full((batch,), len(targets)),
            blank=model.module.config.pad_token_id,
            reduction="none",
        )

    return score


def ctc_token_score(model, label: int, frames: slice) -> Score:
    """Return the mean log-probability of one label in the frames that were aligned with it."""
    return lambda waves: ctc_log_probs(model, waves)[:, frames, label].mean(1)


def ctc_words(model, wave: AnyWave) -> list[Written]:
    """Return the words that the best path writes, with the frames and labels of their letters."""
    with torch.no_grad():
        path = ctc_log_probs(model, torch.as_tensor(wave)[None])[0].argmax(-1).tolist()
    tokenizer = tokenizer_of(model)
    gaps = {tokenizer.pad_token_id, tokenizer.word_delimiter_token_id}
    words: list[Written] = []
    letters: list[tuple[int, int]] = []
    for frame, label in enumerate([*path, tokenizer.word_delimiter_token_id]):
        if label == tokenizer.word_delimiter_token_id and letters:
            places, tokens = zip(*letters, strict=True)
            first = path[places[0] : places[-1] + 1]
            words.append(Written(tokenizer.decode(first), places, tokens))
            letters = []
        elif label not in gaps:
            letters.append((frame, label))
    return words


def ctc_word_scores(model, words: Sequence[Written]) -> Score:
    """Return for every word the mean log-probability of its labels in its frames: (batch, word)."""

    def score(waves: Tensor) -> Float[Tensor, "batch word"]:
        log_probs = ctc_log_probs(model, waves)
        return torch.stack([log_probs[:, w.places, w.tokens].mean(1) for w in words], dim=1)

    return score


# Output heads on the states of one layer


def head_score(model, head: nn.Module, target: int, *, layer: int) -> Score:
    """Return the log-probability of class `target` by a `head` on the states of `layer`."""
    scores = head_scores(model, [head], [target], layer=layer)
    return lambda waves: scores(waves)[:, 0]


def head_scores(model, heads: Sequence[nn.Module], classes: Sequence[int], *, layer: int) -> Score:
    """Return the same for several heads, one class each, from one pass: (batch, head)."""
    asked = list(zip(heads, classes, strict=True))

    def score(waves: Tensor) -> Float[Tensor, "batch head"]:
        states = layer_states(model, waves, layer=layer)
        return torch.stack([head(states).log_softmax(-1)[:, k] for head, k in asked], dim=1)

    return score


def layer_states(
    model, waves: Float[Tensor, "batch sample"], *, layer: int
) -> Float[Tensor, "batch frame unit"]:
    """Return the states of a layer (1 to layer_count), with gradients; waves of one length."""
    layers, taken = encoder_layers(model), []
    if not 1 <= layer <= len(layers):
        raise ValueError(f"layer is {layer}, expected 1 to {len(layers)}")

    def take(module, args, output):
        taken.append(output[0] if isinstance(output, tuple) else output)  # WavLM gives a tuple
        raise _Reached

    hook = layers[layer - 1].register_forward_hook(take)
    try:
        encoder_of(model)(prepared_inputs(model, waves))
    except _Reached:  # an explanation takes hundreds of passes: none runs the layers above
        pass
    finally:
        hook.remove()
    return brought_back(taken[0])


class _Reached(Exception):
    """Ends a forward pass at the layer that was asked for."""


def convolution_features(model, waves: Tensor) -> Float[Tensor, "batch channel frame"]:
    """Return what the convolutions over the wave give, before any Transformer layer."""
    return brought_back(convolutions_of(model)(prepared_inputs(model, waves)))


def on_features(model, score: Score, wave: Float[Tensor, "1 sample"]) -> Callable:
    """Return the score as a function of the convolution features (batch, channel, frame)."""
    extractor = convolutions_of(model)

    def of_features(features: Tensor) -> Tensor:
        handle = extractor.register_forward_hook(lambda *_: placed(model, features))
        try:
            return score(wave.expand(len(features), -1))
        finally:
            handle.remove()

    return of_features


def prepared_inputs(model, waves: Float[Tensor, "batch sample"]) -> Tensor:
    """Return what the encoder takes, where it is, with gradients: mel for Whisper, else the waves.

    Waves have mean 0 and variance 1 where the model's feature extractor makes them so.
    """
    family = family_of(model.family)
    if not family.differentiable:
        raise ValueError(
            f"the front end of {family.name} gives no gradients, so its sounds have no score here; "
            "expected one of " + ", ".join(n for n, f in FAMILIES.items() if f.differentiable)
        )
    if family.inputs == "input_features":
        return placed(model, log_mel(model, waves))
    check_scale(waves, name="waves")
    if not extractor_of(model).do_normalize:
        return placed(model, waves)
    centred = waves - waves.mean(1, keepdim=True)
    return placed(model, centred / (waves.var(1, unbiased=False, keepdim=True) + 1e-7).sqrt())
