"""What real Whisper makes of the corpus: `python -m training.corpus.verify`, in the book's
environment.

It writes `whisper.json` beside this file, for the card: word error rates and word times by voice,
and for every homophone target whether it is spelled right, which also goes into the `info` of the
utterances. What Whisper has heard is kept under `.cache/corpus`, so a run that was cut off goes on;
a sound that was made anew is heard anew.
"""

import hashlib
import json
import re
from collections import defaultdict

import numpy as np
import pyarrow.parquet as pq
import torch
from scipy.ndimage import median_filter
from tqdm import tqdm

from speech_interp.models.loading import load_model
from speech_interp.speech.corpus import load_corpus
from training.corpus import pack
from training.corpus.build import CACHE, DATA
from training.corpus.measured import WHISPER
from training.corpus.timing import match
from training.pretraining.ctc import edit_distance

NAME = "openai/whisper-tiny.en"
#: Heads whose cross-attention follows the sound, as OpenAI gives them for tiny.en.
ALIGNMENT_HEADS = [[1, 0], [2, 0], [2, 5], [3, 0], [3, 1], [3, 2], [3, 3], [3, 4]]
NO_TIMESTAMPS = 50362  # of the English models
BATCH = 6
SENTENCES = range(3, 122, 4)  # the 30 test sentences; of the vocal tracts all 52 are heard
DRAWS = 2000  # bootstrap samples behind an interval
DIGITS = dict(zip("0123456789", "zero one two three four five six seven eight nine".split(),
                  strict=True))  # fmt: skip


def heard(utterances):
    """For each utterance the words that Whisper writes, with their (start_s, end_s)."""
    path = CACHE / "whisper.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text().splitlines() if path.exists() else []
    known = dict(map(json.loads, lines))
    missing = [u for u in utterances if _key(u) not in known]
    if missing:
        model = load_model(NAME)
        with path.open("a") as file, tqdm(total=len(missing), unit="utterance") as bar:
            for start in range(0, len(missing), BATCH):
                batch = missing[start : start + BATCH]
                for utterance, words in zip(batch, _transcribe(model, batch), strict=True):
                    known[_key(utterance)] = words
                    file.write(json.dumps([_key(utterance), words]) + "\n")
                file.flush()
                bar.update(len(batch))
    return [known[_key(u)] for u in utterances]


def _key(utterance):
    return f"{utterance.id} {hashlib.sha256(utterance.audio).hexdigest()[:12]}"


