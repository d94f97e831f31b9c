"""Every public function that takes a model, called once: the list that other tests go through.

A `Case` reads tensors from a loaded model and names the functions that it calls. What a model is
not made for is refused with a ValueError: any other error is a fault. The same cases fill the table
of families, compare half precision with float32, and put the model on another device. `listed()`
reads the package, so that a new function cannot be forgotten.
"""

import ast
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import transformers as hf
from checkpoint_folders import LETTERS, save_whisper
from tiny import tiny_model

from speech_interp.methods import (
    alignment_heads,
    attention_edits,
    attribution,
    context_mixing,
    decoder_lens,
    explain_word,
    faithfulness,
    games,
    head_patterns,
    lenses,
    skipped_layers,
    word_maps,
)
from speech_interp.models.families import family_of
from speech_interp.speech.corpus import Interval, Track, Utterance
from speech_interp.states import class_scores, frames, scores, text_scores
from speech_interp.states import hidden_states as states
from speech_interp.states.alignment import align
from speech_interp.states.attention import attention_modules, record_attention
from speech_interp.states.items import collect
from speech_interp.states.layer_parts import parts_of
from speech_interp.states.prompts import whisper_prompt
from speech_interp.states.short_window import short_window
from speech_interp.studies import articulators, homophones, padding, word_rows
from speech_interp.studies.small_classifiers import Head

PACKAGE = Path(__file__).parents[1] / "speech_interp"
WAVE = np.random.default_rng(0).normal(0.05, 0.2, 9600).astype(np.float32)
WAVES = torch.tensor(np.stack([WAVE, WAVE[::-1]]))
WORDS = (Interval("a", 0.0, 0.3), Interval("b", 0.3, 0.6))
UTTERANCE = Utterance(
    id="u", text="a b", speaker="s", words=WORDS, phones=(Interval("AA", 0.0, 0.3), WORDS[1]),
    tracks={"f0": Track(np.linspace(0, 1, 61) ** 2, 100.0, "Hz")}, audio=WAVE,
    info={"cue": 0, "target": 1, "pair": "b/c", "spelling": "b"},
)  # fmt: skip
GROUPS = [torch.arange(1), torch.arange(1, 4)]

Read = Callable[[SimpleNamespace], dict[str, torch.Tensor]]


@dataclass(frozen=True)
class Case:
    """One use of a model. `head`: "base", "ctc", "seq2seq" or "classification"."""

    column: str  # of the table of families
    head: str
    calls: tuple[str, ...]  # functions, as module.function
    read: Read


CASES: list[Case] = []
# They give no number of a model, or are called before there is one.
NO_NUMBERS = (
    "modules.head_words",
    "modules.in_precision",
    "whisper_language.settle_language",
    "processors.extractor_of",
    "processors.tokenizer_of",
    "rsa_regression.regress_rdms",  # its models are matrices
)


def case(column: str, head: str, *calls: str) -> Callable[[Read], Read]:
    def add(read: Read) -> Read:
        CASES.append(Case(column, head, calls, read))
        return read

    return add


def listed() -> set[str]:
    """Every public function of the package with an argument that is a model, as module.function."""
    return {
        f"{path.stem}.{node.name}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
        for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        if argument.arg in ("model", "models", "module", "twin")
    }


@cache
def model_with(name: str, head: str) -> SimpleNamespace:
    """The tiny model `name` of `tiny.FAMILIES` with a head and, where it writes, a tokenizer.

    Raises ValueError where transformers has no such head for the family.
    """
    tiny = tiny_model(name)
    if name.startswith("whisper") and head == "seq2seq":
        with tempfile.TemporaryDirectory() as folder:
            tiny.module = save_whisper(Path(folder), multilingual=True).eval()
            tiny.processor = hf.WhisperProcessor.from_pretrained(folder)
        tiny.module.generation_config.language = "en"
        tiny.processor.tokenizer.unk_token = "<|endoftext|>"
    elif head != "base":
        config = tiny.module.config
        config.vocab_size, config.pad_token_id = len(LETTERS), 0
        config.classifier_proj_size, config.id2label = 8, {0: "a", 1: "b"}
        auto = {
            "ctc": hf.AutoModelForCTC,
            "seq2seq": hf.AutoModelForSpeechSeq2Seq,
            "classification": hf.AutoModelForAudioClassification,
        }[head]
        torch.manual_seed(1)
        tiny.module = auto.from_config(config).eval()
    if head == "ctc":
        tiny.processor = SpeechProcessor(tiny.processor)
    with torch.no_grad():
        for parameter in tiny.module.parameters():  # norms and biases that are not the identity
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return SimpleNamespace(**vars(tiny), name=name)


