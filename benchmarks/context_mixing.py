"""Value Zeroing between words: `speech_interp` beside one run of the layer per word and layer.

    python benchmarks/context_mixing.py            # 12 layers of 768 units, 5 s of sound
    python benchmarks/context_mixing.py --small    # the same on small models, in seconds

The reference is the definition [mohebbi2023quantifying]: for every layer and every word, run the
layer of transformers with the value vectors of the word set to zero. Weights are random: time does
not depend on them. Both results are compared before a time is printed. Times are CPU seconds, so
that a busy machine changes them little.

What to expect on a CPU. Per frame and word the layer costs about 12 u^2 + 2 n u multiplications
(u units, n frames: projections, feed-forward, attention), Value Zeroing 9 u^2 (output projection
and feed-forward), and only in frames of words. So Whisper, whose layer runs over 30 s of frames,
gains ten times and more; wav2vec2 on 5 s can gain at most some 1.7 times by arithmetic.
"""

import argparse
import time
from itertools import pairwise

import torch
import transformers

from speech_interp.methods.context_mixing import record_attention, value_zeroing


def wav2vec2_base(small: bool, duration_s: float):
    """The encoder of wav2vec2-base, and noise of that duration: 50 frames a second."""
    shape = dict(hidden_size=96, num_hidden_layers=3, intermediate_size=384) if small else {}
    torch.manual_seed(0)
    model = transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**shape)).eval()
    inputs = {"input_values": torch.randn(1, int(duration_s * 16_000))}
    return model, model.encoder.layers, torch.nn.Identity(), inputs, int(50 * duration_s) - 1


def whisper_small(small: bool, duration_s: float):
    """The encoder of whisper-small: it encodes 1500 frames, `duration_s` of which are speech."""
    width, layers = (96, 3) if small else (768, 12)
    config = transformers.WhisperConfig(
        d_model=width, encoder_layers=layers, encoder_attention_heads=12, encoder_ffn_dim=4 * width,
        decoder_layers=1, decoder_attention_heads=12, decoder_ffn_dim=4 * width,
    )  # fmt: skip
    torch.manual_seed(0)
    encoder = transformers.WhisperModel(config).encoder.eval()
    inputs = {"input_features": torch.randn(1, 80, 3000)}
    return encoder, encoder.layers, encoder.layer_norm, inputs, int(50 * duration_s)


def spread_words(frame_count: int, word_count: int) -> list[torch.Tensor]:
    """Words of equal length; after each a pause of 15 % of its time."""
    edges = torch.linspace(0, frame_count, word_count + 1).round().int().tolist()
    return [torch.arange(a, a + max(1, round(0.85 * (b - a)))) for a, b in pairwise(edges)]


@torch.no_grad()
def reference(model, layers, last_norm, inputs, words, only_words=None):
    """Maps by running each layer again for each word (of the first `only_words` words)."""
    calls = []
    keep = [
        layer.register_forward_hook(
            lambda layer, args, kwargs, output: calls.append((layer, args, kwargs, output[0])),
            with_kwargs=True,
        )
        for layer in layers
    ]
    model(**inputs)
    for handle in keep:
        handle.remove()
    rows, maps = torch.cat(words), []
    started = time.process_time()
    for number, (layer, args, kwargs, output) in enumerate(calls, start=1):
        norm = last_norm if number == len(layers) else torch.nn.Identity()
        attention = layer.attention if hasattr(layer, "attention") else layer.self_attn
        columns = []
        for word in words[:only_words]:
            handle = attention.v_proj.register_forward_hook(zeroing(word))
            without = norm(layer(*args, **kwargs)[0, rows])
            handle.remove()
            columns.append(1 - torch.cosine_similarity(norm(output[rows]), without, dim=-1))
        maps.append(torch.stack(columns, dim=1))
    return torch.stack(maps), time.process_time() - started


def zeroing(frames):
    def zero(module, args, values):
        values = values.clone()
        values[:, frames] = 0
        return values

    return zero


def compare(name, build, *, small, duration_s=5.0, word_count=15, reference_words=None):
    """Print one line: both times, their factor, and the largest difference of a distance."""
    model, layers, last_norm, inputs, frame_count = build(small, duration_s)
    words = spread_words(frame_count, word_count)
    steps = record_attention(model, **inputs)
    rows = torch.cat(words)
    value_zeroing(steps[0], rows=rows, groups=words)  # warm up
    started = time.process_time()
    fast = torch.stack([value_zeroing(step, rows=rows, groups=words) for step in steps])
    fast_s = time.process_time() - started
    slow, slow_s = reference(model, layers, last_norm, inputs, words, reference_words)
    slow_s *= word_count / slow.shape[2]  # every word takes the same time
    difference = (fast[..., : slow.shape[2]] - slow).abs().max().item()
    assert difference < 1e-5, difference
    print(
        f"{name:14} {duration_s:5.1f} s {word_count:4} words  reference {slow_s:8.2f} s"
        f"  here {fast_s:7.3f} s  factor {slow_s / fast_s:5.1f}  difference {difference:.0e}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="small models: seconds, not minutes")
    small = parser.parse_args().small
    torch.set_num_threads(1)  # the CPU time of idle threads that spin would blur the comparison
    print(f"torch {torch.__version__}, one thread", flush=True)
    models = {"wav2vec2-base": wav2vec2_base, "whisper-small": whisper_small}
    for name, build in models.items():
        compare(name, build, small=small)
    for word_count in (4, 8, 30):
        for name, build in models.items():
            compare(name, build, small=small, word_count=word_count, reference_words=2)
    for duration_s in (2.5, 10.0, 20.0):
        for name, build in models.items():
            compare(name, build, small=small, duration_s=duration_s, reference_words=2)


if __name__ == "__main__":
    main()
