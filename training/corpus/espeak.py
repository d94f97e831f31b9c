"""espeak-ng through its C library: formant synthesis, many voice variants, exact phone times."""

import ctypes
import functools
from ctypes import POINTER, c_char, c_char_p, c_int, c_short, c_uint, c_void_p

import numpy as np

from training.corpus.speech import RATE_HZ, SILENCE, VOWELS, Segment, VoiceError, resample
from training.corpus.timing import from_produced

#: ARPABET to the mnemonics of espeak-ng's American English.
MNEMONICS = {
    "AA": "A:", "AE": "a", "AH": "V", "AX": "@", "AO": "O:", "AW": "aU", "AY": "aI", "EH": "E",
    "ER": "3:", "EY": "eI", "IH": "I", "IY": "i:", "OW": "oU", "OY": "OI", "UH": "U", "UW": "u:",
    "B": "b", "CH": "tS", "D": "d", "DH": "D", "F": "f", "G": "g", "HH": "h", "JH": "dZ", "K": "k",
    "L": "l", "M": "m", "N": "n", "NG": "N", "P": "p", "R": "r", "S": "s", "SH": "S", "T": "t",
    "TH": "T", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "Z",
}  # fmt: skip
_LABELS = {name: label for label, name in MNEMONICS.items()} | {
    "t#": "T", "d#": "D", "i": "IY", "I2": "IH", "I#": "IH", "a#": "AX", "3": "ER", "@L": "AX",
    "u": "UW", "E#": "EH", "r-": "R", "A@": "AA", "O@": "AO", "o@": "AO", "e@": "EH", "i@": "IH",
}  # fmt: skip
_SYNCHRONOUS, _PHONEME_EVENTS, _UTF8, _PHONEMES = 2, 1, 1, 0x100
_END, _PHONEME = 0, 7
_RATE, _PITCH = 1, 3


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", c_int),
        ("identifier", c_uint),
        ("text_position", c_int),
        ("length", c_int),
        ("milliseconds", c_int),
        ("sample", c_int),
        ("user_data", c_void_p),
        ("name", c_char * 8),
    ]


_chunks, _events = [], []


@ctypes.CFUNCTYPE(c_int, POINTER(c_short), c_int, POINTER(_Event))
def _receive(samples, count, events):
    if samples and count > 0:
        _chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
    i = 0
    while events and events[i].type != _END:
        if events[i].type == _PHONEME:
            _events.append((bytes(events[i].name).split(b"\0")[0].decode(), events[i].sample))
        i += 1
    return 0


@functools.cache
def _library():
    try:
        library = ctypes.CDLL("libespeak-ng.so.1")
    except OSError as error:
        raise VoiceError(
            f"espeak-ng is not installed (Debian: apt install espeak-ng): {error}"
        ) from None
    rate_hz = library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS)
    library.espeak_SetSynthCallback(_receive)
    library.espeak_Synth.argtypes = [
        c_char_p, ctypes.c_size_t, c_uint, c_int, c_uint, c_uint, POINTER(c_uint), c_void_p,
    ]  # fmt: skip
    library.espeak_SetVoiceByName.argtypes = [c_char_p]
    return library, rate_hz


def speak(words, name, *, ending=".", rate=1.0, pitch=None):
    """`words` (from `flite.pronounce`, with None for a pause) in an espeak-ng voice.

    `name` is an espeak-ng voice ("en-us", "en-us+f3"); `pitch` is its 0 to 99 setting.
    """
    library, rate_hz = _library()
    if library.espeak_SetVoiceByName(name.encode()):
        raise VoiceError(f"espeak-ng has no voice {name!r}")
    library.espeak_SetParameter(_RATE, round(150 * rate), 0)
    library.espeak_SetParameter(_PITCH, 50 if pitch is None else int(pitch), 0)
    _chunks.clear()
    _events.clear()
    text = f"[[{' '.join(map(_spell, words))}]]{ending}".encode()
    library.espeak_Synth(text, len(text) + 1, 0, 1, 0, _UTF8 | _PHONEMES, None, None)
    wave = resample(np.concatenate(_chunks) / np.float32(32768), rate_hz)
    ends_s = [sample / rate_hz for _, sample in _events[1:]] + [len(wave) / RATE_HZ]
    produced = [
        Segment(SILENCE if name.startswith("_") else _LABELS.get(name, name), at / rate_hz, end_s)
        for (name, at), end_s in zip(_events, ends_s, strict=True)
    ]
    return from_produced(words, produced, wave)


def _spell(word):
    if word is None:
        return "_:"
    return "".join(
        ("'" if stress == "1" and phone in VOWELS else "") + MNEMONICS[phone]
        for stress, phones in word.syllables
        for phone in phones
    )