def _transcribe(model, batch):
    whisper, tokenizer = model.module, model.processor.tokenizer
    inputs = model.processor([u.wave for u in batch], sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        whisper.set_attn_implementation("sdpa")  # fast, but keeps no attention
        encoded = whisper.get_encoder()(inputs.input_features)
        written = whisper.generate(encoder_outputs=encoded, max_new_tokens=48)
        whisper.set_attn_implementation("eager")
        for number, utterance in enumerate(batch):
            ids = [t for t in written[number].tolist() if t < tokenizer.eos_token_id]
            prompt = [whisper.config.decoder_start_token_id, NO_TIMESTAMPS]
            attention = whisper(
                encoder_outputs=(encoded.last_hidden_state[number : number + 1],),
                decoder_input_ids=torch.tensor([[*prompt, *ids]]),
                output_attentions=True,
            ).cross_attentions
            frames = len(utterance.wave) // 320
            heads = torch.stack([attention[a][0, b, 1:, :frames] for a, b in ALIGNMENT_HEADS])
            yield _words(tokenizer, ids, _start_times_s(heads.numpy()))


def _start_times_s(attention):
    """When each row of cross-attention (head, token, frame) begins: dynamic time warping.

    As OpenAI's Whisper does it: each head normalised over the tokens, a median over 7 frames,
    then the cheapest monotone path. Row k is that of the query that writes token k.
    """
    weights = attention / attention.sum(2, keepdims=True)
    weights = (weights - weights.mean(1, keepdims=True)) / (weights.std(1, keepdims=True) + 1e-9)
    cost = -median_filter(weights, (1, 1, 7), mode="reflect").mean(0)
    total = np.full((cost.shape[0] + 1, cost.shape[1] + 1), np.inf)
    total[0, 0] = 0
    for i, j in np.ndindex(cost.shape):
        total[i + 1, j + 1] = cost[i, j] + min(total[i, j], total[i, j + 1], total[i + 1, j])
    i, j = cost.shape
    starts = np.zeros(i)
    while i and j:
        starts[i - 1] = (j - 1) / 50
        i, j = min(((i - 1, j - 1), (i - 1, j), (i, j - 1)), key=lambda at: total[at])
    return starts


def _words(tokenizer, ids, starts_s):
    """[word, start_s, end_s]: tokens joined up to the next space; the last row is the end."""
    words = []
    for k, token in enumerate(ids):
        text = tokenizer.decode([token])
        if text.startswith(" ") or not words:
            words.append([text.strip(), float(starts_s[k]), 0.0])
        else:
            words[-1][0] += text
        if re.search(r"\w", text):  # punctuation is no sound
            words[-1][2] = float(starts_s[k + 1])
    return words


def transcribe(model, waves):
    """What Whisper writes for each wave."""
    inputs = model.processor(list(waves), sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        ids = model.module.generate(input_features=inputs.input_features, max_new_tokens=48)
    return model.processor.batch_decode(ids, skip_special_tokens=True)


def plain(word):
    """A word without case and punctuation; a digit in letters."""
    bare = re.sub(r"[^\w']", "", word.lower())
    return DIGITS.get(bare, bare)


def error_rate(utterances, transcripts):
    """Words to change, add or take away, over the words that were said; and its 95 % interval.

    The interval is a bootstrap over sentences: another choice of sentences, the same voice.
    """
    counts = []  # (errors, words said) of each sentence
    for utterance, transcript in zip(utterances, transcripts, strict=True):
        truth = [plain(word) for word in utterance.text.split()]
        errors = edit_distance(truth, [plain(word) for word, *_ in transcript])
        counts.append((errors, len(truth)))
    counts = np.array(counts)
    draws = np.random.default_rng(0).integers(len(counts), size=(DRAWS, len(counts)))
    errors, said = counts[draws].sum(axis=1).T
    low, high = np.quantile(errors / said, [0.025, 0.975])
    return counts[:, 0].sum() / counts[:, 1].sum(), (low, high)


def deviations_s(utterances, transcripts):
    """How far Whisper's start and end of each word it heard right are from the truth."""
    found = []
    for utterance, transcript in zip(utterances, transcripts, strict=True):
        truth = [plain(word) for word in utterance.text.split()]
        written = [plain(word) for word, *_ in transcript]
        for k, link in enumerate(match(truth, written)):
            if link is not None and truth[link] == written[k]:
                word, (_, start_s, end_s) = utterance.words[link], transcript[k]
                found.append((start_s - word.start_s, end_s - word.end_s))
    return np.array(found)


def right(utterance, transcript):
    """Whether the target is written as it is spelled in the text."""
    truth = [plain(word) for word in utterance.text.split()]
    written = [plain(word) for word, *_ in transcript]
    links = match(truth, written)
    return any(
        link == utterance.info["target"] and written[k] == truth[link]
        for k, link in enumerate(links)
    )


def by_voice():
    """Word error rate and deviations of the word times in each voice."""
    groups = defaultdict(list)
    for subset in ("sentences", "articulation"):
        for u in load_corpus(subset):
            if subset == "articulation" or u.info["sentence"] in SENTENCES:
                groups[u.info["voice"]].append(u)
    every = [u for group in groups.values() for u in group]
    transcripts = dict(zip((u.id for u in every), heard(every), strict=True))
    report = {}
    for voice, group in groups.items():
        written = [transcripts[u.id] for u in group]
        off_s = deviations_s(group, written)
        rate, interval = error_rate(group, written)
        report[voice] = {
            "utterances": len(group),
            "word_error_rate": round(float(rate), 3),
            "word_error_rate_interval": [round(float(end), 3) for end in interval],
            "words_timed": len(off_s),
            "starts_within_100_ms": share_within(off_s[:, 0]),
            "ends_within_100_ms": share_within(off_s[:, 1]),
            "starts_within_100_ms_without_delay": share_within(
                off_s[:, 0] - np.median(off_s[:, 0])
            ),
            "median_start_deviation_ms": round(float(1000 * np.median(off_s[:, 0]))),
            "median_end_deviation_ms": round(float(1000 * np.median(off_s[:, 1]))),
        }
    return report


def share_within(off_s, most_s=0.1):
    return round(float(np.mean(np.abs(off_s) < most_s)), 3)


def homophones():
    """{id: whether the target is spelled right} over the whole subset."""
    utterances = load_corpus("homophones")
    return {
        u.id: right(u, transcript)
        for u, transcript in zip(utterances, heard(utterances), strict=True)
    }


def annotate(spelled):
    """`whisper_right` in the `info` of each homophone; the sound stays byte for byte as it is."""
    for path in DATA.glob("homophones-*.parquet"):
        rows = pq.read_table(path).to_pylist()
        for row in rows:
            info = json.loads(row["info"]) | {"whisper_right": spelled[row["id"]]}
            row["info"] = json.dumps(info, ensure_ascii=False, sort_keys=True)
        pack.write(path, rows)


if __name__ == "__main__":
    torch.manual_seed(0)
    report = {"voices": by_voice()}
    WHISPER.write_text(json.dumps(report, indent=1) + "\n")
    report["homophones"] = homophones()
    WHISPER.write_text(json.dumps(report, indent=1) + "\n")
    annotate(report["homophones"])