class SpeechProcessor:
    """A feature extractor with letters beside it."""

    def __init__(self, feature_extractor):
        self.feature_extractor = feature_extractor
        with tempfile.TemporaryDirectory() as folder:
            vocabulary = Path(folder) / "vocab.json"
            vocabulary.write_text(json.dumps({letter: i for i, letter in enumerate(LETTERS)}))
            self.tokenizer = hf.Wav2Vec2CTCTokenizer(str(vocabulary))

    def __call__(self, wave, **options):
        return self.feature_extractor(wave, **options)


def sound_of(model) -> dict:
    return {family_of(model.family).inputs: states.model_inputs(model, WAVE)}


# Every encoder


@case(
    "hidden states", "base", "hidden_states.hidden_states", "hidden_states.stream_hidden_states",
    "hidden_states.model_inputs", "hidden_states.encoder_of", "hidden_states.encoder_layers",
    "hidden_states.device_of", "frames.frame_grid",
)  # fmt: skip
def of_states(model):
    found = states.hidden_states(model, WAVE)
    assert len(states.encoder_layers(model)) == len(found.values) - 1
    assert frames.frame_grid(model).count(len(WAVE)) == found.values.shape[1]
    assert states.model_inputs(model, WAVE).device.type == states.device_of(model).type
    pieces = states.stream_hidden_states(model, np.tile(WAVE, 4), window_s=1.0, context_s=0.2)
    return {"whole": found.values, "pieces": torch.cat([p.values for p in pieces], dim=1)}


@case("short window", "base", "short_window.short_window")
def of_short_window(model):
    return {"states": short_window(model, window_s=2.0)(WAVE).values}


@case(
    "probing", "base", "items.collect", "articulators.track_frames", "word_maps.word_frames",
    "head_patterns.speech_frames", "word_rows.places",
)  # fmt: skip
def of_items(model):
    found = collect(model, [UTTERANCE], "words", progress=False).states
    tracked = articulators.track_frames(model, [UTTERANCE], ["f0"])
    words, _, _ = word_maps.word_frames(model, UTTERANCE)
    assert word_rows.places(model, UTTERANCE)["encoder"]["targets"][0].tolist() == words[1].tolist()
    assert words[1].max() < head_patterns.speech_frames(model, UTTERANCE)["speech_count"]
    return {"words": torch.as_tensor(found), "frames": torch.as_tensor(tracked.states)}


@case(
    "mixing", "base", "attention.record_attention", "layer_parts.parts_of", "word_maps.word_maps"
)  # fmt: skip
def of_mixing(model):
    found = {}
    assert len(parts_of(states.encoder_of(model))) == len(states.encoder_layers(model))
    for step in record_attention(states.encoder_of(model), **sound_of(model)):
        for measure in (
            context_mixing.raw_attention,
            context_mixing.attention_norm,
            context_mixing.attention_norm_with_residual,
            context_mixing.value_zeroing,
        ):
            values = measure(step, rows=torch.arange(3), groups=GROUPS)
            found[f"{step.layer} {measure.__name__}"] = values
        found[f"{step.layer} values"] = step.transformed_values()[:, :4]
        found[f"{step.layer} norms"] = context_mixing.value_norms(step)[:, :4]
    if model.family != "whisper":  # whose decoder comes with it: below
        found["words"] = word_maps.word_maps(model, UTTERANCE)["encoder"].scores
    return found


@case("patterns", "base", "head_patterns.encoder_attention", "head_patterns.collect_patterns")
def of_patterns(model):
    steps, known = head_patterns.encoder_attention(model, UTTERANCE)
    found = head_patterns.collect_patterns(model, [UTTERANCE])
    weights = steps[-1].weights(torch.arange(3))[:, :, : known["speech_count"]]
    return {"weights": weights} | {
        n: torch.as_tensor(v).nan_to_num() for n, v in found.values.items()
    }


