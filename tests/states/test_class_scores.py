"""Classifiers of whole sounds: against plain transformers, and with a cue planted in the sound."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers as hf
from checkpoint_folders import FAMILIES, isolate, save_checkpoint, save_classifier

from speech_interp.methods import attribution, faithfulness
from speech_interp.methods.games import Window, make_game, windows
from speech_interp.models.checkpoint_files import CheckpointError
from speech_interp.models.loading import load_model
from speech_interp.states.attention import record_attention
from speech_interp.states.class_scores import class_log_probs, class_names, class_score
from speech_interp.states.hidden_states import hidden_states, model_inputs

LABELS = ["yes", "no", "stop"]
WAVE = np.random.default_rng(0).normal(0.1, 0.3, 8000).astype(np.float32)
WAVES = torch.tensor(np.stack([WAVE, WAVE[::-1]]))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path / "home")
    return tmp_path / "classifier"


@pytest.mark.parametrize("family", FAMILIES)
def test_log_probs_are_those_of_transformers(folder, family):
    original = save_classifier(folder, family, LABELS)
    model = load_model(folder)
    assert type(model.module) is type(original)
    assert str(model).endswith("; classifier of 3 labels: yes, no, stop")
    assert class_names(model) == LABELS and model.labels == tuple(LABELS)
    inputs = [model_inputs(model, wave.numpy()) for wave in WAVES]
    with torch.no_grad():
        expected = original(torch.cat(inputs)).logits.log_softmax(-1)
        found = class_log_probs(model, WAVES)
        by_name, by_number = class_score(model, "stop")(WAVES), class_score(model, 2)(WAVES)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(by_name, expected[:, 2], atol=1e-4, rtol=0)
    assert torch.equal(by_name, by_number)
    assert hidden_states(model, WAVE).values.shape[0] == 3  # layers 0 to 2


def test_bare_load_says_that_the_head_is_left_out(folder):
    save_classifier(folder, "wav2vec2", LABELS)
    model = load_model(folder, head="base")
    assert str(model).endswith("; without the head of Wav2Vec2ForSequenceClassification")
    assert model.labels is None
    with pytest.raises(ValueError, match="expected a classifier: load_model"):
        class_log_probs(model, WAVES)


def test_classifier_on_whisper_has_no_decoder_to_load(folder):
    save_classifier(folder, "whisper", LABELS)
    with pytest.raises(CheckpointError, match=r"no weights for 28 parameters of its 'base' head"):
        load_model(folder, head="base")


def test_other_heads_that_are_left_out_are_named_too(folder, tmp_path):
    save_checkpoint(tmp_path / "ctc", "hubert", ctc=True)
    line = str(load_model(tmp_path / "ctc", head="base"))
    assert line.endswith("; without the head of HubertForCTC")
    assert "without" not in str(load_model(tmp_path / "ctc"))
    save_checkpoint(tmp_path / "base", "hubert")
    assert "without" not in str(load_model(tmp_path / "base"))


def test_head_that_was_never_trained_is_refused(folder):
    save_checkpoint(folder, "hubert")
    with pytest.raises(CheckpointError, match="of its 'classification' head"):
        load_model(folder, head="classification")


def test_weighted_sum_of_layers_is_part_of_the_score(folder):
    original = save_classifier(folder, "wav2vec2", LABELS, use_weighted_layer_sum=True)
    model = load_model(folder)
    with torch.no_grad():
        model.module.layer_weights.copy_(torch.tensor([3.0, 0.0, -3.0]))
        original.layer_weights.copy_(torch.tensor([3.0, 0.0, -3.0]))
        expected = original(model_inputs(model, WAVE)).logits.log_softmax(-1)
        torch.testing.assert_close(class_log_probs(model, WAVES[:1]), expected, atol=1e-4, rtol=0)


def test_several_labels_may_be_true_at_once(folder):
    save_classifier(folder, "hubert", LABELS, problem_type="multi_label_classification")
    model = load_model(folder)
    with torch.no_grad():
        expected = model.module(model_inputs(model, WAVE)).logits.sigmoid()
        found = class_log_probs(model, WAVES[:1]).exp()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_unknown_label_and_regression_are_refused(folder, tmp_path):
    save_classifier(folder, "hubert", LABELS)
    with pytest.raises(ValueError, match="label is 'go', expected one of yes, no, stop"):
        class_score(load_model(folder), "go")
    with pytest.raises(ValueError, match="label is 3, expected one of"):
        class_score(load_model(folder), 3)
    save_classifier(tmp_path / "valence", "hubert", ["valence"])
    with pytest.raises(ValueError, match=r"1 output\(s\) for regression"):
        class_score(load_model(tmp_path / "valence"), "valence")(WAVES)


def test_attention_of_a_classifier_is_recorded(folder):
    for family in ("wav2vec2", "whisper"):
        save_classifier(folder / family, family, LABELS)
        model = load_model(folder / family)
        inputs = model_inputs(model, WAVE)
        name = "input_features" if family == "whisper" else "input_values"
        assert [s.layer for s in record_attention(model.module, **{name: inputs})] == [1, 2]


# A cue of known place: the class "tone" follows from the frames of a tone burst, and only them

CUE = Window("tone", 0.6, 0.8)


def sound_with_cue(seed=0):
    """1.5 s of noise with a tone at the cue."""
    wave = np.random.default_rng(seed).normal(0, 0.1, 24_000)
    at = slice(round(CUE.start_s * 16_000), round(CUE.end_s * 16_000))
    wave[at] += np.sin(2 * np.pi * 1000 * np.arange(at.stop - at.start) / 16_000)
    return wave.astype(np.float32), at


@pytest.fixture(scope="module")
def tone_classifier():
    """A wav2vec2 whose layers add nothing, and whose classifier knows a tone from noise.

    Every frame then depends on the sound it sees alone, so the cue is where the truth says.
    """
    torch.manual_seed(0)
    config = hf.Wav2Vec2Config(
        conv_dim=[32] * 7, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer", do_stable_layer_norm=True, classifier_proj_size=32,
        id2label={0: "noise", 1: "tone"},
    )  # fmt: skip
    module = hf.Wav2Vec2ForSequenceClassification(config).eval()
    encoder = module.wav2vec2.encoder
    layer = encoder.layers[0]
    with torch.no_grad():
        for part in (layer.attention.out_proj, layer.feed_forward.output_dense):
            part.weight.zero_()
        encoder.pos_conv_embed.conv.parametrizations.weight.original0.zero_()  # the norm
        module.projector.weight.copy_(torch.eye(32))
        model = SimpleNamespace(
            module=module, family="wav2vec2",
            processor=hf.Wav2Vec2FeatureExtractor(do_normalize=True),
        )  # fmt: skip
        wave, at = sound_with_cue(seed=1)
        states = module.wav2vec2(model_inputs(model, wave)).last_hidden_state[0]
        inside = slice(at.start // 320 + 1, at.stop // 320 - 2)
        noise = torch.cat([states[: inside.start - 2], states[inside.stop + 2 :]])
        direction = states[inside].mean(0) - noise.mean(0)
        middle = (states[inside].mean(0) + noise.mean(0)) / 2
        module.classifier.weight.copy_(torch.stack([torch.zeros(32), direction]))
        module.classifier.bias.copy_(torch.stack([torch.zeros(()), -direction @ middle]))
    return model


def test_the_planted_classifier_tells_by_the_cue(tone_classifier):
    wave, at = sound_with_cue()
    without = wave.copy()
    without[at] = np.random.default_rng(5).normal(0, 0.1, at.stop - at.start)
    with torch.no_grad():
        score = class_score(tone_classifier, "tone")
        here, gone = score(torch.tensor(np.stack([wave, without])))
    assert here > gone + 0.5


def of_game(method, **options):
    def run(score, wave, segments):
        game = make_game(score, wave, segments, replacement="noise", at_once=16)
        return method(game, **options)

    return run


def integrated(score, wave, segments):
    """From the same noise without the tone: silence is no baseline where loudness is evened out."""
    baseline = torch.tensor(np.random.default_rng(9).normal(0, 0.1, len(wave)), dtype=torch.float32)
    explained, gap = attribution.integrated_gradients(
        score, torch.tensor(wave)[None], baseline=baseline[None], steps=64
    )
    difference = float(score(torch.tensor(wave)[None]) - score(baseline[None]))
    assert gap < 0.05 * difference
    return attribution.pool_samples(explained[0], make_game(score, wave, segments).spans)[0]


METHODS = {
    "leave_one_out": of_game(attribution.leave_one_out),
    "shapley_sampling": of_game(attribution.shapley_sampling, orders=4),
    "kernel_shap": of_game(attribution.kernel_shap),
    "lime": of_game(attribution.lime),
    "integrated_gradients": integrated,
}


@pytest.mark.parametrize("name", METHODS)
def test_attribution_finds_the_planted_cue(tone_classifier, name):
    wave, _ = sound_with_cue()
    segments = windows(1.5, 0.1)
    explained = METHODS[name](class_score(tone_classifier, "tone"), wave, segments)
    rank = faithfulness.planted_rank(explained, segments, CUE)
    assert rank > 0.9
    elsewhere = Window("elsewhere", 1.1, 1.3)  # the same two windows long, where nothing is
    assert faithfulness.planted_rank(explained, segments, elsewhere) < rank - 0.2


def test_gradient_maps_are_the_slope_of_the_class(tone_classifier):
    """Against finite differences of plain transformers, along directions in sound."""
    wave, _ = sound_with_cue()

    def plain(wave):
        with torch.no_grad():
            logits = tone_classifier.module.double()(wave).logits
        tone_classifier.module.float()
        return float(logits.log_softmax(-1)[0, 1])

    x = torch.tensor(wave)[None]
    score = class_score(tone_classifier, "tone")
    slope = attribution.input_x_gradient(score, x)[0] / x[0]
    size = attribution.saliency(score, x)[0]
    torch.testing.assert_close(size, slope.abs())
    scale = float(x.std(unbiased=False))  # the extractor divides by it before the model
    for seed in range(3):
        step = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).double()
        step -= step.mean()
        step -= (step @ x[0].double()) / (x[0].double() @ x[0].double()) * x.double()
        centred = (x.double() - x.double().mean()) / scale
        sides = [plain(centred + sign * 1e-4 * step / scale) for sign in (1, -1)]
        expected = (sides[0] - sides[1]) / 2e-4
        assert float(slope.double() @ step[0]) == pytest.approx(expected, rel=0.02, abs=1e-3)
