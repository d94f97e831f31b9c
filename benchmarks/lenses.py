"""What Whisper writes from every encoder layer: one call here beside one `generate` a layer.

    python benchmarks/lenses.py [--model openai/whisper-tiny.en] [--seconds 5] [--longest 32]
        [--clock wall|processor]

The reference is the loop that one writes with transformers: run the encoder, take the states of a
layer (through the final norm, which the last one has already), hand them to `generate`, next layer.
Texts are compared before times are printed. They may differ where a decoder that reads nothing
writes time marks: `generate` takes these for the ends of pieces and starts anew after each.

Then the CTC lens of a wav2vec2-base with random weights, beside one pass a layer of a model whose
layers above are cut off; there the numbers must be equal to the last bit.
"""

import argparse
import time

import numpy as np
import torch
import transformers
from transformers.modeling_outputs import BaseModelOutput

from speech_interp import load_corpus, load_model
from speech_interp.methods.decoder_lens import decoder_lens
from speech_interp.methods.lenses import CtcLens, final_norm
from speech_interp.speech.audio import RATE_HZ
from speech_interp.states.hidden_states import encoder_layers, hidden_states, model_inputs

CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def speech(seconds):
    """Sentences of the corpus, one after the other, cut at `seconds`."""
    spoken = [u.wave for u in load_corpus("sentences") if u.split == "test"][:10]
    return np.concatenate(spoken)[: round(seconds * RATE_HZ)]


@torch.no_grad()
def one_generate_a_layer(model, wave, longest):
    module, texts = model.module, []
    encoder, tokenizer = module.get_encoder(), model.processor.tokenizer
    for layer in range(model.layer_count + 1):
        found = encoder(model_inputs(model, wave), output_hidden_states=True)
        last = layer == model.layer_count
        states = found.hidden_states[layer]
        states = found.last_hidden_state if last else encoder.layer_norm(states)
        given = BaseModelOutput(last_hidden_state=states)
        written = module.generate(encoder_outputs=given, max_new_tokens=longest)[0]
        texts.append(tokenizer.decode(written, skip_special_tokens=True).strip())
    return texts


@torch.no_grad()
def lens_of_bare_model(model, wave):
    """As `ctc_lens`, which asks for a tokenizer besides."""
    states, norm = hidden_states(model, wave), final_norm(model)
    read = [model.module.lm_head(norm(x[None]))[0].log_softmax(-1) for x in states.values]
    signs = tuple(map(str, range(model.module.config.vocab_size)))
    return CtcLens(torch.stack(read), states.times_s, signs)


@torch.no_grad()
def one_pass_a_layer(model, wave):
    layers, read = encoder_layers(model), []
    kept = list(layers)
    for count in range(len(kept), -1, -1):
        del layers[count:]
        read.append(model.module(model_inputs(model, wave)).logits[0].log_softmax(-1))
    layers.extend(kept)
    return torch.stack(read[::-1])


class Bare:
    """A wav2vec2-base with random weights and a CTC head."""

    family = "wav2vec2"

    def __init__(self):
        torch.manual_seed(0)
        self.module = transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config()).eval()
        self.processor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)


def timed(clock, function, *args, **options):
    start = clock()
    value = function(*args, **options)
    return value, clock() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="openai/whisper-tiny.en")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--longest", type=int, default=32)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    options = parser.parse_args()
    clock, wave = CLOCKS[options.clock], speech(options.seconds)
    transformers.logging.set_verbosity_error()

    model = load_model(options.model)
    decoder_lens(model, wave, longest=2)
    lens, ours = timed(clock, decoder_lens, model, wave, longest=options.longest)
    texts, plain = timed(clock, one_generate_a_layer, model, wave, options.longest)
    same = [a == b for a, b in zip(lens.texts, texts, strict=True)]
    print(f"decoder lens, {len(texts)} layers, {options.seconds:g} s: {ours:.2f} s, ", end="")
    print(f"one generate a layer {plain:.2f} s: {plain / ours:.1f} times; equal texts {same}")
    assert same[-1], (lens.texts[-1], texts[-1])

    bare = Bare()
    one_pass_a_layer(bare, wave[:8000])
    lens, ours = timed(clock, lens_of_bare_model, bare, wave)
    each, plain = timed(clock, one_pass_a_layer, bare, wave)
    print(f"CTC lens, {len(each)} layers: {ours:.2f} s, ", end="")
    print(f"one pass a layer {plain:.2f} s: {plain / ours:.1f} times")
    assert torch.equal(lens.log_probs, each)


if __name__ == "__main__":
    main()
