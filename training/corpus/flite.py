"""CMU Flite through its C library: kal16 (diphones) and awb, rms, slt (statistical).

Fast (about 40 times real time on one core) and without any Python dependency but numpy.
`pronounce` is also how the other voices learn what to say: words, syllables, phones.
"""

import ctypes
import functools
import string
from ctypes import POINTER, c_char_p, c_float, c_int, c_short, c_void_p
from typing import NamedTuple

import numpy as np

from training.corpus.speech import VOWELS, Segment, Speech, VoiceError, fill_silences

NAMES = ("kal16", "awb", "rms", "slt")


class _Wave(ctypes.Structure):
    _fields_ = [
        ("type", c_char_p),
        ("rate_hz", c_int),
        ("sample_count", c_int),
        ("channel_count", c_int),
        ("samples", POINTER(c_short)),
    ]


class _Voice(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("features", c_void_p), ("ffunctions", c_void_p)]


class Word(NamedTuple):
    """A word as it is to be said: its spelling and its syllables (stress, phones)."""

    text: str
    syllables: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def phones(self):
        return tuple(phone for _, phones in self.syllables for phone in phones)


@functools.cache
def _library():
    try:
        # Its parts refer to each other's symbols, so they are loaded globally, in this order.
        core = ctypes.CDLL("libflite.so.1", mode=ctypes.RTLD_GLOBAL)
        for part in ("usenglish", "cmulex"):
            ctypes.CDLL(f"libflite_{part}.so.1", mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise VoiceError(f"flite is not installed (Debian: apt install flite): {error}") from None
    core.flite_synth_text.restype = c_void_p
    core.flite_synth_text.argtypes = [c_char_p, POINTER(_Voice)]
    core.utt_wave.restype = POINTER(_Wave)
    core.utt_wave.argtypes = core.delete_utterance.argtypes = [c_void_p]
    core.utt_relation.restype = core.item_as.restype = c_void_p
    core.utt_relation.argtypes = core.item_as.argtypes = [c_void_p, c_char_p]
    for name in ("relation_head", "item_next", "item_daughter"):
        getattr(core, name).restype, getattr(core, name).argtypes = c_void_p, [c_void_p]
    core.item_feat_string.restype, core.item_feat_string.argtypes = c_char_p, [c_void_p, c_char_p]
    core.item_feat_float.restype, core.item_feat_float.argtypes = c_float, [c_void_p, c_char_p]
    core.feat_set_float.argtypes = [c_void_p, c_char_p, c_float]
    core.flite_voice_add_lex_addenda.argtypes = [POINTER(_Voice), c_char_p]
    core.flite_init()
    return core


@functools.cache
def _voice(name):
    _library()
    try:
        part = ctypes.CDLL(f"libflite_cmu_us_{name}.so.1", mode=ctypes.RTLD_GLOBAL)
    except OSError:
        raise VoiceError(f"flite has no voice {name!r}, expected one of {NAMES}") from None
    register = getattr(part, f"register_cmu_us_{name}")
    register.restype, register.argtypes = POINTER(_Voice), [c_char_p]
    return register(None)


class _Lexicon(ctypes.Structure):
    _fields_ = [
        ("name", c_char_p),
        ("entry_count", c_int),
        ("data", c_void_p),
        ("byte_count", c_int),
        ("phone_table", c_void_p),
        ("letter_to_sound_rules", c_void_p),
        ("syllable_boundary", c_void_p),
        ("letter_to_sound", c_void_p),
        ("addenda", POINTER(POINTER(c_char_p))),
    ]


_additions: dict[str, str] = {}
_tables = []  # what the library points at must stay alive


def add_pronunciations(entries):
    """Teach every flite voice new words, {"permitx": "p er1 m ih0 t"}; the last one counts."""
    _library()
    cmulex = ctypes.CDLL("libflite_cmulex.so.1", mode=ctypes.RTLD_GLOBAL)
    cmulex.cmu_lex_init.restype = POINTER(_Lexicon)
    lexicon = cmulex.cmu_lex_init().contents
    if not _tables:
        _tables.append(lexicon.addenda)
    shipped, count = _tables[0], 0
    while shipped[count]:
        count += 1
    _additions.update({word.lower(): phones for word, phones in entries.items()})
    rows = []
    for word, phones in _additions.items():
        # The first letter of an entry is a part of speech, and flite asks for the one it guessed.
        for tag in string.ascii_lowercase + "0":
            cells = [(tag + word).encode(), *(p.encode() for p in phones.split()), None]
            rows.append((c_char_p * len(cells))(*cells))
    table = (POINTER(c_char_p) * (len(rows) + count + 1))()
    for i, row in enumerate(rows):
        table[i] = ctypes.cast(row, POINTER(c_char_p))
    for i in range(count):
        table[len(rows) + i] = shipped[i]
    _tables.extend([rows, table])
    lexicon.addenda = ctypes.cast(table, POINTER(POINTER(c_char_p)))


def _items(first):
    core = _library()
    while first:
        yield first
        first = core.item_next(first)


def _phone(item):
    label = _library().item_feat_string(item, b"name").decode()
    return "SIL" if label == "pau" else label.upper()


def _tokens(utterance):
    """Per token: its text and its syllables, each (stress, segment items)."""
    core = _library()
    for token in _items(core.relation_head(core.utt_relation(utterance, b"Token"))):
        syllables = []
        for word in _items(core.item_daughter(token)):
            structure = core.item_as(word, b"SylStructure")
            for syllable in _items(core.item_daughter(structure)):
                parts = _items(core.item_daughter(syllable))
                segments = [core.item_as(part, b"Segment") for part in parts]
                if syllables and not any(_phone(item) in VOWELS for item in segments):
                    syllables[-1][1].extend(segments)  # the 's of "it's" is no syllable
                else:
                    stress = core.item_feat_string(syllable, b"stress").decode()
                    syllables.append((stress, segments))
        if syllables:
            yield core.item_feat_string(token, b"name").decode(), syllables


def pronounce(text):
    """The words of `text` with syllables, stress and phones, from the CMU lexicon."""
    core = _library()
    utterance = core.flite_synth_text(text.encode(), _voice("kal16"))
    try:
        return [
            Word(token, tuple((stress, tuple(map(_phone, items))) for stress, items in syllables))
            for token, syllables in _tokens(utterance)
        ]
    finally:
        core.delete_utterance(utterance)


def speak(text, name, *, rate=1.0, pitch=None):
    """`text` in the voice `name`; `rate` 1.2 is faster, `pitch` is the mean F0 in hertz."""
    core, voice = _library(), _voice(name)
    core.feat_set_float(voice.contents.features, b"duration_stretch", 1.0 / rate)
    if pitch is not None:
        core.feat_set_float(voice.contents.features, b"int_f0_target_mean", float(pitch))
    ctypes.CDLL(None).srand(1)  # statistical voices excite with noise from the C library
    utterance = core.flite_synth_text(text.encode(), voice)
    try:
        wave = core.utt_wave(utterance).contents
        if wave.rate_hz != 16000:
            raise VoiceError(f"flite voice {name!r} speaks at {wave.rate_hz} Hz, expected 16000")
        samples = np.ctypeslib.as_array(wave.samples, (wave.sample_count,)) / np.float32(32768)
        phones, times, start_s = [], {}, 0.0
        for item in _items(core.relation_head(core.utt_relation(utterance, b"Segment"))):
            end_s = min(core.item_feat_float(item, b"end"), len(samples) / 16000)
            times[item] = (start_s, end_s)
            phones.append(Segment(_phone(item), start_s, end_s))
            start_s = end_s
        words, syllables = [], []
        for token, parts in _tokens(utterance):
            words.append(Segment(token, times[parts[0][1][0]][0], times[parts[-1][1][-1]][1]))
            for stress, items in parts:
                syllables.append(Segment(stress, times[items[0]][0], times[items[-1]][1]))
        samples = samples.astype(np.float32)
    finally:
        core.delete_utterance(utterance)
    return Speech(samples, words, fill_silences(phones, len(samples) / 16000), syllables)
