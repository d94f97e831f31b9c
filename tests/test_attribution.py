"""Attribution on games and models whose truth is known."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from tiny import tiny_model

from speech_interp import attribution, commands, faithfulness, heads, targets, voice_changes
from speech_interp.attribution import Game, Window
from speech_interp.corpus import Interval, Utterance
from speech_interp.hidden_states import encoder_layers, encoder_of, hidden_states

METHODS = [
    attribution.leave_one_out,
    attribution.shapley_sampling,
    attribution.kernel_shap,
    attribution.lime,
]


def table_game(worth, count):
    """Return a game over `count` one-sample segments, scored by `worth(set of present ones)`."""

    def score(waves):
        present = [tuple(np.flatnonzero(w > 0.5)) for w in waves.numpy()]
        return torch.tensor([float(worth(set(map(int, p)))) for p in present])

    spans = tuple((k, k + 1) for k in range(count))
    return Game(score, torch.ones(count), spans, torch.zeros(count), at_once=3)


def exact_shapley(worth, count):
    """Return Shapley values by going through every order of the players."""
    values = np.zeros(count)
    orders = list(itertools.permutations(range(count)))
    for order in orders:
        present = set()
        for player in order:
            before = worth(present)
            present = present | {player}
            values[player] += worth(present) - before
    return torch.tensor(values / len(orders), dtype=torch.float32)


def glove_game(present):
    """One left glove (0), two right ones (1, 2): a pair is worth 6. Plus 1 for player 3 alone."""
    return 6.0 * (0 in present and bool(present & {1, 2})) + (3 in present)


ADDITIVE = torch.tensor([3.0, -1.0, 0.5, 2.0, 0.0])


def additive(present):
    return 4.0 + sum(float(ADDITIVE[k]) for k in present)


# Gradients


def linear_score():
    weight = torch.tensor([1.0, -2.0, 0.5, 3.0])
    return weight, lambda x: x @ weight


def test_gradient_methods_give_the_analytic_answer_for_a_linear_score():
    weight, score = linear_score()
    x = torch.tensor([[0.5, 1.0, -2.0, 0.25]])
    torch.testing.assert_close(attribution.saliency(score, x)[0], weight.abs())
    torch.testing.assert_close(attribution.input_x_gradient(score, x)[0], weight * x[0])
    explained, gap = attribution.integrated_gradients(score, x, baseline=torch.full_like(x, 0.1))
    torch.testing.assert_close(explained[0], weight * (x[0] - 0.1), atol=1e-5, rtol=0)
    assert gap < 1e-5
    smooth = attribution.smooth_grad(score, x, samples=4)
    torch.testing.assert_close(smooth[0], weight.abs())


def test_integrated_gradients_of_a_cube_are_known_and_complete():
    def cube(x):
        return (x**3).sum(1)

    x = torch.tensor([[1.0, -2.0, 3.0]])
    explained, gap = attribution.integrated_gradients(cube, x)
    torch.testing.assert_close(explained, x**3, atol=1e-4, rtol=0)
    assert gap < 1e-4


def test_the_completeness_gap_is_reported_and_shrinks_with_steps():
    def bent(x):
        return (40 * (x - 0.4)).sigmoid().sum(1)

    x = torch.tensor([[0.45, 0.9]])
    few = attribution.integrated_gradients(bent, x, steps=3)
    many = attribution.integrated_gradients(bent, x, steps=200)
    difference = float(bent(x) - bent(torch.zeros_like(x)))
    assert few[1] == pytest.approx(abs(float(few[0].sum()) - difference), abs=1e-5)
    assert many[1] < few[1] / 3


def test_smooth_grad_is_the_mean_gradient_around_the_input_and_seeded():
    def square(x):
        return (x**2).sum(1)

    x = torch.tensor([[1.0, -2.0, 3.0, 0.5]])
    smooth = attribution.smooth_grad(square, x, samples=400, noise=0.1, seed=1)
    torch.testing.assert_close(smooth, (2 * x).abs(), atol=0.1, rtol=0)
    state = torch.get_rng_state()
    again = attribution.smooth_grad(square, x, samples=400, noise=0.1, seed=1)
    assert torch.equal(smooth, again) and torch.equal(state, torch.get_rng_state())
    assert not torch.equal(smooth, attribution.smooth_grad(square, x, samples=400, seed=2))


# Games


def test_shapley_values_of_the_glove_game_are_the_textbook_ones():
    exact = exact_shapley(glove_game, 4)
    torch.testing.assert_close(exact, torch.tensor([4.0, 1.0, 1.0, 1.0]))
    game = table_game(glove_game, 4)
    sampled = attribution.shapley_sampling(game, orders=600)
    torch.testing.assert_close(sampled, exact, atol=0.35, rtol=0)
    regressed = attribution.kernel_shap(game, coalitions=400)
    torch.testing.assert_close(regressed, exact, atol=0.35, rtol=0)


@pytest.mark.parametrize("worth", [glove_game, additive])
def test_shapley_values_sum_to_what_all_are_worth_together(worth):
    count = 4 if worth is glove_game else 5
    game = table_game(worth, count)
    gain = worth(set(range(count))) - worth(set())
    for orders in (1, 7):
        assert float(attribution.shapley_sampling(game, orders=orders).sum()) == pytest.approx(gain)
    assert float(attribution.kernel_shap(game).sum()) == pytest.approx(gain, abs=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_in_an_additive_game_every_method_gives_each_its_worth(method):
    tolerance = 0.1 if method is attribution.lime else 1e-3  # LIME's lasso shrinks a little
    explained = method(table_game(additive, 5))
    torch.testing.assert_close(explained, ADDITIVE, atol=tolerance, rtol=0)


@pytest.mark.parametrize(("worth", "count"), [(glove_game, 4), (additive, 5)])
def test_exact_shapley_values_are_those_of_all_orders(worth, count):
    values = attribution.shapley_exact(table_game(worth, count))
    torch.testing.assert_close(values, exact_shapley(worth, count), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="game has 13 segments, expected at most 12"):
        attribution.shapley_exact(table_game(worth, 13))


def test_a_coalition_is_computed_once_whoever_asks():
    heard = []

    def worth(present):
        heard.append(frozenset(present))
        return glove_game(present)

    game = table_game(worth, 4)
    for method in METHODS:
        method(game)
    attribution.shapley_exact(game)
    faithfulness.random_curves(game)
    assert len(heard) == len(set(heard)) == 2**4


def test_a_score_of_several_columns_is_asked_about_one_without_new_passes():
    passes = []

    def score(waves):
        passes.append(len(waves))
        return torch.stack([waves.sum(1), waves @ torch.tensor([1.0, 0, 0])], dim=1)

    game = Game(score, torch.ones(3), tuple((k, k + 1) for k in range(3)), torch.zeros(3))
    assert attribution.leave_one_out(game.about(0)).tolist() == [1, 1, 1]
    before = sum(passes)
    assert attribution.leave_one_out(game.about(1)).tolist() == [1, 0, 0]
    assert sum(passes) == before


def test_leave_one_out_is_the_difference():
    game = table_game(glove_game, 4)
    assert attribution.leave_one_out(game).tolist() == [6.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("method", METHODS[1:])
def test_sampling_methods_are_seeded_and_leave_the_generators_alone(method):
    game = table_game(glove_game, 4)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = method(game, seed=3), method(game, seed=3)
    assert torch.equal(first, second)
    assert torch.equal(states[0], torch.get_rng_state())
    assert (states[1] == np.random.get_state()[1]).all()  # noqa: NPY002


def test_a_game_replaces_exactly_the_absent_segments():
    wave = np.random.default_rng(0).normal(size=16_000).astype(np.float32)
    segments = [Window("a", 0.1, 0.2), Window("b", 0.5, 0.75)]
    heard = []

    def score(waves):
        heard.append(waves)
        return waves.sum(1)

    game = attribution.make_game(score, wave, segments, replacement="noise", seed=4)
    game(torch.tensor([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0]]))
    whole, without_a, without_b = torch.cat(heard).numpy()
    assert (whole == wave).all()
    fill = attribution.replace(wave, "noise", seed=4)
    expected = wave.copy()
    expected[1600:3200] = fill[1600:3200]
    assert (without_a == expected).all()
    assert (without_b[8000:12000] == fill[8000:12000]).all()
    assert (without_b[:8000] == wave[:8000]).all() and (without_b[12000:] == wave[12000:]).all()


def test_replacements_are_what_they_are_called():
    wave = (0.1 + np.sin(np.arange(16_000) * 0.3)).astype(np.float32)
    assert not attribution.replace(wave, "silence").any()
    np.testing.assert_allclose(attribution.replace(wave, "mean"), wave.mean(), rtol=1e-6)
    assert attribution.replace(wave, "noise").std() == pytest.approx(wave.std(), rel=0.05)
    shaped = attribution.replace(wave, "shaped noise")
    spectra = [np.abs(np.fft.rfft(w))[1:-1] for w in (wave, shaped)]
    np.testing.assert_allclose(*spectra, rtol=1e-2, atol=1.0)
    assert abs(np.corrcoef(wave, shaped)[0, 1]) < 0.9
    with pytest.raises(ValueError, match="replacement is 'quiet', expected one of"):
        attribution.replace(wave, "quiet")


def test_noise_like_a_sound_has_its_loudness_and_is_seeded():
    x = torch.tensor(noise())[None]
    quiet = attribution.noise_like(x)
    assert quiet.shape == x.shape and float(quiet.std()) == pytest.approx(float(x.std()), rel=0.05)
    assert torch.equal(quiet, attribution.noise_like(x))
    assert not torch.equal(quiet, attribution.noise_like(x, seed=1))


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ([Window("a", 0.2, 0.2)], "segment 0 is empty"),
        ([Window("a", 0.1, 0.4), Window("b", 0.3, 0.5)], "segment 1 begins before segment 0 ends"),
        ([Window("a", 2.0, 2.5)], "segment 0 is empty"),
    ],
)
def test_impossible_segments_are_named(segments, message):
    with pytest.raises(ValueError, match=message):
        attribution.make_game(lambda w: w.sum(1), np.zeros(16_000, np.float32), segments)


def test_windows_cover_the_sound_without_gap_or_overlap():
    parts = attribution.windows(1.03, 0.1)
    assert parts[0].start_s == 0 and parts[-1].end_s == 1.03
    assert all(a.end_s == b.start_s for a, b in itertools.pairwise(parts))
    assert all(p.end_s - p.start_s > 0.04 for p in parts)


def test_a_sound_shorter_than_half_a_window_is_one_window():
    (part,) = attribution.windows(0.04, 0.1)
    assert (part.start_s, part.end_s) == (0, 0.04)


def test_a_game_over_a_wave_of_float64_gives_the_same_scores():
    wave = np.random.default_rng(0).normal(size=1600)
    scores = [
        attribution.make_game(lambda w: w.sum(1), x, attribution.windows(0.1, 0.02))(
            torch.tensor([[1.0, 0, 1, 0, 0], [0, 0, 0, 0, 0]])
        )
        for x in (wave, wave.astype(np.float32))
    ]
    torch.testing.assert_close(*scores)


# A planted cue: a burst of a tone decides


def sound_with_burst():
    """Return noise with a 1 kHz burst in the fifth of ten windows, and a score that hears it."""
    times_s = np.arange(16_000) / 16_000
    wave = np.random.default_rng(0).normal(0, 0.05, 16_000)
    burst = (times_s >= 0.4) & (times_s < 0.5)
    wave[burst] += 0.5 * np.sin(2 * np.pi * 1000 * times_s[burst])
    phase = torch.tensor(2 * np.pi * 1000 * times_s, dtype=torch.float32)
    tones = torch.stack([phase.sin(), phase.cos()])

    def score(waves):
        # Energy at 1 kHz in short windows, squashed: not linear, and of no use to look elsewhere.
        parts = (waves[:, None] * tones).unflatten(-1, (20, 800)).sum(-1)
        return torch.log1p(parts.square().sum(1)).sum(1)

    return wave.astype(np.float32), score


@pytest.mark.parametrize("replacement", ["silence", "noise", "mean"])
@pytest.mark.parametrize("method", METHODS)
def test_a_planted_burst_ranks_first_for_every_perturbation(method, replacement):
    wave, score = sound_with_burst()
    parts = attribution.windows(1.0, 0.1)
    game = attribution.make_game(score, wave, parts, replacement=replacement)
    assert int(method(game).argmax()) == 4


def test_a_planted_burst_ranks_first_for_gradients_that_claim_to_find_it():
    wave, score = sound_with_burst()
    inputs = torch.tensor(wave)[None]
    spans = [(1600 * k, 1600 * (k + 1)) for k in range(10)]
    explained, gap = attribution.integrated_gradients(score, inputs)
    for samples in (attribution.input_x_gradient(score, inputs), explained):
        mass, outside = attribution.pool_samples(samples[0], spans)
        assert int(mass.argmax()) == 4 and abs(outside) < 1e-3
    assert gap < 0.01 * float(score(inputs))
    kept = attribution.keep_segments(explained[0], spans, count=1)
    assert kept[6400:8000].all() and not kept[:6400].any() and not kept[8000:].any()


def test_pooling_preserves_the_mass_of_the_map():
    torch.manual_seed(0)
    samples = torch.randn(1000)
    sums, outside = attribution.pool_samples(samples, [(10, 200), (200, 640)])
    assert float(sums.sum()) + outside == pytest.approx(float(samples.sum()), abs=1e-4)
    assert float(sums[0]) == pytest.approx(float(samples[10:200].sum()), abs=1e-5)


# Faithfulness


def test_curves_of_an_additive_game_are_known():
    game = table_game(additive, 5)
    deleted = faithfulness.deletion_curve(game, ADDITIVE)
    torch.testing.assert_close(deleted, torch.tensor([8.5, 5.5, 3.5, 3.0, 3.0, 4.0]))
    inserted = faithfulness.insertion_curve(game, ADDITIVE)
    torch.testing.assert_close(inserted, torch.tensor([4.0, 7.0, 9.0, 9.5, 9.5, 8.5]))
    assert faithfulness.comprehensiveness(game, ADDITIVE, share=0.4) == pytest.approx(5.0)
    assert faithfulness.sufficiency(game, ADDITIVE, share=0.4) == pytest.approx(-0.5)


def test_the_true_order_beats_random_orders():
    game = table_game(additive, 5)
    random = faithfulness.random_curves(game, orders=40)
    assert random.shape == (40, 6)
    assert faithfulness.deletion_curve(game, ADDITIVE).mean() <= random.mean(1).min()
    inserted = faithfulness.random_curves(game, orders=40, insertion=True)
    assert faithfulness.insertion_curve(game, ADDITIVE).mean() >= inserted.mean(1).max()
    assert len({tuple(row.tolist()) for row in random}) > 5


def test_agreement_of_random_maps_is_the_share():
    torch.manual_seed(0)
    agreements = [faithfulness.top_agreement(torch.rand(100), torch.rand(100)) for _ in range(300)]
    assert np.mean(agreements) == pytest.approx(0.2, abs=0.02)
    scores = torch.rand(100)
    assert faithfulness.top_agreement(scores, 3 * scores) == 1
    with pytest.raises(ValueError, match="share is 0"):
        faithfulness.top_agreement(scores, scores, share=0)


def test_agreement_of_several_maps_is_the_mean_of_all_pairs():
    a, b = torch.arange(10.0), torch.arange(10.0).flip(0)
    assert faithfulness.mean_agreement([a, a, b]) == pytest.approx(1 / 3)
    for count in (3, 16, 79):
        torch.manual_seed(count)
        maps = torch.rand(60, count)
        chance = faithfulness.chance_agreement(count)
        assert faithfulness.mean_agreement(list(maps)) == pytest.approx(chance, abs=0.03)


# Targets on tiny models


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
    log_probs = targets.ctc_log_probs(model, wave)[0].detach().double()
    total = 0.0
    for path in itertools.product(range(6), repeat=len(log_probs)):
        merged = [label for label, _ in itertools.groupby(path)]
        if [label for label in merged if label != 0] == labels:
            total += float(log_probs[range(len(path)), list(path)].sum().exp())
    assert float(targets.ctc_score(model, labels)(wave)[0].detach()) == pytest.approx(
        np.log(total), rel=1e-4
    )


def test_ctc_alignment_is_the_best_of_all_paths():
    torch.manual_seed(0)
    for labels in ([2, 2, 3], [1], [3, 1], []):
        log_probs = torch.randn(6, 4).log_softmax(-1)
        best, best_path = -np.inf, None
        for path in itertools.product(range(4), repeat=6):
            merged = [label for label, _ in itertools.groupby(path)]
            if [label for label in merged if label != 0] == labels:
                value = float(log_probs[range(6), list(path)].sum())
                if value > best:
                    best, best_path = value, path
        places = targets.ctc_align(log_probs, labels).tolist()
        written = [labels[p] if p >= 0 else 0 for p in places]
        assert tuple(written) == best_path
        assert sorted({p for p in places if p >= 0}) == list(range(len(labels)))
    with pytest.raises(ValueError, match="needs at least 5 frames, the sound has 4"):
        targets.ctc_align(torch.randn(4, 3).log_softmax(-1), [1, 2, 1, 2, 1])


def test_ctc_scores_prepare_the_wave_as_the_processor_does():
    model, wave = ctc_model(), noise()
    inputs = model.processor(wave, sampling_rate=16_000, return_tensors="pt").input_values
    with torch.no_grad():
        expected = model.module(inputs).logits.log_softmax(-1)[0]
    actual = targets.ctc_log_probs(model, torch.tensor(wave)[None])[0]
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=0)
    score = targets.ctc_token_score(model, 3, slice(4, 9))(torch.tensor(wave)[None])
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
    both = targets.head_scores(model, two, [2, 0], layer=3)(waves)
    each = zip(two, [2, 0], strict=True)
    alone = [targets.head_score(model, head, k, layer=3)(waves) for head, k in each]
    torch.testing.assert_close(both, torch.stack(alone, dim=1))
    states = targets.layer_states(model, waves[:1], layer=3)
    expected = hidden_states(model, noise(0)).values[3]
    torch.testing.assert_close(states[0], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("family", ["wav2vec2", "hubert"])
def test_scores_of_a_batch_are_those_of_its_waves(family):
    model, head = tiny_model(family), mean_head()
    waves = torch.tensor(np.stack([noise(0), noise(1)]))
    score = targets.head_score(model, head, 1, layer=2)
    both = score(waves)
    one_by_one = torch.cat([score(wave[None]) for wave in waves])
    torch.testing.assert_close(both, one_by_one, atol=1e-5, rtol=0)
    assert (both < 0).all() and abs(float(both[0] - both[1])) > 1e-6


@pytest.mark.parametrize("family", ["wav2vec2", "hubert"])
def test_convolution_features_are_an_input_level_of_their_own(family):
    model, head = tiny_model(family), mean_head()
    wave = torch.tensor(noise())[None]
    score = targets.head_score(model, head, 1, layer=2)
    of_features = targets.on_features(model, score, wave)
    features = targets.convolution_features(model, wave).detach()
    torch.testing.assert_close(of_features(features), score(wave), atol=1e-5, rtol=0)
    other = torch.tensor(noise(5))[None]
    baseline = targets.convolution_features(model, other).detach()
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
        for k, layer in enumerate(targets.encoder_layers(model), start=1)
    ]
    for layer in (3, 1, 2):  # a pass that ended early leaves nothing behind for the next
        ran.clear()
        states = targets.layer_states(model, wave, layer=layer)
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
    states = targets.layer_states(model, torch.tensor(wave)[None], layer=2)
    torch.testing.assert_close(states[0], hidden_states(model, wave).values[2], atol=1e-4, rtol=0)


@pytest.mark.parametrize("layer", [0, 4, -1])
def test_a_layer_that_is_none_of_the_transformers_is_named(layer):
    with pytest.raises(ValueError, match=rf"layer is {layer}, expected 1 to 3"):
        targets.layer_states(tiny_model("hubert"), torch.tensor(noise())[None], layer=layer)


def test_sound_that_whisper_would_cut_off_is_refused():
    with pytest.raises(ValueError, match=r"31\.0 s, Whisper takes at most 30 s"):
        targets.log_mel(tiny_model("whisper"), torch.zeros(1, 31 * 16_000))


def test_silence_is_no_baseline_for_a_model_that_ignores_loudness():
    # The score stays the same on the way to silence: nothing is left to integrate. The gap tells.
    model, head = tiny_model("wav2vec2"), mean_head()
    score, wave = targets.head_score(model, head, 1, layer=2), torch.tensor(noise())[None]
    _, gap = attribution.integrated_gradients(score, wave)
    difference = abs(float(score(wave) - score(torch.zeros_like(wave))))
    assert gap > 0.5 * difference


def test_mel_equals_whisper_feature_extractor_and_lets_gradients_through():
    model, wave = tiny_model("whisper"), noise(count=24_000)
    expected = model.processor(wave, sampling_rate=16_000, return_tensors="pt").input_features
    waves = torch.tensor(wave)[None].requires_grad_()
    actual = targets.log_mel(model, waves)
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=0)
    (gradient,) = torch.autograd.grad(actual.sum(), waves)
    assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0


def test_whisper_score_is_the_sum_of_the_chances_token_by_token():
    model, wave, ids = tiny_model("whisper"), noise(count=8000), [3, 7, 9, 12, 5]
    mel = targets.log_mel(model, torch.tensor(wave)[None])
    expected = 0.0
    for position in (2, 4):
        with torch.no_grad():
            prefix = torch.tensor([ids[:position]])
            logits = model.module(input_features=mel, decoder_input_ids=prefix).logits[0, -1]
        expected += float(logits.log_softmax(-1)[ids[position]])
    with torch.no_grad():
        score = targets.whisper_score(model, ids, [2, 4])(torch.tensor(wave)[None])
    assert float(score) == pytest.approx(expected, abs=1e-4)
    with pytest.raises(ValueError, match=r"positions are \[0, 2\], expected 1 to 4"):
        targets.whisper_score(model, ids, [0, 2])


def test_words_that_whisper_wrote_hold_their_tokens_and_no_signs():
    pieces = {5: " night", 6: " arm", 7: "or", 8: ",", 9: "."}
    tokenizer = SimpleNamespace(all_special_ids=[1, 2], decode=lambda ids: pieces[ids[0]])
    model = SimpleNamespace(processor=SimpleNamespace(tokenizer=tokenizer))
    words = targets.whisper_words(model, [1, 5, 8, 6, 7, 9, 2])
    assert [(w.label, w.places, w.tokens) for w in words] == [
        ("night", (1,), (5,)),
        ("armor", (3, 4), (6, 7)),
    ]


def test_whisper_word_scores_are_single_scores_and_take_rivals():
    model, wave, ids = tiny_model("whisper"), torch.tensor(noise(count=8000))[None], [3, 7, 9, 12]
    words = [
        targets.Written("a", (1,), (7,)),
        targets.Written("b", (2, 3), (9, 12)),
        targets.Written("rival", (3,), (20,)),
    ]
    with torch.no_grad():
        scores = targets.whisper_word_scores(model, ids, words)(wave)[0]
        one, two = (targets.whisper_score(model, ids, p)(wave) for p in ([1], [2, 3]))
        swapped = targets.whisper_score(model, [3, 7, 9, 20], [3])(wave)
    torch.testing.assert_close(scores, torch.cat([one, two, swapped]), atol=1e-5, rtol=0)


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
        module=lambda waves: SimpleNamespace(logits=logits.expand(len(waves), -1, -1)),
        processor=SimpleNamespace(tokenizer=tokenizer, do_normalize=True),
    )
    first, second = targets.ctc_words(model, noise())
    assert (first.label, first.places, first.tokens) == ("AB", (1, 2, 4), (2, 2, 3))
    assert (second.label, second.places, second.tokens) == ("CC", (7, 9), (4, 4))
    scores = targets.ctc_word_scores(model, [first, second])(torch.tensor(noise())[None])
    torch.testing.assert_close(scores, logits.log_softmax(-1)[0, 1, 2].expand(1, 2))


# Output heads and commands


def keyword(word, voice, count, seed):
    wave = np.random.default_rng(seed).normal(0, 0.1, count).astype(np.float32)
    end_s = count / 16_000 - 0.1
    spans = (Interval(word, 0.1, end_s),)
    phones = (Interval("AA", 0.1, 0.2), Interval("B", 0.2, end_s), Interval("SIL", end_s, 9.0))
    info = {"word": word, "voice": voice}
    return Utterance(word, word, words=spans, phones=phones, info=info, audio=wave)


def keyword_set():
    words = [(w, v) for w in ("left", "right", "stop", "go", "yes") for v in ("x", "y")]
    return [keyword(w, v, 8000 + 100 * k, k) for k, (w, v) in enumerate(words)]


def test_commands_hold_one_deciding_word_where_they_say():
    made = commands.make_commands(keyword_set(), ["left", "right"], count=12, seed=1)
    assert {len(u.wave) for u in made} == {25_600}
    assert [u.info["class"] for u in made] == [0, 1] * 6
    assert len({u.info["target"] for u in made}) > 1
    for u in made:
        labels = [w.label for w in u.words]
        assert labels[u.info["target"]] == ("left", "right")[u.info["class"]]
        assert sum(label in ("left", "right") for label in labels) == 1
        assert {part.split("-")[0] for part in u.id.split("+")} == set(labels)
    again = commands.make_commands(keyword_set(), ["left", "right"], count=12, seed=1)
    assert [u.text for u in made] == [u.text for u in again]
    with pytest.raises(ValueError, match=r"duration_s is 1.0: 3 words do not fit"):
        commands.make_commands(keyword_set(), ["left"], count=1, duration_s=1.0)


def test_a_burst_keeps_all_else_that_is_known_of_the_utterance():
    plain = replace(keyword_set()[0], synthesiser="flite", subset="keywords", split="test")
    marked = commands.add_burst(plain, Interval("burst", 0.1, 0.2))
    as_before = replace(marked, id=plain.id, info=plain.info, audio=plain.audio)
    assert as_before.audio is plain.audio and repr(as_before) == repr(plain)


def test_joined_words_are_the_sound_of_the_words():
    parts = keyword_set()[:3]
    joined = commands.join(parts, duration_s=2.0)
    for part, word in zip(parts, joined.words, strict=True):
        start, own = round(word.start_s * 16_000), round(part.words[0].start_s * 16_000)
        assert (joined.wave[start : start + 4000] == part.wave[own : own + 4000]).all()
    assert [p.label for p in joined.phones] == ["AA", "B"] * 3
    assert joined.phones[2].start_s == pytest.approx(joined.words[1].start_s)
    gaps = [b.start_s - a.end_s for a, b in itertools.pairwise(joined.words)]
    assert gaps[0] == pytest.approx(gaps[1], abs=1e-3)
    with pytest.raises(ValueError, match="too long"):
        commands.join(parts, duration_s=0.5)


def test_a_burst_is_where_and_as_loud_as_asked():
    plain = commands.join(keyword_set()[:2], duration_s=1.6)
    marked = commands.add_burst(plain, Interval("burst", 0.5, 0.6), frequency_hz=2000, level=2)
    added = marked.wave - plain.wave
    assert not added[:8000].any() and not added[9600:].any()
    assert loudest_hz(added[8000:9600]) == pytest.approx(2000, rel=0.02)
    assert np.abs(added).max() == pytest.approx(2 * np.sqrt(2) * plain.wave.std(), rel=0.02)
    assert marked.info["burst"].start_s == 0.5 and "burst" not in plain.info


def test_a_head_finds_a_unit_that_fires_for_one_frame_and_seeds_differ():
    torch.manual_seed(0)
    states, labels = torch.randn(256, 30, 8), torch.arange(256) % 2
    states[labels == 1, torch.randint(30, (128,)), 3] += 12
    head, again, other = (
        heads.train_head(states[:192], labels[:192], seed=s, passes=20) for s in (0, 0, 1)
    )
    assert heads.accuracy(head, states[192:], labels[192:]) > 0.9
    assert torch.equal(head(states), again(states))
    assert not torch.equal(head(states), other(states))
    shuffled = labels[torch.randperm(256)]
    guess = heads.train_head(states[:192], shuffled[:192], passes=20)
    assert heads.accuracy(guess, states[192:], labels[192:]) < 0.75


# Randomising a model


def test_the_cascade_takes_layers_of_the_twin_from_the_top():
    model, twin = tiny_model("wav2vec2", seed=0), tiny_model("wav2vec2", seed=1)
    for first in (4, 3, 2, 1, 0):
        changed = faithfulness.randomised_from(model, twin, first)
        for number in (1, 2, 3):
            source = twin if number >= first else model
            new, old = (encoder_layers(m)[number - 1].state_dict() for m in (changed, source))
            assert all(torch.equal(new[key], old[key]) for key in old)
        front = encoder_of(changed).feature_extractor.state_dict()
        expected = encoder_of(twin if first == 0 else model).feature_extractor.state_dict()
        assert all(torch.equal(front[key], expected[key]) for key in expected)
    fresh = tiny_model("wav2vec2", seed=0)
    for a, b in zip(model.module.parameters(), fresh.module.parameters(), strict=True):
        assert torch.equal(a, b), "the model itself stays as it is"


# Changes of the voice


def tone(frequency_hz, count=16_000):
    return np.sin(2 * np.pi * frequency_hz * np.arange(count) / 16_000).astype(np.float32)


def loudest_hz(wave):
    return np.abs(np.fft.rfft(wave)).argmax() * 16_000 / len(wave)


def test_pitch_and_rate_change_one_thing_each():
    wave = tone(440)
    higher = voice_changes.shift_pitch(wave, 12)
    assert len(higher) == len(wave) and loudest_hz(higher) == pytest.approx(880, rel=0.01)
    faster = voice_changes.change_rate(wave, 1.25)
    assert len(faster) == pytest.approx(12_800, abs=2)
    assert loudest_hz(faster) == pytest.approx(440, rel=0.01)


def test_noise_and_reverberation_are_as_strong_as_asked():
    wave = tone(440)
    added = voice_changes.add_noise(wave, 10) - wave
    assert 10 * np.log10((wave**2).mean() / (added**2).mean()) == pytest.approx(10, abs=0.2)
    click = np.zeros(16_000, np.float32)
    click[1000] = 1
    room = voice_changes.add_reverberation(click, 0.5)
    early, late = (np.abs(room[a : a + 800]).mean() for a in (1010, 1010 + 4000))
    assert 20 * np.log10(early / late) == pytest.approx(30, abs=6)
    assert room[:1000].max() == 0


def test_mean_change_is_before_minus_after():
    wave = tone(440)
    change = voice_changes.mean_change(lambda w: w.abs().mean(1), wave, [0.5 * wave, 0 * wave])
    assert float(change) == pytest.approx(np.abs(wave).mean() * 0.75, rel=1e-5)
    both = voice_changes.mean_change(
        lambda w: torch.stack([w.abs().mean(1), w.amax(1)], dim=1), wave, [0.5 * wave, 0 * wave]
    )
    assert both.shape == (2,) and float(both[0]) == pytest.approx(float(change))