@case(
    "edits", "base", "attention.attention_modules", "attention_edits.all_heads",
    "attention_edits.heads_ablated", "attention_edits.attention_edited",
    "attention_edits.attention_averaged", "attention_edits.frames_in_order",
)  # fmt: skip
def of_edits(model):
    encoder, found = states.encoder_of(model), {}
    heads = attention_edits.all_heads(encoder)
    assert len(attention_modules(encoder)) == len(states.encoder_layers(model))
    for by in ("mean", "zero"):
        with attention_edits.heads_ablated(encoder, heads[:1], by=by):
            found[by] = states.hidden_states(model, WAVE).values
    for name, edit in {
        "windowed": attention_edits.windowed(2),
        "keys": attention_edits.only_keys(10),
        "reused": attention_edits.reused([2]),
    }.items():
        with attention_edits.attention_edited(encoder, edit):
            found[name] = states.hidden_states(model, WAVE).values
    with attention_edits.attention_averaged(encoder):
        found["averaged"] = states.hidden_states(model, WAVE).values
    with attention_edits.frames_in_order(model, np.arange(10)[::-1].copy()):
        found["order"] = states.hidden_states(model, WAVE).values
    return found


@case(
    "attribution", "base", "scores.layer_states", "scores.head_score", "scores.head_scores",
    "scores.prepared_inputs", "hidden_states.placed",
)  # fmt: skip
def of_attribution(model):
    torch.manual_seed(0)
    layer = scores.layer_states(model, WAVES, layer=2)
    head = Head(layer.detach().float().cpu(), 2).eval()
    score = scores.head_score(model, head, 1, layer=2)
    game = games.make_game(score, WAVE, games.windows(0.6, 0.2))
    worth = attribution.leave_one_out(game)
    return {
        "layer": layer.detach(),
        "score": score(WAVES).detach(),
        "saliency": attribution.saliency(score, WAVES[:1]),
        "worth": worth,
        "deleted": faithfulness.deletion_curve(game, worth),
        "inputs": scores.prepared_inputs(model, WAVES).cpu(),
    }


@case(
    "features",
    "base",
    "hidden_states.convolutions_of",
    "scores.convolution_features",
    "scores.on_features",
)
def of_features(model):
    features = scores.convolution_features(model, WAVES[:1]).detach()
    through = scores.on_features(
        model, lambda waves: scores.layer_states(model, waves, layer=1).mean((1, 2)), WAVES[:1]
    )
    return {"features": features, "slope": attribution.saliency(through, features)}


@case("padding", "base", "padding.padding_change")
def of_padding(model):
    options = ({}, {"norm_of_speech": True}, {"attend_to_speech": True})
    found = [padding.padding_change(model, WAVE, 0.2, **o) for o in options]
    return {"changes": torch.tensor(found)}


@case("randomised", "base", "faithfulness.randomised_from")
def of_randomised(model):
    twin = tiny_model(model.name, seed=5)
    twin.module.to(next(model.module.parameters()))
    changed = faithfulness.randomised_from(model, twin, 2)
    return {"states": states.hidden_states(changed, WAVE).values}


# Encoders with a CTC head


@case(
    "ctc lens", "ctc", "lenses.ctc_lens", "lenses.final_norm", "lenses.signs_of", "frames.head_grid"
)  # fmt: skip
def of_ctc_lens(model):
    found = lenses.ctc_lens(model, WAVE).log_probs
    assert frames.head_grid(model).count(len(WAVE)) == found.shape[1]
    with torch.no_grad():  # the last layer is what the model itself says
        own = model.module(**sound_of(model)).logits[0].float().log_softmax(-1).cpu()
    torch.testing.assert_close(found[-1], own, atol=1e-5, rtol=1e-5)
    return {"lens": found}


@case(
    "ctc scores", "ctc", "scores.ctc_log_probs", "scores.ctc_score", "scores.ctc_token_score",
    "scores.ctc_words", "scores.ctc_word_scores", "text_scores.ctc_quality",
    "text_scores.target_ids", "alignment.align", "explain_word.explain_word",
)  # fmt: skip
def of_ctc_scores(model):
    log_probs = scores.ctc_log_probs(model, WAVES)
    words = [scores.Written("a", (1, 2), (7, 8)), scores.Written("b", (4,), (9,))]
    score = scores.ctc_score(model, text_scores.target_ids(model, UTTERANCE))
    heard = scores.ctc_words(model, WAVE)
    if heard and len({word.label for word in heard}) == len(heard):
        explain_word.explain_word(model, UTTERANCE, 0)
    aligned = align(model, UTTERANCE).words
    return {
        "log probs": log_probs.detach(),
        "score": score(WAVES).detach(),
        "saliency": attribution.saliency(score, WAVES[:1]),
        "token": scores.ctc_token_score(model, 7, slice(2, 5))(WAVES).detach(),
        "words": scores.ctc_word_scores(model, words)(WAVES).detach(),
        "quality": torch.tensor(text_scores.ctc_quality(model, UTTERANCE)[:1]),
        "aligned": torch.tensor([word.end_s - word.start_s > 0 for word in aligned]).float(),
    }


# Classifiers


