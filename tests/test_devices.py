"""Everything that takes a model works where the model is, and gives its results on the CPU.

On `elsewhere.DEVICE`, which any machine has, and on a GPU where there is one; the oracle is the
same call with the model on the CPU.
"""

import contextlib
import copy

import numpy as np
import pytest
import torch
from checkpoint_folders import FAMILIES, isolate, save_checkpoint, save_classifier
from elsewhere import DEVICE, MixedDevicesError, elsewhere
from every_function import CASES, model_with
from tiny import FAMILIES as TINY

from speech_interp.methods import attribution, faithfulness, games
from speech_interp.models.loading import load_model
from speech_interp.speech.corpus import Utterance
from speech_interp.speech.voice_changes import mean_change
from speech_interp.states import scores
from speech_interp.states.alignment import align
from speech_interp.states.class_scores import class_log_probs, class_score
from speech_interp.states.hidden_states import hidden_states
from speech_interp.studies.small_classifiers import Head

WAVE = np.random.default_rng(0).normal(0.05, 0.3, 8000).astype(np.float32)
WAVES = torch.tensor(np.stack([WAVE, WAVE[::-1]]))
SEGMENTS = games.windows(0.5, 0.1)
IDS = [257, 265, 70, 80, 90, 256]


@pytest.fixture(params=["elsewhere", "cuda", "mps"])
def away(request):
    """Where the model is put, and the context in which it works there."""
    if request.param == "elsewhere":
        return DEVICE, elsewhere
    backend = getattr(torch, request.param) if request.param == "cuda" else torch.backends.mps
    if not backend.is_available():
        pytest.skip(f"this machine has no {request.param}")
    return torch.device(request.param), contextlib.nullcontext


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path / "home")


def check(model, read, away):
    """`read(model)` gives tensors; they are the same wherever the model is, and on the CPU."""
    expected = read(model)
    device, context = away
    with context():
        moved = copy.deepcopy(model)
        moved.module.to(device)
        assert next(moved.module.parameters()).device.type == device.type
        found = read(moved)
        assert found.keys() == expected.keys()
        for name, values in found.items():
            if torch.is_tensor(values):
                assert values.device.type == "cpu", name
        numbers = {name: torch.as_tensor(values).detach().clone() for name, values in found.items()}
    for name, values in expected.items():
        tolerance = {"atol": 1e-4, "rtol": 1e-3, "check_dtype": False}
        torch.testing.assert_close(
            numbers[name], torch.as_tensor(values).detach(), **tolerance,
            msg=lambda text, name=name: f"{name}: {text}",
        )  # fmt: skip


def of_sound(model) -> dict:
    """What Part I reads from any encoder, and what explains a head on its states."""
    torch.manual_seed(0)
    found = {"states": hidden_states(model, WAVE).values}
    found["layer"] = layer = scores.layer_states(model, WAVES, layer=2)
    head = Head(layer.detach(), 2).eval()
    score = scores.head_score(model, head, 1, layer=2)
    found["score"] = score(WAVES)
    return found | explained(score)


def explained(score) -> dict:
    """Every attribution method, and what tests it, on one score of `WAVE`."""
    x = WAVES[:1]
    game = games.make_game(score, WAVE, SEGMENTS)
    found = {"saliency": attribution.saliency(score, x)}
    found["input_x_gradient"] = attribution.input_x_gradient(score, x)
    other = games.noise_like(x)
    found["integrated"], _ = attribution.integrated_gradients(score, x, baseline=other, steps=4)
    found["smooth"] = attribution.smooth_grad(score, x, samples=2)
    found["left out"] = worth = attribution.leave_one_out(game)
    found["exact"] = attribution.shapley_exact(game)
    found["sampled"] = attribution.shapley_sampling(game, orders=2)
    found["deleted"] = faithfulness.deletion_curve(game, worth)
    found["inserted"] = faithfulness.insertion_curve(game, worth)
    found["random"] = faithfulness.random_curves(game, orders=2)
    found["comprehensive"] = faithfulness.comprehensiveness(game, worth)
    found["sufficient"] = faithfulness.sufficiency(game, worth)
    found["changed"] = mean_change(score, WAVE, [WAVE[::-1].copy()])
    found["pooled"] = attribution.pool_samples(found["saliency"][0], game.spans)[0]
    return found


