"""Scores of tiny models against all paths, single passes and plain transformers."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from tiny import tiny_model

from speech_interp.methods import attribution
from speech_interp.speech.audio import ScaleAudioError
from speech_interp.states import scores
from speech_interp.states.hidden_states import hidden_states


def ctc_model():
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        conv_dim=[8] * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        vocab_size=6, initializer_range=0.3,
    )  # fmt: skip
    return SimpleNamespace(
        module=transformers.Wav2Vec2ForCTC(config).eval(),
        processor=transformers.Wav2Vec2FeatureExtractor(do_normalize=True),
        family="wav2vec2",
    )


def noise(seed=0, count=8000):
    return np.random.default_rng(seed).normal(0.1, 0.3, count).astype(np.float32)


def test_ctc_score_is_the_sum_over_all_paths():
    model, labels = ctc_model(), [2, 2, 3]
    wave = torch.tensor(noise(count=2400))[None]
    log_probs = scores.ctc_log_probs(model, wave)[0].detach().double()
    total = 0.0
    for path in itertools.product(range(6), repeat=len(log_probs)):
        merged = [label for label, _ in itertools.groupby(path)]
        if [label for label in merged if label != 0] == labels:
            total += float(log_probs[range(len(path)), list(path)].sum().exp())
    assert float(scores.ctc_score(model, labels)(wave)[0].detach()) == pytest.approx(
        np.log(total), rel=1e-4
    )


def test_ctc_scores_prepare_the_wave_as_the_processor_does():
    model, wave = ctc_model(), noise()
    inputs = model.processor(wave, sampling_rate=16_000, return_tensors="pt").input_values
    with torch.no_grad():
        expected = model.module(inputs).logits.log_softmax(-1)[0]
    actual = scores.ctc_log_probs(model, torch.tensor(wave)[None])[0]
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=0)
    score = scores.ctc_token_score(model, 3, slice(4, 9))(torch.tensor(wave)[None])
    assert float(score) == pytest.approx(float(expected[4:9, 3].mean()), abs=1e-4)


class MeanHead(torch.nn.Linear):
    def forward(self, states):
        return super().forward(states.mean(1))


def mean_head():
    torch.manual_seed(3)
    return MeanHead(16, 3)


def test_several_heads_share_one_pass():
    model, two = tiny_model("hubert"), [mean_head(), MeanHead(16, 3)]
    waves = torch.tensor(np.stack([noise(0), noise(1)]))
    both = scores.head_scores(model, two, [2, 0], layer=3)(waves)
    each = zip(two, [2, 0], strict=True)
    alone = [scores.head_score(model, head, k, layer=3)(waves) for head, k in each]
    torch.testing.assert_close(both, torch.stack(alone, dim=1))
    states = scores.layer_states(model, waves[:1], layer=3)
    expected = hidden_states(model, noise(0)).values[3]
    torch.testing.assert_close(states[0], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("family", ["wav2vec2", "hubert"])
def test_scores_of_a_batch_are_those_of_its_waves(family):
    model, head = tiny_model(family), mean_head()
    waves = torch.tensor(np.stack([noise(0), noise(1)]))
    score = scores.head_score(model, head, 1, layer=2)
    both = score(waves)
    one_by_one = torch.cat([score(wave[None]) for wave in waves])
    torch.testing.assert_close(both, one_by_one, atol=1e-5, rtol=0)
    assert (both < 0).all() and abs(float(both[0] - both[1])) > 1e-6


@pytest.mark.parametrize("family", ["wav2vec2", "hubert"])
def test_convolution_features_are_an_input_level_of_their_own(family):
    model, head = tiny_model(family), mean_head()
    wave = torch.tensor(noise())[None]
    score = scores.head_score(model, head, 1, layer=2)
    of_features = scores.on_features(model, score, wave)
    features = scores.convolution_features(model, wave).detach()
    torch.testing.assert_close(of_features(features), score(wave), atol=1e-5, rtol=0)
    other = torch.tensor(noise(5))[None]
    baseline = scores.convolution_features(model, other).detach()
    explained, gap = attribution.integrated_gradients(of_features, features, baseline=baseline)
    assert explained.shape == features.shape and explained.abs().sum() > 0
    difference = abs(float(score(wave) - of_features(baseline)))
    assert gap < 0.05 * difference + 1e-4


@pytest.mark.parametrize("family", ["wav2vec2", "hubert"])
def test_states_of_a_layer_run_no_layer_above(family):
    model, wave = tiny_model(family), torch.tensor(noise())[None]
    ran = []
    hooks = [
        layer.register_forward_hook(lambda *call, k=k: ran.append(k))
        for k, layer in enumerate(scores.encoder_layers(model), start=1)
    ]
    for layer in (3, 1, 2):  # a pass that ended early leaves nothing behind for the next
        ran.clear()
        states = scores.layer_states(model, wave, layer=layer)
        assert ran == list(range(1, layer + 1))
        expected = hidden_states(model, noise()).values[layer]
        torch.testing.assert_close(states[0], expected, atol=1e-4, rtol=0)
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("family", ["hubert", "wavlm"])
@pytest.mark.parametrize("normalises", [True, False])
def test_states_are_those_of_a_model_whose_extractor_may_not_normalise(family, normalises):
    model, wave = tiny_model(family), noise() + np.float32(0.5)
    model.processor.do_normalize = normalises
    states = scores.layer_states(model, torch.tensor(wave)[None], layer=2)
    torch.testing.assert_close(states[0], hidden_states(model, wave).values[2], atol=1e-4, rtol=0)


@pytest.mark.parametrize("layer", [0, 4, -1])
def test_a_layer_that_is_none_of_the_transformers_is_named(layer):
    with pytest.raises(ValueError, match=rf"layer is {layer}, expected 1 to 3"):
        scores.layer_states(tiny_model("hubert"), torch.tensor(noise())[None], layer=layer)


def test_sound_that_whisper_would_cut_off_is_refused():
    with pytest.raises(ValueError, match=r"31\.0 s, Whisper takes at most 30 s"):
        scores.log_mel(tiny_model("whisper"), torch.zeros(1, 31 * 16_000))


def test_silence_is_no_baseline_for_a_model_that_ignores_loudness():
    # The score stays the same on the way to silence: nothing is left to integrate. The gap tells.
    model, head = tiny_model("wav2vec2"), mean_head()
    score, wave = scores.head_score(model, head, 1, layer=2), torch.tensor(noise())[None]
    _, gap = attribution.integrated_gradients(score, wave)
    difference = abs(float(score(wave) - score(torch.zeros_like(wave))))
    assert gap > 0.5 * difference


def test_mel_equals_whisper_feature_extractor_and_lets_gradients_through():
    model, wave = tiny_model("whisper"), noise(count=24_000)
    expected = model.processor(wave, sampling_rate=16_000, return_tensors="pt").input_features
    waves = torch.tensor(wave)[None].requires_grad_()
    actual = scores.log_mel(model, waves)
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=0)
    (gradient,) = torch.autograd.grad(actual.sum(), waves)
    assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0


def test_whisper_score_is_the_sum_of_the_chances_token_by_token():
    model, wave, ids = tiny_model("whisper"), noise(count=8000), [3, 7, 9, 12, 5]
    mel = scores.log_mel(model, torch.tensor(wave)[None])
    expected = 0.0
    for position in (2, 4):
        with torch.no_grad():
            prefix = torch.tensor([ids[:position]])
            logits = model.module(input_features=mel, decoder_input_ids=prefix).logits[0, -1]
        expected += float(logits.log_softmax(-1)[ids[position]])
    with torch.no_grad():
        score = scores.whisper_score(model, ids, [2, 4])(torch.tensor(wave)[None])
    assert float(score) == pytest.approx(expected, abs=1e-4)
    with pytest.raises(ValueError, match=r"positions are \[0, 2\], expected 1 to 4"):
        scores.whisper_score(model, ids, [0, 2])


def test_words_that_whisper_wrote_hold_their_tokens_and_no_signs():
    pieces = {5: " night", 6: " arm", 7: "or", 8: ",", 9: "."}
    tokenizer = SimpleNamespace(all_special_ids=[1, 2], decode=lambda ids: pieces[ids[0]])
    model = SimpleNamespace(processor=SimpleNamespace(tokenizer=tokenizer))
    words = scores.whisper_words(model, [1, 5, 8, 6, 7, 9, 2])
    assert [(w.label, w.places, w.tokens) for w in words] == [
        ("night", (1,), (5,)),
        ("armor", (3, 4), (6, 7)),
    ]


def test_whisper_word_scores_are_single_scores_and_take_rivals():
    model, wave, ids = tiny_model("whisper"), torch.tensor(noise(count=8000))[None], [3, 7, 9, 12]
    words = [
        scores.Written("a", (1,), (7,)),
        scores.Written("b", (2, 3), (9, 12)),
        scores.Written("rival", (3,), (20,)),
    ]
    with torch.no_grad():
        by_word = scores.whisper_word_scores(model, ids, words)(wave)[0]
        one, two = (scores.whisper_score(model, ids, p)(wave) for p in ([1], [2, 3]))
        swapped = scores.whisper_score(model, [3, 7, 9, 20], [3])(wave)
    torch.testing.assert_close(by_word, torch.cat([one, two, swapped]), atol=1e-5, rtol=0)


class Writes(torch.nn.Module):
    """A model that gives the same logits (1, frame, label) for every sound."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.nn.Parameter(logits, requires_grad=False)

    def forward(self, waves):
        return SimpleNamespace(logits=self.logits.expand(len(waves), -1, -1))


