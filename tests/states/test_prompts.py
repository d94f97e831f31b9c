"""The prompt that scores start from against what `generate` gives the decoder, seen by a hook."""

import json

import numpy as np
import pytest
import torch
from checkpoint_folders import isolate, save_checkpoint

from speech_interp.models.checkpoint_files import CheckpointError
from speech_interp.models.loading import load_model
from speech_interp.speech.corpus import Interval, Utterance, load_corpus
from speech_interp.states import scores
from speech_interp.states.hidden_states import model_inputs
from speech_interp.states.prompts import whisper_prompt
from speech_interp.studies import homophones

START, EN, ZH, TRANSLATE, TRANSCRIBE, NO_TIMES = 257, 258, 259, 260, 261, 265
WAVE = np.random.default_rng(0).normal(size=8000).astype(np.float32)


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Loads a tiny multilingual Whisper; `settings` are added to its generation config."""
    isolate(monkeypatch, tmp_path / "home")

    def load(*, multilingual=True, settings=None, drop=(), **options):
        folder = tmp_path / "small"
        save_checkpoint(folder, "whisper", multilingual=multilingual)
        file = folder / "generation_config.json"
        kept = {k: v for k, v in json.loads(file.read_text()).items() if k not in drop}
        file.write_text(json.dumps(kept | (settings or {})))
        return load_model(folder, **options)

    return load


def prompt_of_generate(model, wave) -> list[int]:
    """What the decoder was given before the first token that it wrote."""
    given = []
    hook = model.module.model.decoder.register_forward_pre_hook(
        lambda module, args, kwargs: given.append(kwargs["input_ids"][0].tolist()), with_kwargs=True
    )
    model.module.generate(model_inputs(model, wave), max_new_tokens=3)
    hook.remove()
    return max(given, key=len)  # before it the language is asked for, after it comes token by token


@pytest.mark.parametrize(
    "language, token", [("en", EN), ("zh", ZH), ("Chinese", ZH), ("<|en|>", EN)]
)
@pytest.mark.parametrize("task, number", [("transcribe", TRANSCRIBE), ("translate", TRANSLATE)])
def test_prompt_holds_the_language_and_task_that_were_asked_for(
    load, language, token, task, number
):
    model = load(language=language, task=task)
    assert whisper_prompt(model) == [START, token, number, NO_TIMES]
    assert prompt_of_generate(model, WAVE) == whisper_prompt(model)
    assert list(model.processor.tokenizer.prefix_tokens) == whisper_prompt(model)
    code = {EN: "en", ZH: "zh"}[token]
    assert (model.language, model.task) == (code, task)
    assert str(model).endswith(f"; language {code}, task {task}")


@pytest.mark.parametrize("token", [EN, ZH])
def test_without_a_language_it_is_detected_in_the_sound_and_the_line_says_so(load, token):
    model = load()
    with torch.no_grad():  # the planted truth: this model hears this language in every sound
        model.module.proj_out.weight = torch.nn.Parameter(model.module.proj_out.weight.clone())
        model.module.model.decoder.layer_norm.bias.fill_(1.0)
        model.module.proj_out.weight[token] = 9.0
    assert whisper_prompt(model, WAVE) == [START, token, TRANSCRIBE, NO_TIMES]
    assert prompt_of_generate(model, WAVE) == whisper_prompt(model, WAVE)
    assert str(model).endswith("; language detected in each sound, task transcribe")
    with pytest.raises(ValueError, match=r"wave is None and the model has no language"):
        whisper_prompt(model)


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({"language": "zh"}, [START, ZH, TRANSCRIBE, NO_TIMES]),
        ({"language": "<|zh|>", "task": "translate"}, [START, ZH, TRANSLATE, NO_TIMES]),
        ({"forced_decoder_ids": [[1, ZH], [2, TRANSLATE], [3, NO_TIMES]]}, None),
        ({"return_timestamps": True, "language": "en"}, [START, EN, TRANSCRIBE, NO_TIMES]),
    ],
)
def test_prompt_of_a_checkpoint_that_was_saved_with_a_language(load, settings, expected):
    drop = ("task",) if "forced_decoder_ids" in settings else ()
    model = load(settings=settings, drop=drop)
    assert whisper_prompt(model) == (expected or [START, ZH, TRANSLATE, NO_TIMES])
    assert prompt_of_generate(model, WAVE) == whisper_prompt(model)


def test_old_prompt_may_leave_the_language_open(load):
    model = load(settings={"forced_decoder_ids": [[1, None], [2, TRANSCRIBE]]}, drop=("task",))
    assert prompt_of_generate(model, WAVE) == whisper_prompt(model, WAVE)
    assert (model.language, model.task) == (None, "transcribe")


def test_old_prompt_gives_way_to_the_language_that_is_asked_for(load):
    forced = [[1, EN], [2, TRANSCRIBE], [3, NO_TIMES]]
    model = load(settings={"forced_decoder_ids": forced}, drop=("task",), language="zh")
    assert prompt_of_generate(model, WAVE) == whisper_prompt(model)
    assert whisper_prompt(model) == [START, ZH, TRANSCRIBE, NO_TIMES]


def test_english_model_has_neither(load):
    model = load(multilingual=False, language="en")
    assert whisper_prompt(model) == [START, NO_TIMES] == prompt_of_generate(model, WAVE)
    assert (model.language, model.task) == (None, None) and "language" not in str(model)
    with pytest.raises(ValueError, match="language='zh': small knows English only"):
        load(multilingual=False, language="zh")
    with pytest.raises(ValueError, match="task='translate': small knows English only"):
        load(multilingual=False, task="translate")


def test_unknown_language_and_task_are_named(load, tmp_path):
    with pytest.raises(ValueError, match="language='fr': small knows en, zh"):
        load(language="fr")
    with pytest.raises(ValueError, match="task='sing': expected one of"):
        load(task="sing")
    with pytest.raises(ValueError, match=r"language='en', task=None: small \(whisper, head='base'"):
        load(language="en", head="base")
    with pytest.raises(CheckpointError, match="forced_decoder_ids holds the token 262"):
        load(settings={"forced_decoder_ids": [[1, 262]]}, drop=("task",))


def test_scores_start_from_the_prompt_of_generate(load):
    model = load(language="zh")
    model.module.generation_config.suppress_tokens = list(range(256, 1767))  # letters only
    ids = scores.whisper_ids(model, WAVE, longest=3)
    assert ids[:4] == prompt_of_generate(model, WAVE) and len(ids) == 4 + 3 + 1
    with torch.no_grad():
        score = scores.whisper_score(model, ids, [4, 5, 6])(torch.tensor(WAVE)[None])
        written = model.module.generate(
            model_inputs(model, WAVE), max_new_tokens=3, output_logits=True,
            return_dict_in_generate=True,
        )  # fmt: skip
    steps = [logits[0].log_softmax(-1) for logits in written.logits]
    expected = sum(float(step[id]) for step, id in zip(steps, ids[4:7], strict=True))
    assert float(score) == pytest.approx(expected, abs=1e-4)


def test_choice_between_spellings_starts_from_the_prompt(load):
    words = tuple(Interval(w, k / 10, (k + 1) / 10) for k, w in enumerate(["a", "b"]))
    info = {"cue": 0, "target": 1, "pair": "b/c", "spelling": "b"}
    utterance = Utterance(id="u", text="a b.", words=words, info=info, audio=WAVE)
    for model in (load(language="zh", task="translate"), load()):
        start = homophones.whisper_choice(model, utterance).start
        assert start == prompt_of_generate(model, WAVE) and len(start) == 4


@pytest.mark.network
def test_real_multilingual_whisper_writes_behind_its_prompt():
    try:
        model = load_model("openai/whisper-base", language="en")
    except CheckpointError as error:
        pytest.skip(f"whisper-base is out of reach: {str(error).splitlines()[-2].strip()}")
    sentence = load_corpus("sentences")[0]
    ids = scores.whisper_ids(model, sentence.wave)
    assert ids[:4] == prompt_of_generate(model, sentence.wave) == [50258, 50259, 50359, 50363]
    words = scores.whisper_words(model, ids)
    with torch.no_grad():
        by_word = scores.whisper_word_scores(model, ids, words)(torch.tensor(sentence.wave)[None])
    assert float(by_word.mean()) > -1  # it is sure of what it wrote
