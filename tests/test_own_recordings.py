"""What the pages promise: methods run on recordings of which only the text was known."""

import json
import re
import sys
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile as sf
import torch

from speech_interp import load_corpus, load_model
from speech_interp.methods.attribution import leave_one_out
from speech_interp.methods.cka import cka_matrix
from speech_interp.methods.context_mixing import value_zeroing, word_map
from speech_interp.methods.explain_word import explain_word
from speech_interp.methods.games import make_game
from speech_interp.methods.probing import classify, grouped_folds
from speech_interp.methods.word_maps import word_maps
from speech_interp.show.player import listen
from speech_interp.speech import voice_changes
from speech_interp.speech.corpus import Interval, Utterance, phone_symbol
from speech_interp.speech.recordings import from_file
from speech_interp.speech.textgrid import write_textgrid
from speech_interp.states.alignment import align
from speech_interp.states.attention import record_attention
from speech_interp.states.features import mfcc
from speech_interp.states.hidden_states import hidden_states, model_inputs, stream_hidden_states
from speech_interp.states.items import collect
from speech_interp.states.scores import ctc_word_scores, ctc_words

TEMPLATE = Path(__file__).parents[1] / "notebooks" / "your_own_speech.ipynb"


@pytest.fixture(scope="module")
def ctc():
    return load_model("facebook/wav2vec2-base-960h")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory, ctc):
    """Four sentences by three voices, as files; words from their texts, no phones."""
    folder, found = tmp_path_factory.mktemp("recordings"), []
    voices = ("slt-flite", "rms-flite", "awb-flite")
    spoken = [u for u in load_corpus("sentences") if u.info["voice"] in voices]
    texts = sorted({u.text for u in spoken})[:4]
    for number, u in enumerate(u for u in spoken if u.text in texts):
        path = folder / f"{number}.wav"
        sf.write(path, np.stack([u.wave, u.wave], axis=1), 16_000)
        found.append(align(ctc, from_file(path, text=u.text, speaker=u.speaker)))
    assert len(found) == 12
    return found


def test_words_are_probed_and_compared(ctc, recordings):
    items = collect(ctc, recordings, "words", progress=False)
    folds = grouped_folds(items.speakers)
    probe = classify(items.states, items.labels, folds, clusters=(items.speakers, items.texts))
    chance = max(np.unique(items.labels, return_counts=True)[1]) / len(items)
    assert probe.score().max() > chance + 0.2  # the words of a sentence, by an unheard speaker
    assert probe.interval().shape == (2, ctc.layer_count + 1)
    cka = cka_matrix(list(items.states))
    np.testing.assert_allclose(np.diag(cka), 1)


def test_words_are_mapped_and_explained(ctc, recordings):
    u = recordings[0]
    steps = record_attention(ctc.module, input_values=model_inputs(ctc, u.wave))
    states = collect(ctc, [u], "words", progress=False)
    frames = [
        torch.arange(int(a * 50), max(int(a * 50) + 1, int(b * 50)))
        for a, b in zip(states.start_s, states.end_s, strict=True)
    ]
    scores = word_map(steps[-1], value_zeroing, targets=frames, sources=frames).scores
    assert scores.shape == (len(u.words), len(u.words)) and torch.isfinite(scores).all()
    game = make_game(ctc_word_scores(ctc, ctc_words(ctc, u.wave)[:1]), u.wave, u.words)
    assert torch.isfinite(leave_one_out(game.about(0))).all()


def test_the_short_ways_give_what_the_long_ways_give(ctc, recordings):
    u = recordings[0]
    steps = record_attention(ctc.module, input_values=model_inputs(ctc, u.wave))
    seen = hidden_states(ctc, u.wave)
    frames = [torch.arange(*seen.frames_in(w).indices(len(seen.times_s))) for w in u.words]
    between = set(range(len(seen.times_s))) - set(torch.cat(frames).tolist())
    parts = {"targets": frames, "sources": frames, "pause": torch.tensor(sorted(between))}
    short = word_maps(ctc, u)["encoder"]
    for layer, step in enumerate(steps):
        long = word_map(step, value_zeroing, **parts)
        torch.testing.assert_close(short.scores[layer], long.scores)
        torch.testing.assert_close(short.pause[layer], long.pause)
    words = ctc_words(ctc, u.wave)
    game = make_game(ctc_word_scores(ctc, words), u.wave, u.words)
    explained = explain_word(ctc, u, 0)
    torch.testing.assert_close(explained.values, leave_one_out(game.about(0)))
    assert explained.written == tuple(w.label for w in words)
    assert all(len(curve) == len(u.words) + 1 for curve in explained.curves.values())
    assert "<svg" in listen(u, **short.shown())._repr_html_()


def test_whisper_is_mapped_and_explained_in_one_call_each():
    """Its own sound is what a clear word of a sentence hangs on."""
    whisper = load_model("openai/whisper-tiny.en")
    said = "Both brothers breathed the smooth northern air."
    spoken = [u for u in load_corpus("sentences") if u.text == said]
    u = next(u for u in spoken if u.info["voice"] == "awb-flite")
    three = u.words[3:6]  # Whisper takes its time
    explained = explain_word(whisper, u, "smooth", segments=three, orders=1)
    assert three[int(explained.values.argmax())].label == "smooth"
    assert explained.below("loudest first") > 0.2
    maps = word_maps(whisper, u)
    shape = (whisper.module.config.decoder_layers, len(u.words), len(u.words))
    assert maps["decoder"].scores.shape == maps["cross"].scores.shape == shape
    # The last cross-attention finds the sound of the word that it is about to write.
    found = maps["cross"].scores[-1].argmax(1) == torch.arange(len(u.words))
    assert found.float().mean() > 0.6