def test_words_of_the_best_ctc_path_hold_the_frames_of_their_letters():
    vocabulary = "_|ABC"
    path = [0, 2, 2, 0, 3, 1, 0, 4, 0, 4, 0]
    logits = torch.nn.functional.one_hot(torch.tensor(path), 5).float()[None] * 9
    tokenizer = SimpleNamespace(
        pad_token_id=0,
        word_delimiter_token_id=1,
        decode=lambda ids: "".join(vocabulary[i] for i, _ in itertools.groupby(ids) if i > 1),
    )
    model = SimpleNamespace(
        family="wav2vec2",
        module=Writes(logits),
        processor=SimpleNamespace(tokenizer=tokenizer, do_normalize=True),
    )
    first, second = scores.ctc_words(model, noise())
    assert (first.label, first.places, first.tokens) == ("AB", (1, 2, 4), (2, 2, 3))
    assert (second.label, second.places, second.tokens) == ("CC", (7, 9), (4, 4))
    by_word = scores.ctc_word_scores(model, [first, second])(torch.tensor(noise())[None])
    torch.testing.assert_close(by_word, logits.log_softmax(-1)[0, 1, 2].expand(1, 2))


def test_floats_in_the_range_of_integers_are_refused():
    loud = torch.tensor(noise() * 32768)[None].requires_grad_()
    with pytest.raises(ScaleAudioError, match="waves: its peak is"):
        scores.ctc_log_probs(ctc_model(), loud)
    with pytest.raises(ScaleAudioError, match="waves: its peak is"):
        scores.log_mel(tiny_model("whisper"), loud)
