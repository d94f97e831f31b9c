"""What Opus costs: `python -m training.corpus.codec`, in the book's environment.

Sentences are synthesised again, and each is measured before and after the codec: spectrum, MFCCs,
a linear probe of phones that was trained on uncoded sound, and Whisper. It writes `codec.json`
beside this file, for the card.
"""

import io
import json

import numpy as np
import soundfile as sf
from scipy.signal import stft
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from speech_interp.models.loading import load_model
from speech_interp.states.features import mfcc
from training.corpus import items, pack
from training.corpus.build import spoken
from training.corpus.measured import CODEC
from training.corpus.verify import NAME, plain, transcribe
from training.pretraining.ctc import edit_distance

VOICES = ("kal-flite", "rms-flite", "slt-flite", "en-us-espeak")
TRAIN, TEST = range(0, 120, 4), range(3, 122, 8)
WHISPER_SENTENCES = range(3, 122, 24)


def twins(numbers):
    """(text, phones, wave before the codec, wave after it) for sentences of `VOICES`."""
    todo = [
        item
        for item in items.sentences()
        if item.voice in VOICES and item.info["sentence"] in numbers
    ]
    for item, speech in spoken(todo):
        wave, _, phones, _, _ = pack.trim(speech)
        wave = pack.level(wave, phones)
        yield item.text, phones, wave, decoded(pack.encode(wave))


def decoded(encoded):
    return sf.read(io.BytesIO(encoded), dtype="float32")[0]


def log_spectral_distance_db(one, other, low_hz, high_hz):
    """Root mean square difference of the spectra in dB, over frames within 50 dB of the loudest."""
    powers = []
    for wave in (one, other):
        hertz, _, values = stft(wave, 16000, nperseg=512, noverlap=352)
        powers.append(np.abs(values[(hertz >= low_hz) & (hertz < high_hz)]) ** 2 + 1e-10)
    level = powers[0].sum(0)
    loud = level > 1e-5 * level.max()
    difference = 10 * np.log10(powers[0][:, loud] / powers[1][:, loud])
    return float(np.sqrt(np.mean(difference**2)))


def phone_means(phones, wave):
    """The mean MFCCs (with slopes) of each phone, and the labels."""
    states = mfcc(wave)
    values, times_s = states.values[0].numpy(), states.times_s
    means, labels = [], []
    for phone in phones:
        inside = (times_s >= phone.start_s) & (times_s < phone.end_s)
        if phone.label != "SIL" and inside.any():
            means.append(values[inside].mean(0))
            labels.append(phone.label)
    return np.array(means), labels


def measure():
    train = [phone_means(phones, wave) for _, phones, wave, _ in twins(TRAIN)]
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    probe.fit(np.concatenate([x for x, _ in train]), [y for _, labels in train for y in labels])
    spread = np.concatenate([x for x, _ in train])[:, :13].std(0)

    bytes_of = {"opus": 0, "flac": 0, "pcm": 0}
    low_db, high_db, shift, uncoded, coded = [], [], [], [], []
    tested = list(twins(TEST))
    for _, phones, wave, after in tqdm(tested, "codec", unit="utterance"):
        bytes_of["opus"] += len(pack.encode(wave))
        flac = io.BytesIO()
        sf.write(flac, wave, 16000, format="FLAC", subtype="PCM_16")
        bytes_of["flac"] += len(flac.getvalue())
        bytes_of["pcm"] += 2 * len(wave)
        low_db.append(log_spectral_distance_db(wave, after, 100, 4000))
        high_db.append(log_spectral_distance_db(wave, after, 4000, 8000))
        (means, labels), (moved, _) = phone_means(phones, wave), phone_means(phones, after)
        shift.append(np.abs((moved - means)[:, :13]) / spread)
        uncoded.append(np.mean(probe.predict(means) == labels))
        coded.append(np.mean(probe.predict(moved) == labels))
    change = np.array(coded) - np.array(uncoded)
    return {
        "utterances": len(tested),
        "voices": VOICES,
        "kbit_per_s": {
            kind: round(8 * count / sum(len(wave) / 16 for _, _, wave, _ in tested), 1)
            for kind, count in bytes_of.items()
        },
        "log_spectral_distance_db_below_4_khz": round(float(np.mean(low_db)), 2),
        "log_spectral_distance_db_above_4_khz": round(float(np.mean(high_db)), 2),
        "mfcc_shift_of_phones_in_standard_deviations": round(
            float(np.mean(np.concatenate(shift))), 3
        ),
        "phone_probe_accuracy_uncoded": round(float(np.mean(uncoded)), 3),
        "phone_probe_accuracy_coded": round(float(np.mean(coded)), 3),
        "phone_probe_change": round(float(change.mean()), 4),
        "phone_probe_change_standard_error": round(
            float(change.std(ddof=1) / np.sqrt(len(change))), 4
        ),
    }


def whisper():
    """Word errors over the same sentences, uncoded and coded."""
    pairs = list(twins(WHISPER_SENTENCES))
    model = load_model(NAME)
    said, errors, changed = 0, [0, 0], 0
    for sentence, _, wave, after in tqdm(pairs, "Whisper", unit="utterance"):
        truth = [plain(word) for word in sentence.split()]
        both = transcribe(model, [wave, after])
        texts = [[plain(word) for word in text.split()] for text in both]
        said += len(truth)
        errors = [e + edit_distance(truth, text) for e, text in zip(errors, texts, strict=True)]
        changed += texts[0] != texts[1]
    return {
        "whisper_utterances": len(pairs),
        "whisper_words": said,
        "word_errors_uncoded": errors[0],
        "word_errors_coded": errors[1],
        "transcripts_changed": changed,
    }


if __name__ == "__main__":
    report = measure()
    CODEC.write_text(json.dumps(report, indent=1) + "\n")
    CODEC.write_text(json.dumps(report | whisper(), indent=1) + "\n")
