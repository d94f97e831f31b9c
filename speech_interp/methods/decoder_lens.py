"""The decoder lens: what Whisper would write if its encoder stopped after layer k.

Its decoder reads the states of an encoder layer in place of the last one's
[langedijkDecoderLensLayerwiseInterpretation2024]. Every layer passes the encoder's final norm
first, as the last one does in the model itself. The logit lens at the end of this module does the
same for the decoder's own layers: its head reads each of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from speech_interp.methods.lenses import StatesMap, final_norm
from speech_interp.models.processors import tokenizer_of
from speech_interp.speech.audio import check_wave
from speech_interp.states.hidden_states import hidden_states, model_inputs, placed
from speech_interp.states.layer_parts import widened
from speech_interp.states.prompts import whisper_prompt
from speech_interp.states.scores import Written, whisper_words
from speech_interp.states.transcripts import character_error, word_error


@dataclass(frozen=True, eq=False)
class DecoderLens:
    """What the decoder writes from each encoder layer; entry 0 from what enters the first layer."""

    ids: tuple[tuple[int, ...], ...]  # decoder sequences: prompt, text, end of text
    texts: tuple[str, ...]
    stopped: tuple[bool, ...]  # the limit of tokens ended it: most often a loop of repetitions

    def word_errors(self, text: str) -> Float[np.ndarray, " layer"]:
        """Return the word error of each layer beside the true `text`; what nobody said adds up."""
        return np.array([word_error(written, text) for written in self.texts])

    def character_errors(self, text: str) -> Float[np.ndarray, " layer"]:
        """Return the character error of each layer beside the true `text`."""
        return np.array([character_error(written, text) for written in self.texts])


@dataclass(frozen=True, eq=False)
class WordChances:
    """How probable each encoder layer makes each word of a text, all words before it given."""

    words: tuple[str, ...]
    log_probs: Float[np.ndarray, "layer word"]  # natural logarithm, the sum over a word's tokens

    def per_word(self) -> Float[np.ndarray, " layer"]:
        """Return the mean log-probability of a word, by layer."""
        return self.log_probs.mean(1)


@torch.no_grad()
def decoder_lens(
    model,
    wave: Float[np.ndarray, " sample"],
    *,
    longest: int = 64,
    through: StatesMap | None = None,
) -> DecoderLens:
    """Return what Whisper writes from each encoder layer of a mono 16 kHz wave, greedily.

    One pass through the encoder serves all layers, and all texts are written side by side.
    `longest` limits the tokens of a text, since a decoder that reads nothing tends to repeat itself
    for ever. `through` maps the states before they are read, as a tuned lens does. The last layer
    is plain generation, token for token. Raises ValueError for a limit that the decoder has no room
    for.
    """
    outputs, tokenizer = encoder_outputs(model, wave, through), tokenizer_of(model)
    prompt = whisper_prompt(model, wave)
    _check_room(model, "longest", len(prompt) + longest)
    ids, texts, stopped = [], [], []
    for written in _greedy(model, outputs, prompt, longest):
        text = [token for token in written if token not in tokenizer.all_special_ids]
        ids.append((*prompt, *text, tokenizer.eos_token_id))
        texts.append(tokenizer.decode(text).strip())
        stopped.append(tokenizer.eos_token_id not in written)
    return DecoderLens(tuple(ids), tuple(texts), tuple(stopped))


@torch.no_grad()
def word_chances(
    model, wave: Float[np.ndarray, " sample"], text: str, *, through: StatesMap | None = None
) -> WordChances:
    """Return the log-probability of every word of the true `text` by encoder layer.

    The decoder is given all words before (teacher forcing), so a layer that yields no text of its
    own may still tell which word comes next. The prompt is the one that the model itself writes.
    Raises ValueError for a text without words.
    """
    return read_words(model, encoder_outputs(model, wave, through), true_ids(model, wave, text))


def true_ids(model, wave: Float[np.ndarray, " sample"], text: str) -> list[int]:
    """Return the decoder sequence of a text: the prompt that the model writes, text, end of text.

    Raises ValueError for a text without words, and for one that the decoder has no room for.
    """
    tokenizer = tokenizer_of(model)
    tokens = tokenizer.encode(" " + text.strip(), add_special_tokens=False)
    ids = [*whisper_prompt(model, wave), *tokens, tokenizer.eos_token_id]
    if not whisper_words(model, ids):
        raise ValueError(f"text is {text!r}, expected a text with words")
    _check_room(model, "text", len(ids))
    return ids


@torch.no_grad()
def read_words(
    model, outputs: Float[Tensor, "layer frame unit"], ids: Sequence[int]
) -> WordChances:
    """Return the log-probability of every word of `ids` given each of some encoder outputs."""
    words = whisper_words(model, ids)
    prefix = torch.tensor(ids[:-1], device=outputs.device).expand(len(outputs), -1)
    given = BaseModelOutput(last_hidden_state=outputs)
    logits = model.module(encoder_outputs=given, decoder_input_ids=prefix).logits
    return _by_word(widened(logits).log_softmax(-1), words)


def decoder_words(model, wave: Float[np.ndarray, " sample"], text: str) -> WordChances:
    """Return the log-probability of every word of the true `text` by *decoder* layer.

    As if the decoder stopped there: `logit_lens` on the true text, all words before given.
    """
    ids = true_ids(model, wave, text)
    return _by_word(logit_lens(model, wave, ids), whisper_words(model, ids))


def _check_room(model, name: str, count: int) -> None:
    room = model.module.config.max_target_positions
    if count > room:
        raise ValueError(f"{name} comes to {count} tokens with the prompt, expected at most {room}")


def _by_word(log_probs: Float[Tensor, "layer place token"], words: list[Written]) -> WordChances:
    # What is expected at a place was said after the token before it.
    columns = [log_probs[:, [p - 1 for p in w.places], w.tokens].sum(1) for w in words]
    chances = torch.stack(columns, dim=1).cpu().numpy()
    return WordChances(tuple(word.label for word in words), chances)


def window_states(model, wave: Float[np.ndarray, " sample"]) -> Float[Tensor, "layer frame unit"]:
    """Return the states of all encoder layers over Whisper's whole window, padding included.

    The decoder attends to the padding too, so a lens must not crop it away.
    """
    if model.family != "whisper":
        raise ValueError(f"family is {model.family!r}, and only whisper has a decoder")
    check_wave(wave)
    extractor = model.processor.feature_extractor
    if len(wave) > extractor.n_samples:
        model_inputs(model, wave)  # raises, and says by how much the sound is too long
    return hidden_states(model, np.pad(wave, (0, extractor.n_samples - len(wave)))).values


@torch.no_grad()
def encoder_outputs(
    model, wave: Float[np.ndarray, " sample"], through: StatesMap | None = None
) -> Float[Tensor, "layer frame unit"]:
    """Return the states of each layer as the decoder gets those of the last: after the final norm.

    The last entry is what the encoder returns, bit for bit.
    """
    values, norm = window_states(model, wave), final_norm(model)
    values = placed(model, through(values) if through else values)
    return torch.cat([norm(layer[None]) for layer in values])  # in the shape of the model's pass


def _greedy(
    model, outputs: Float[Tensor, "layer frame unit"], prompt: Sequence[int], longest: int
) -> list[list[int]]:
    """Return the most probable token after token for every layer, up to the end of text.

    As `generate` chooses them; but that takes the time marks that a decoder writes when it reads
    nothing for the ends of pieces, and starts anew after each of them.
    """
    settings, end = model.module.generation_config, model.processor.tokenizer.eos_token_id
    never, not_first = settings.suppress_tokens or [], settings.begin_suppress_tokens or []
    step = torch.tensor(prompt, device=outputs.device).expand(len(outputs), -1)
    memory, written = None, []
    given = BaseModelOutput(last_hidden_state=outputs)
    for number in range(longest):
        output = model.module(
            encoder_outputs=given, decoder_input_ids=step, past_key_values=memory, use_cache=True
        )
        memory, scores = output.past_key_values, output.logits[:, -1]
        scores[:, never + (not_first if number == 0 else [])] = -torch.inf
        step = scores.argmax(-1, keepdim=True)
        written.append(step[:, 0].tolist())
        if all(end in text for text in zip(*written, strict=True)):
            break
    texts = [list(text) for text in zip(*written, strict=True)]
    return [text[: text.index(end) + 1] if end in text else text for text in texts]


@torch.no_grad()
def logit_lens(
    model, wave: Float[np.ndarray, " sample"], ids: Sequence[int]
) -> Float[Tensor, "layer place token"]:
    """Return what each decoder layer expects after every token of a sequence but the last.

    Log-probabilities; layer 0 is what enters the first decoder layer. Each layer passes the
    decoder's final norm and the head, as the last one does in the model itself, which it equals
    bit for bit.
    """
    decoder, taken = model.module.get_decoder(), []

    def take_input(_, args, kwargs):
        taken.append(args[0] if args else kwargs["hidden_states"])

    def take_output(_, args, output):
        taken.append(output[0] if isinstance(output, tuple) else output)

    hooks = [decoder.layers[0].register_forward_pre_hook(take_input, with_kwargs=True)]
    hooks += [layer.register_forward_hook(take_output) for layer in decoder.layers]
    inputs = model_inputs(model, wave)
    try:
        prefix = torch.tensor([list(ids[:-1])], device=inputs.device)
        model.module(input_features=inputs, decoder_input_ids=prefix)
    finally:
        for hook in hooks:
            hook.remove()
    head = model.module.get_output_embeddings()
    read = [widened(head(decoder.layer_norm(states))[0]).log_softmax(-1) for states in taken]
    return torch.stack(read).cpu()