@pytest.mark.parametrize(
    "use",
    [
        lambda ctc, wave: hidden_states(ctc, wave).values,
        lambda ctc, wave: next(stream_hidden_states(ctc, wave)).values,
        lambda ctc, wave: mfcc(wave).values,
        lambda ctc, wave: ctc_words(ctc, wave),
        lambda ctc, wave: make_game(lambda w: w.sum(1), wave, [], replacement="noise").fill,
        lambda ctc, wave: Utterance(id="u", text="", audio=wave).wave,
        lambda ctc, wave: voice_changes.shift_pitch(wave, 2.0),
        lambda ctc, wave: voice_changes.add_noise(wave, 10.0),
        lambda ctc, wave: voice_changes.add_reverberation(wave, 0.2),
        lambda ctc, wave: voice_changes.mean_change(lambda w: w.sum(1), wave, [wave]),
        lambda ctc, wave: listen(wave)._repr_html_()[-2000:-1000],
    ],
)
def test_a_wave_may_be_a_tensor_and_draws_no_warning(ctc, recordings, use):
    wave = recordings[0].wave[:16_000]
    expected = use(ctc, wave)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = use(ctc, torch.tensor(wave))
    assert type(found) is type(expected)
    same = found == expected
    assert same if isinstance(same, bool) else same.all()


def template(*names, **replaced):
    """The names that cells of the template make, after `replaced` lines of its form are changed."""
    cells = {c["id"]: "".join(c["source"]) for c in json.loads(TEMPLATE.read_text())["cells"]}
    made = {}
    for name in ("setup-code", "setup-more", *names):
        code = re.sub(r"^(\s*)%.*$", r"\1pass", cells[name], flags=re.MULTILINE)
        for key, value in replaced.items():
            code = re.sub(rf"^{key} = .*$", f"{key} = {value!r}", code, flags=re.MULTILINE)
        exec(compile(code, name, "exec"), made)
    return made


READING = ("yours", "upload", "examples", "read")
#: From the items to the probe, without the cells that draw and those of Whisper alone.
MEASURING = ("letters", "alignment", "models", "items", "planted", "probe", "cka", "abx")


@pytest.fixture
def folder(tmp_path):
    """Three files whose tiers have names of their own and whose phones are no ARPABET."""
    voices = {"slt-flite": "anna", "rms-flite": "ben", "awb-flite": "carl"}
    text = "The boy enjoyed the noise of the toy train."
    for u in load_corpus("sentences"):
        if u.text == text and u.info["voice"] in voices:
            path = tmp_path / f"{voices[u.info['voice']]}_x.wav"
            sf.write(path, u.wave, 16_000)
            ipa = tuple(Interval(phone_symbol(p.label), p.start_s, p.end_s) for p in u.phones)
            tiers = {"mots": u.words, "sons": ipa}
            write_textgrid(path.with_suffix(".TextGrid"), tiers, end_s=u.duration_s)
    return tmp_path


def test_the_template_reads_its_own_three_recordings():
    made = template(*READING)
    assert [(u.id, u.speaker) for u in made["spoken"]] == [
        ("kal_1", "kal"), ("rms_1", "rms"), ("slt_1", "slt"),
    ]  # fmt: skip
    originals = [u for u in load_corpus("sentences") if u.synthesiser == "flite"]
    for u in made["spoken"]:
        said = [u.speaker, *(w.label for w in u.words)]
        (original,) = (o for o in originals if [o.speaker, *(w.label for w in o.words)] == said)
        assert np.abs(u.wave - original.wave).max() < 1e-4
        assert [p.label for p in u.phones] == [p.label for p in original.phones]
    assert made["word"] in made["spoken"][0].text.split()


def test_the_template_takes_a_folder_of_other_tiers_and_labels(folder):
    """Every cell that measures runs on it, with a model that has no decoder."""
    (folder / "notes.wav").write_bytes(b"no sound")
    form = {"folder": str(folder), "tiers": {"words": "mots", "phones": "sons"}}
    made = template(*READING, *MEASURING, name="facebook/hubert-base-ls960", **form)
    assert [u.speaker for u in made["spoken"]] == ["anna", "ben", "carl"]
    assert list(made["spoken"].skipped) == ["notes.wav"]
    assert "ɔɪ" in made["phone"] and not made["lost"]
    chance = 1 / len(set(made["phone"]))
    # The same sentence thrice: phones are named by unheard voices, shuffled labels are not.
    assert made["probes"]["model"].score().max() > 0.5 > 5 * chance
    assert np.mean(made["null"]) < 0.2 and made["told"] == 1
    assert made["wrong"]["model"].min() < 25 and abs(made["wrong_null"] - 50) < 10
    assert (made["alike"]["model"] > made["level"]).all()
    assert np.median(np.concatenate(made["found"])) < 40


def test_the_template_offers_an_upload_on_colab(folder, monkeypatch):
    sent = {path.name: path.read_bytes() for path in folder.iterdir()}
    colab, files = ModuleType("google.colab"), ModuleType("google.colab.files")
    colab.files, files.upload = files, lambda: sent
    monkeypatch.setitem(sys.modules, "google", ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    made = template(*READING, tiers={"words": "mots", "phones": "sons"})
    assert [u.id for u in made["spoken"]] == ["anna_x", "ben_x", "carl_x"]
    files.upload = dict  # nothing chosen: the recordings of the book
    assert [u.id for u in template(*READING)["spoken"]] == ["kal_1", "rms_1", "slt_1"]
