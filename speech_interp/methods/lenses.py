"""The CTC lens: what a speech recogniser would write if it stopped after layer k.

The model's own head reads the states of every layer [deheerklootsHumanlikeLinguisticBiases2024].
What stands between the last layer and the head stands between every layer and the head: nothing in
post-LN models, whose layers end in a norm of their own; `encoder.layer_norm` in stable-LN models
and conformers; in SEW the layer that parts its frames again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from speech_interp.models.families import family_of, norm_if_stable
from speech_interp.speech.corpus import Interval
from speech_interp.states.frames import frames_in, head_grid
from speech_interp.states.hidden_states import encoder_of, hidden_states, placed
from speech_interp.states.layer_parts import widened
from speech_interp.states.transcripts import character_error

#: What a token that is no letter (<s>, </s>, <unk>) writes: one sign, and one error.
NO_LETTER = "\N{WHITE SQUARE}"

StatesMap = Callable[[Float[Tensor, "layer frame unit"]], Float[Tensor, "layer frame unit"]]


@dataclass(frozen=True, eq=False)
class CtcLens:
    """What the head reads from every layer of one utterance; layer 0 enters the first layer."""

    log_probs: Float[Tensor, "layer frame token"]
    times_s: Float[np.ndarray, " frame"]
    signs: tuple[str, ...]  # what each token writes: "" the blank, " " the gap between words

    def best(self) -> Int[np.ndarray, "layer frame"]:
        """Return the most probable token of every frame."""
        return self.log_probs.argmax(-1).numpy()

    def blank_share(self) -> Float[np.ndarray, " layer"]:
        """Return the share of the frames in which the blank is most probable."""
        return (self.best() == self.signs.index("")).mean(1)

    def texts(self) -> list[str]:
        """Return what each layer writes: repeats in one run count once, blanks are left out."""
        runs = [[token for token, _ in groupby(path)] for path in self.best()]
        return [" ".join("".join(self.signs[t] for t in run).split()) for run in runs]

    def letters(self, layer: int = -1) -> list[Interval]:
        """Return the letters that one layer writes, each over the frames of its run."""
        half_s, found, start = float(np.diff(self.times_s[:2]).sum()) / 2, [], 0
        for token, run in groupby(self.best()[layer]):
            stop = start + len(list(run))
            if self.signs[token].strip():
                first_s, last_s = self.times_s[[start, stop - 1]].tolist()
                found.append(Interval(self.signs[token], first_s - half_s, last_s + half_s))
            start = stop
        return found

    def chances(self, letters: Sequence[Interval]) -> Float[np.ndarray, "layer letter"]:
        """Return how probable each layer holds each letter, in the best of the letter's frames."""
        found = []
        for letter in letters:
            frames = frames_in(self.times_s, letter.start_s, letter.end_s)
            column = self.log_probs[:, frames, self.signs.index(letter.label)]
            found.append(column.amax(1).exp().numpy())
        return np.stack(found, axis=1)

    def character_errors(self, text: str) -> Float[np.ndarray, " layer"]:
        """Return the character error of each layer's text beside the true `text`."""
        return np.array([_error(written, text) for written in self.texts()])

    def log_odds(self, sign: str, rival: str, interval: Interval) -> Float[np.ndarray, " layer"]:
        """Return log P(sign) - log P(rival), the mean over the frames of the interval.

        How much goes to the blank plays no part. Raises ValueError for a sign that the head cannot
        write, and for an interval without frames.
        """
        for name in (sign, rival):
            if name not in self.signs:
                raise ValueError(f"{name!r} is no sign of the head, expected one of {self.signs}")
        frames = frames_in(self.times_s, interval.start_s, interval.end_s)
        if frames.start == frames.stop:
            raise ValueError(
                f"no frame is centred in {interval.start_s:.3f}-{interval.end_s:.3f} s"
            )
        a, b = (self.log_probs[:, frames, self.signs.index(name)] for name in (sign, rival))
        return (a - b).mean(1).numpy()


@torch.no_grad()
def ctc_lens(
    model, wave: Float[np.ndarray, " sample"], *, through: StatesMap | None = None
) -> CtcLens:
    """Return the `CtcLens` of a mono 16 kHz wave: the model's own head on the states of each layer.

    The last layer is what the model itself says, bit for bit. `through` maps the states before
    they are read, as a tuned lens does. Raises ValueError for a model without CTC head or letters,
    and `AudioError` as `hidden_states` does.
    """
    head, norm, signs = _ctc_head(model), final_norm(model), signs_of(model)
    states = hidden_states(model, wave)
    values = through(states.values) if through else states.values
    values = placed(model, values)
    grid, log_probs = head_grid(model), []
    frame_count = grid.count(len(wave))
    # One layer at a time: a larger matrix product may round otherwise than the model's own.
    for layer in values:
        read = norm(layer[None])
        # SEW averages frames in twos and gives one that is left over back as zeros.
        read = nn.functional.pad(read, (0, 0, 0, frame_count - read.shape[1]))
        log_probs.append(widened(head(read)[0]).log_softmax(-1))
    return CtcLens(torch.stack(log_probs).cpu(), grid.times_s(frame_count), signs)


def final_norm(model) -> nn.Module:
    """Return what stands between the encoder's last layer and whatever reads it.

    The encoder's `layer_norm` in Whisper, in stable-LN models and in conformers; SEW's upsampling.
    Post-LN models apply their norm before layer 1, so nothing is left to do. The table of families
    says which. Raises ValueError for a family not known there.
    """
    after_layers = family_of(model.family).after_layers or norm_if_stable
    place = after_layers(model.module.config)
    return encoder_of(model).get_submodule(place) if place else nn.Identity()


def signs_of(model) -> tuple[str, ...]:
    """Return what each token of a CTC model writes: letters as they are, the blank nothing.

    Where tokens are pieces of words, as Parakeet's, a piece that begins one begins with the gap.
    """
    tokenizer = getattr(model.processor, "tokenizer", None)
    if tokenizer is None:
        raise ValueError("the model has no tokenizer, so nothing says which letters its head means")
    gap = getattr(tokenizer, "word_delimiter_token_id", None)
    special = {*tokenizer.all_special_ids} - {gap}
    names = tokenizer.convert_ids_to_tokens(list(range(model.module.config.vocab_size)))
    signs = [NO_LETTER if k in special else name.replace("▁", " ") for k, name in enumerate(names)]
    if gap is not None:
        signs[gap] = " "
    signs[model.module.config.pad_token_id] = ""
    return tuple(signs)


def _ctc_head(model) -> nn.Module:
    head = getattr(model.module, "lm_head", None) or getattr(model.module, "ctc_head", None)
    if head is None:
        raise ValueError(
            f"{type(model.module).__name__} has no CTC head: take a checkpoint that was fine-tuned "
            "to write letters"
        )
    for extra in ("add_adapter", "use_intermediate_ffn_before_adapter"):
        if getattr(model.module.config, extra, False):
            raise ValueError(f"{extra}: more follows the last layer, and no layer but that fits it")
    return head


def _error(written: str, truth: str) -> float:
    # A sign that stands for no letter must not be dropped with the punctuation.
    return character_error(written.replace(NO_LETTER, "0"), truth)
