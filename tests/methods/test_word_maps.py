"""Maps in one call against layers that are really run again, and against the long way."""

from types import SimpleNamespace

import numpy as np
import pytest
import reference_context_mixing as reference
import torch
from spoken_words import spoken, tiny_whisper
from tiny import tiny_model

from speech_interp.methods.context_mixing import raw_attention, record_attention, value_zeroing
from speech_interp.methods.word_maps import word_frames, word_maps
from speech_interp.show.player import listen
from speech_interp.speech.corpus import Interval, Utterance
from speech_interp.states.hidden_states import model_inputs

WORDS = (Interval("one", 0.1, 0.3), Interval("two", 0.3, 0.42), Interval("three", 0.5, 0.7))


def noise(words=WORDS, seconds=0.8):
    wave = np.random.default_rng(0).normal(0, 0.1, round(16_000 * seconds)).astype(np.float32)
    return Utterance(id="u", text="One two, three!", words=words, audio=wave)


def whisper():
    """A tiny Whisper whose features are random numbers, the same for every sound."""
    model, mel = tiny_whisper(), torch.randn(1, 8, 200, generator=torch.Generator().manual_seed(1))

    class Processor(SimpleNamespace):
        def __call__(self, wave, **options):
            return {"input_features": mel}

    model.processor = Processor(**vars(model.processor))
    return model


@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "wav2vec2-stable"])
def test_encoder_maps_are_those_of_layers_run_again_without_the_values_of_a_word(family):
    model, utterance = tiny_model(family), noise()
    maps = word_maps(model, utterance)
    assert list(maps) == ["encoder"] and maps["encoder"].words == WORDS
    # Frame k is centred on 200 + 320 k samples; a word has the frames centred in it.
    centres_s = (200 + 320 * np.arange(39)) / 16_000
    frames = [[k for k, t in enumerate(centres_s) if w.start_s <= t < w.end_s] for w in WORDS]
    base = getattr(model.module, "wav2vec2", model.module)
    layers, sound = base.encoder.layers, model_inputs(model, utterance.wave)
    calls = reference.layer_calls(model.module, layers, input_values=sound)
    for number, (layer, call) in enumerate(zip(layers, calls, strict=True)):
        norm = base.encoder.layer_norm if "stable" in family and number == 2 else None
        outside = [k for k in range(39) if not any(k in word for word in frames)]
        found = reference.value_zeroing(
            layer, call, layer.attention.v_proj, [*frames, outside], norm
        )
        rows = torch.stack([found[word].mean(0) for word in frames]).float()
        expected = rows[:, :3] / rows[:, :3].sum(1, keepdim=True)
        got = maps["encoder"]
        torch.testing.assert_close(got.scores[number], expected, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(
            got.pause[number], rows[:, 3] / rows.sum(1), atol=1e-4, rtol=1e-3
        )
        assert not got.padding.any()


@pytest.mark.parametrize("measure", [raw_attention, value_zeroing])
def test_whisper_has_three_maps_whose_rows_are_the_positions_that_write(measure):
    model, utterance = whisper(), spoken(["da", "b", "abe"], cue=0, target=2)
    maps = word_maps(model, utterance, measure)
    assert list(maps) == ["encoder", "decoder", "cross"]
    ids = torch.tensor([[1, 2, 7, 4, 5, 4, 5, 8]])  # two start tokens, then d a, b, a b e
    steps = record_attention(
        model.module,
        input_features=model_inputs(model, utterance.wave),
        decoder_input_ids=ids,
        use_cache=False,
    )
    read, writes = [[2, 3], [4], [5, 6, 7]], [1, 3, 4]
    frames = [list(range(a, a + 10)) for a in (5, 15, 25)]
    pause, padding = [*range(5), *range(35, 40)], list(range(40, 100))
    keys = {"encoder": (frames, pause, padding), "decoder": (read, [0, 1], [])}
    for stack, rows in {"encoder": frames, "decoder": writes, "cross": writes}.items():
        words, *others = keys.get(stack, keys["encoder"])
        groups = [torch.tensor(g, dtype=torch.long) for g in (*words, *others)]
        for number, step in enumerate(s for s in steps if s.stack == stack):
            by_row = measure(step, groups=groups)
            table = torch.stack([by_row[row].reshape(-1, 5).mean(0) for row in rows])
            expected = table[:, :3] / table[:, :3].sum(1, keepdim=True)
            if stack == "decoder":
                expected[torch.ones(3, 3).triu() == 1] = torch.nan
            got = maps[stack]
            torch.testing.assert_close(got.scores[number], expected, equal_nan=True)
            torch.testing.assert_close(got.pause[number], table[:, 3] / table.sum(1))
            torch.testing.assert_close(got.padding[number], table[:, 4] / table.sum(1))


def test_words_are_spelled_by_the_text_or_else_by_their_labels():
    model, utterance = whisper(), spoken(["da", "b"], cue=0, target=1)
    said = word_maps(model, utterance)["decoder"].scores
    other = Utterance(id="u", text="Da E.", words=utterance.words, audio=utterance.audio)
    longer = Utterance(id="u", text="da b e", words=utterance.words, audio=utterance.audio)
    torch.testing.assert_close(
        word_maps(model, longer)["decoder"].scores, said, equal_nan=True, rtol=0, atol=0
    )
    cross = [word_maps(model, u)["cross"].scores for u in (utterance, longer, other)]
    torch.testing.assert_close(cross[0], cross[1], rtol=0, atol=0)
    # The rows are positions before the words: the spelling of the last word is not read there.
    torch.testing.assert_close(cross[0], cross[2])
    first = Utterance(id="u", text="E b.", words=utterance.words, audio=utterance.audio)
    assert not torch.allclose(word_maps(model, first)["cross"].scores, cross[0])


def test_maps_are_heard():
    utterance = spoken(["da", "b"], cue=0, target=1)
    maps = word_maps(whisper(), utterance)
    page = listen(utterance, **maps["encoder"].shown(layer=1))._repr_html_()
    assert (
        "share of row, encoder layer 1" in page and f"{maps['encoder'].scores[0, 1, 0]:.4g}" in page
    )
    assert "encoder layer 2" in maps["encoder"].shown()["score_name"]
    assert "no value" in listen(utterance, **maps["decoder"].shown())._repr_html_()
    with pytest.raises(ValueError, match="layer is 3, expected 1 to 2 in the cross"):
        maps["cross"].shown(3)


def test_what_cannot_be_mapped_says_why():
    model = tiny_model("wav2vec2")
    with pytest.raises(ValueError, match="u: no words"):
        word_maps(model, noise(words=()))
    short = (Interval("a", 0.1, 0.3), Interval("it", 0.3, 0.305))
    with pytest.raises(
        ValueError, match=r"u: 'it' at 0\.300-0\.305 s holds the centre of no frame"
    ):
        word_frames(model, noise(words=short))
    with pytest.raises(ValueError, match="wav2vec2-conformer"):
        word_maps(tiny_model("wav2vec2-conformer"), noise())
