"""The CTC lens against the models themselves, hooks on them, and paths written by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers as hf
from tiny import CONVOLUTIONS, TRANSFORMER, tiny_model

from speech_interp import load_corpus, load_model
from speech_interp.methods.lenses import NO_LETTER, CtcLens, ctc_lens, final_norm, signs_of
from speech_interp.speech.audio import EmptyAudioError
from speech_interp.speech.corpus import Interval
from speech_interp.states.hidden_states import encoder_layers, encoder_of, model_inputs

TOKENS = ["<pad>", "<s>", "</s>", "<unk>", "|", "A", "B", "L", "R"]
CLASSES = {
    "wav2vec2": (hf.Wav2Vec2Config, hf.Wav2Vec2ForCTC),
    "hubert": (hf.HubertConfig, hf.HubertForCTC),
    "wavlm": (hf.WavLMConfig, hf.WavLMForCTC),
    "unispeech-sat": (hf.UniSpeechSatConfig, hf.UniSpeechSatForCTC),
    "data2vec-audio": (hf.Data2VecAudioConfig, hf.Data2VecAudioForCTC),
    "sew": (hf.SEWConfig, hf.SEWForCTC),
    "wav2vec2-conformer": (hf.Wav2Vec2ConformerConfig, hf.Wav2Vec2ConformerForCTC),
}
ALWAYS_ALIKE = ["data2vec-audio", "sew", "wav2vec2-conformer"]  # stable or not makes no difference
WITH_NORM = [(n, stable) for n in CLASSES for stable in (False, True) if n not in ALWAYS_ALIKE]
WITH_NORM += [(name, False) for name in ALWAYS_ALIKE]
EVERY = [*WITH_NORM, ("wav2vec2-bert", False), ("parakeet_ctc", False)]


class Processor:
    """A feature extractor with a tokenizer beside it."""

    def __init__(self, feature_extractor):
        self.feature_extractor = feature_extractor

    def __call__(self, wave, **options):
        return self.feature_extractor(wave, **options)

    tokenizer = SimpleNamespace(
        all_special_ids=[0, 1, 2, 3, 4],
        word_delimiter_token_id=4,
        convert_ids_to_tokens=lambda ids: [TOKENS[i] for i in ids],
    )


def ctc_model(family="wav2vec2", stable=False, *, seed=0):
    torch.manual_seed(seed)
    tiny = tiny_model(family, seed=seed)
    tiny.processor = Processor(tiny.processor)
    if (family, False) not in WITH_NORM:
        tiny.module.config.vocab_size, tiny.module.config.pad_token_id = len(TOKENS), 0
        tiny.module = hf.AutoModelForCTC.from_config(tiny.module.config).eval()
        return tiny
    config_class, module_class = CLASSES[family]
    config = config_class(
        **CONVOLUTIONS | ({"conv_dim": [8] * 13} if family == "sew" else {}),
        **TRANSFORMER, vocab_size=9, initializer_range=0.3,
        do_stable_layer_norm=stable, feat_extract_norm="layer" if stable else "group",
        attn_implementation="eager" if family == "wavlm" else "sdpa",
    )  # fmt: skip
    tiny.module = module_class(config).eval()
    # A norm that changes nothing would hide that it was left out, or applied twice.
    with torch.no_grad():
        norm = tiny.module.base_model.encoder.layer_norm
        norm.weight.uniform_(0.3, 3)
        norm.bias.normal_()
    return tiny


def noise(seed=0, count=8000):
    return np.random.default_rng(seed).normal(0.1, 0.3, count).astype(np.float32)


def own_log_probs(model, wave):
    with torch.no_grad():
        return model.module(model_inputs(model, wave)).logits[0].log_softmax(-1)


@pytest.mark.parametrize(("family", "stable"), EVERY)
def test_the_last_layer_says_what_the_model_says_bit_for_bit(family, stable):
    for seed, count in ((0, 8000), (1, 3333)):
        model, wave = ctc_model(family, stable, seed=seed), noise(seed, count)
        lens = ctc_lens(model, wave)
        expected = own_log_probs(model, wave)
        assert torch.equal(lens.log_probs[-1], expected)
        assert lens.log_probs.shape == (4, *expected.shape) and lens.log_probs.isfinite().all()
        # Every layer says something else: it is not the last one over and over.
        assert all((layer - expected).abs().max() > 0.01 for layer in lens.log_probs[:-1])


@pytest.mark.parametrize(("family", "stable"), EVERY)
def test_layer_k_is_what_the_model_says_without_the_layers_above(family, stable):
    model, wave = ctc_model(family, stable), noise()
    lens, layers = ctc_lens(model, wave), encoder_layers(model)
    kept = list(layers)
    for k in (2, 1):
        del layers[k:]
        assert torch.equal(lens.log_probs[k], own_log_probs(model, wave))
    layers.extend(kept[1:])
    assert torch.equal(lens.log_probs[-1], own_log_probs(model, wave))


@pytest.mark.parametrize(("family", "stable"), WITH_NORM)
def test_where_the_final_norm_stands(family, stable):
    """Settled by hooks: does the norm run before the first layer, or after the last?"""
    model, order, left = ctc_model(family, stable), [], []
    layers, norm = encoder_layers(model), encoder_of(model).encoder.layer_norm
    hooks = [
        norm.register_forward_hook(lambda *call: order.append("norm")),
        layers[0].register_forward_hook(lambda *call: order.append("first")),
        layers[-1].register_forward_hook(lambda *call: order.append("last")),
        layers[-1].register_forward_hook(lambda module, args, output: left.append(output)),
    ]
    with torch.no_grad():
        inputs = model_inputs(model, noise())
        given = encoder_of(model)(inputs, output_hidden_states=True)
    for hook in hooks:
        hook.remove()
    after = order == ["first", "last", "norm"]
    assert after or order == ["norm", "first", "last"]
    assert after == (stable or family == "wav2vec2-conformer")
    last = left[0][0] if isinstance(left[0], tuple) else left[0]
    if family == "sew":  # nothing normalises, but each frame is parted in two
        assert final_norm(model) is encoder_of(model).encoder.upsample
        return
    assert (final_norm(model) is norm) == after
    assert isinstance(final_norm(model), torch.nn.Identity) != after
    with torch.no_grad():
        assert torch.equal(given.last_hidden_state, norm(last) if after else last)
    # What transformers lists as the last hidden state stands before the norm, in every family.
    assert torch.equal(given.hidden_states[-1], last)


@pytest.mark.parametrize("random_init", [False, True])
def test_the_stand_in_and_its_twin_are_read_exactly(random_init):
    model = load_model("facebook/wav2vec2-base-960h", random_init=random_init)
    utterance = next(u for u in load_corpus("sentences") if u.split == "test")
    lens = ctc_lens(model, utterance.wave)
    expected = own_log_probs(model, utterance.wave)
    assert torch.equal(lens.log_probs[-1], expected)
    if not random_init:  # its tokenizer is an oracle of its own for what a path writes
        path = expected.argmax(-1)
        assert lens.texts()[-1] == model.processor.tokenizer.decode(path)
        errors = lens.character_errors(utterance.text)
        assert errors[-1] < 0.5 < errors[0]


def lens_of(*paths):
    """A lens whose layers write these paths, one sign a frame, "_" the blank, "?" no letter."""
    written = ("", " ", NO_LETTER, "A", "B", "L", "R")
    token = {"_": 0, "|": 1, "?": 2, "A": 3, "B": 4, "L": 5, "R": 6}
    best = torch.tensor([[token[sign] for sign in path] for path in paths])
    log_probs = (5.0 * torch.nn.functional.one_hot(best, 7)).log_softmax(-1)
    return CtcLens(log_probs, 0.0125 + 0.02 * np.arange(len(paths[0])), written)


def test_paths_are_collapsed_as_ctc_does():
    lens = lens_of("AA_A||_BB", "_________", "A|?|?__|B")
    assert lens.texts() == ["AA B", "", f"A {NO_LETTER} {NO_LETTER} B"]
    assert lens.blank_share().tolist() == [2 / 9, 1, 2 / 9]
    assert [(i.label, round(i.start_s, 4), round(i.end_s, 4)) for i in lens.letters(0)] == [
        ("A", 0.0025, 0.0425), ("A", 0.0625, 0.0825), ("B", 0.1425, 0.1825),
    ]  # fmt: skip


def test_chances_are_those_of_a_letter_in_its_best_frame():
    lens = lens_of("AA_A||_BB", "_________", "B|A|?__|B")
    sure, other = np.exp(5) / (np.exp(5) + 6), 1 / (np.exp(5) + 6)
    first, second, last = lens.letters(0)
    found = lens.chances([first, second, last])
    # Of the two frames of the first A none is an A in layer 2, which writes one in the third.
    expected = [[sure, sure, sure], [other, other, other], [other, other, sure]]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_errors_are_counted_and_what_is_no_letter_is_an_error():
    lens = lens_of("AA_A||_BB", "_________", "A|?|_____")
    assert lens.character_errors("aa b").tolist() == [0, 1, 1 / 2]
    assert lens.character_errors("a").tolist() == [3, 1, 2]


def test_log_odds_are_those_of_two_signs_over_the_frames_of_an_interval():
    lens = lens_of("LL_RR", "RRRRR")
    assert lens.log_odds("L", "R", Interval("", 0.0, 0.05)).tolist() == pytest.approx([5, -5])
    assert lens.log_odds("L", "R", Interval("", 0.0, 0.1)).tolist() == pytest.approx([0, -5])
    with pytest.raises(ValueError, match="'Z' is no sign of the head"):
        lens.log_odds("Z", "R", Interval("", 0.0, 0.05))
    with pytest.raises(ValueError, match="no frame is centred in"):
        lens.log_odds("L", "R", Interval("", 0.0, 0.001))


def test_signs_name_what_is_no_letter():
    assert signs_of(ctc_model()) == ("", *[NO_LETTER] * 3, " ", "A", "B", "L", "R")


def test_a_map_that_turns_the_states_is_read_through():
    model, wave = ctc_model(), noise()
    upside_down = ctc_lens(model, wave, through=lambda values: values.flip(0))
    plain = ctc_lens(model, wave)
    assert torch.equal(upside_down.log_probs, plain.log_probs.flip(0))


@pytest.mark.parametrize("count", [8000, 8320])  # 24 and 25 frames of 20 ms
def test_frames_of_sew_lie_where_its_head_has_them_not_where_its_layers_do(count):
    lens = ctc_lens(ctc_model("sew"), noise(0, count))
    frames = (count - 400) // 320 + 1
    assert lens.log_probs.shape[1] == frames
    np.testing.assert_allclose(lens.times_s, 0.0125 + 0.02 * np.arange(frames))


def test_pieces_of_words_begin_with_the_gap():
    model = ctc_model("parakeet_ctc")
    pieces = ["<pad>", "▁A", "B", "▁", "L", "R", "▁R", "<unk>", "."]
    model.processor.tokenizer = SimpleNamespace(
        all_special_ids=[0, 7], convert_ids_to_tokens=lambda ids: [pieces[i] for i in ids]
    )
    assert signs_of(model) == ("", " A", "B", " ", "L", "R", " R", NO_LETTER, ".")
    path = torch.nn.functional.one_hot(torch.tensor([[1, 2, 0, 6, 6, 2]]), 9)
    lens = CtcLens(path.float(), 0.08 * np.arange(6), signs_of(model))
    assert lens.texts() == ["AB RB"]


def test_silence_is_read_and_no_sound_is_refused():
    lens = ctc_lens(ctc_model(), np.zeros(8000, np.float32))
    assert lens.log_probs.isfinite().all() and len(lens.texts()) == 4
    with pytest.raises(EmptyAudioError):
        ctc_lens(ctc_model(), np.zeros(0, np.float32))


def test_a_model_that_cannot_be_read_says_why():
    model = ctc_model()
    no_head = SimpleNamespace(**vars(model) | {"module": model.module.base_model})
    with pytest.raises(ValueError, match="Wav2Vec2Model has no CTC head"):
        ctc_lens(no_head, noise())
    other = SimpleNamespace(**vars(model) | {"family": "conformer"})
    with pytest.raises(ValueError, match="a conformer model, expected one of"):
        ctc_lens(other, noise())
    wordless = SimpleNamespace(**vars(model) | {"processor": model.processor.feature_extractor})
    with pytest.raises(ValueError, match="no tokenizer"):
        ctc_lens(wordless, noise())
    model.module.config.add_adapter = True
    with pytest.raises(ValueError, match="adapter"):
        ctc_lens(model, noise())