@pytest.mark.parametrize("name", [n for n in TINY if not n.endswith(("-stable", "-bins"))])
@pytest.mark.parametrize("column", [case.column for case in CASES])
def test_every_function_that_takes_a_model(away, name, column):
    (case,) = (c for c in CASES if c.column == column)
    try:
        model = model_with(name, case.head)
        case.read(model)
    except ValueError:
        return  # what is refused is told in the table of families
    check(model, case.read, away)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "whisper"])
def test_states_and_scores(tmp_path, away, family):
    save_checkpoint(tmp_path / "small", family)
    check(load_model(tmp_path / "small"), of_sound, away)


def test_ctc_and_alignment(tmp_path, away):
    save_checkpoint(tmp_path / "small", "wav2vec2", ctc=True)

    def read(model):
        log_probs = scores.ctc_log_probs(model, WAVES)
        words = [scores.Written("a", (1, 2), (7, 8)), scores.Written("b", (4,), (9,))]
        heard = scores.ctc_words(model, WAVE)
        utterance = Utterance(id="u", text="so it is", audio=WAVE)
        found = {
            "log probs": log_probs,
            "sentence": scores.ctc_score(model, [7, 8])(WAVES),
            "token": scores.ctc_token_score(model, 7, slice(2, 5))(WAVES),
            "words": scores.ctc_word_scores(model, words)(WAVES),
            "heard": torch.tensor([place for word in heard for place in word.places]),
            "aligned": torch.tensor([w.start_s for w in align(model, utterance).words]),
        }
        features = scores.convolution_features(model, WAVES[:1]).detach()
        score = scores.on_features(model, scores.ctc_score(model, [7, 8]), WAVES[:1])
        return found | {"features": features, "of them": attribution.saliency(score, features)}

    check(load_model(tmp_path / "small"), read, away)


@pytest.mark.parametrize("family", ["hubert", "whisper"])
def test_classifier(tmp_path, away, family):
    save_classifier(tmp_path / "small", family, ["a", "b"])

    def read(model):
        found = {"classes": class_log_probs(model, WAVES)}
        return found | (explained(class_score(model, "b")) if family == "hubert" else {})

    check(load_model(tmp_path / "small"), read, away)


def test_whisper(tmp_path, away):
    save_checkpoint(tmp_path / "small", "whisper", multilingual=True)

    def read(model):
        words = [scores.Written("a", (2,), (70,)), scores.Written("b", (3, 4), (80, 90))]
        score = scores.whisper_score(model, IDS, [2, 3])
        mel = scores.log_mel(model, WAVES[:1])
        return {
            "states": hidden_states(model, WAVE).values,
            "layer": scores.layer_states(model, WAVES, layer=1),
            "score": score(WAVES),
            "slope": attribution.saliency(score, WAVES[:1]),
            "mel": mel,
            "by mel": attribution.saliency(scores.whisper_mel_score(model, IDS, [2, 3]), mel),
            "words": scores.whisper_word_scores(model, IDS, words)(WAVES),
            "written": torch.tensor(scores.whisper_ids(model, WAVE, longest=3)),
        }

    check(load_model(tmp_path / "small"), read, away)


def test_the_device_of_the_tests_holds_values_and_refuses_to_mix():
    with elsewhere():
        there = torch.tensor([1.0, 2.0]).to(DEVICE)
        assert there.device == DEVICE and (there * 2).device == DEVICE
        assert (there * 2).cpu().tolist() == [2.0, 4.0] and float(there.sum()) == 3.0
        assert torch.ones(2, device=DEVICE).add_(there).cpu().tolist() == [2.0, 3.0]
        with pytest.raises(MixedDevicesError):
            there + torch.ones(2)
        with pytest.raises(MixedDevicesError):
            torch.ones(2)[torch.tensor([0]).to(DEVICE)]
        assert there[torch.tensor([1])].cpu().tolist() == [2.0]  # as a GPU lets indices be here
        with pytest.raises((TypeError, RuntimeError)):
            there.numpy()
        leaf = torch.tensor([3.0, 4.0], requires_grad=True)
        (leaf.to(DEVICE) * there).sum().cpu().backward()
        assert leaf.grad.tolist() == [1.0, 2.0]