@case(
    "classes", "classification", "class_scores.class_names", "class_scores.class_log_probs",
    "class_scores.class_score",
)  # fmt: skip
def of_classes(model):
    assert class_scores.class_names(model) == ["a", "b"]
    score = class_scores.class_score(model, "b")
    return {
        "classes": class_scores.class_log_probs(model, WAVES).detach(),
        "saliency": attribution.saliency(score, WAVES[:1]),
    }


# Whisper with its decoder

IDS = [257, 258, 261, 265, 70, 80, 90, 256]


@case(
    "decoder lens", "seq2seq", "decoder_lens.decoder_lens", "decoder_lens.word_chances",
    "decoder_lens.window_states", "decoder_lens.encoder_outputs", "decoder_lens.true_ids",
    "decoder_lens.read_words", "decoder_lens.decoder_words", "decoder_lens.logit_lens",
    "skipped_layers.skipped_layers",
)  # fmt: skip
def of_decoder_lens(model):
    outputs = decoder_lens.encoder_outputs(model, WAVE)
    ids = decoder_lens.true_ids(model, WAVE, "a b")
    written = decoder_lens.decoder_lens(model, WAVE, longest=2)
    assert len(written.ids) == len(outputs) == len(states.encoder_layers(model)) + 1
    return {
        "window": decoder_lens.window_states(model, WAVE)[:, :40],
        "outputs": outputs[:, :40].detach().float().cpu(),
        "chances": torch.as_tensor(decoder_lens.word_chances(model, WAVE, "a b").log_probs),
        "logits": decoder_lens.logit_lens(model, WAVE, IDS),
        "read": torch.as_tensor(decoder_lens.read_words(model, outputs[-1:], ids).log_probs),
        "by layer": torch.as_tensor(decoder_lens.decoder_words(model, WAVE, "a b").log_probs),
    } | {
        f"without {stack} layers": torch.as_tensor(
            skipped_layers.skipped_layers(model, WAVE, "a b", stack=stack).log_probs
        )
        for stack in skipped_layers.STACKS
    }


@case(
    "decoder scores", "seq2seq", "scores.whisper_ids", "scores.whisper_words", "scores.tokens_of",
    "scores.whisper_score", "scores.whisper_mel_score", "scores.whisper_word_scores",
    "scores.log_mel", "prompts.whisper_prompt", "text_scores.whisper_log_prob",
    "explain_word.explain_word",
)  # fmt: skip
def of_decoder_scores(model):
    assert scores.whisper_ids(model, WAVE, longest=2)[:4] == whisper_prompt(model) == IDS[:4]
    words = [scores.Written("a", (4,), (70,)), scores.Written("b", (5, 6), (80, 90))]
    assert scores.whisper_words(model, [*IDS[:4], *scores.tokens_of(model, "ab"), 256])
    score = scores.whisper_score(model, IDS, [4, 5])
    mel = scores.log_mel(model, WAVES[:1])
    return {
        "score": score(WAVES).detach(),
        "saliency": attribution.saliency(score, WAVES[:1]),
        "mel": attribution.saliency(scores.whisper_mel_score(model, IDS, [4]), mel),
        "words": scores.whisper_word_scores(model, IDS, words)(WAVES).detach(),
        "text": torch.tensor(text_scores.whisper_log_prob(model, UTTERANCE)),
    }


@case(
    "decoder attention", "seq2seq", "attention.record_attention", "word_maps.word_maps",
    "alignment_heads.teacher_forced", "alignment_heads.timing_errors_ms",
    "homophones.whisper_choice", "homophones.log_odds", "word_rows.read_rows",
)  # fmt: skip
def of_decoder_attention(model):
    choice = homophones.whisper_choice(model, UTTERANCE)
    measures = {"zeroing": context_mixing.value_zeroing}
    (row,) = word_rows.read_rows(model, [UTTERANCE], measures, progress=False)
    odds = homophones.log_odds(model, row.states, choice, [choice.prefix()])
    steps, _ = alignment_heads.teacher_forced(model, UTTERANCE)
    words = [scores.Written("a", (5,), (70,)), scores.Written("b", (7,), (80,))]
    assert alignment_heads.timing_errors_ms(model, UTTERANCE, steps, words).shape[0] == 2
    found = {f"{m} {stack}": value for (m, stack), value in row.scores.items()}
    maps = word_maps.word_maps(model, UTTERANCE)
    found |= {f"map {stack}": maps[stack].scores.nan_to_num() for stack in maps}
    return found | {"odds": torch.as_tensor(odds), "states": row.states[:, :40].float()}
