"""The subset `articulation`: sentences of the corpus, spoken by two vocal tracts.

The durations of the phones are those of two other voices of the corpus; VocalTractLab moves the
tract, and the tracks say where tongue, jaw and lips are.
"""

import hashlib
import os
import pickle
from multiprocessing import Pool

from tqdm import tqdm

from speech_interp.speech.corpus import load_corpus
from training.corpus import pack, tract
from training.corpus.items import Item
from training.corpus.speech import Segment, Speech

#: Tract: the voice of `sentences` whose durations it takes.
TIMED_BY = {"jd3": "rms-flite", "jd3-small": "slt-flite"}
SEXES = {"jd3": "m", "jd3-small": "f"}
#: Of every eight sentences four are spoken; the last of them is a test sentence.
SPOKEN, LAST = range(4), 103
SHORTEST_S = 0.04  # a gesture takes time
#: Raise when a change in how the tract is driven makes what is cached stale.
VERSION = 1


def todo():
    """(item, phones, words, syllables, F0 targets) of every utterance."""
    sources = load_corpus("sentences")
    for name, timed_by in TIMED_BY.items():
        for source in sources:
            number = source.info["sentence"]
            if source.info["voice"] != timed_by or number % 8 not in SPOKEN or number > LAST:
                continue
            item = Item(
                id=f"articulation-{name}-{number:03d}",
                subset="articulation",
                text=source.text,
                voice=timed_by,
                split=source.split,
                info={"sentence": number, "question": source.info["question"]},
            )
            item.speaker, item.sex, item.synthesiser = name, SEXES[name], "vocaltractlab"
            item.info |= {"voice": f"{name}-vtl", "technique": "articulatory"}
            yield (item, *_timed(source), name)


def _timed(source):
    """Phones, words and syllables of another voice, no phone shorter than a gesture can be."""
    moved, at = {}, 0.0
    phones = []
    for phone in source.phones:
        longer = max(phone.duration_s, SHORTEST_S)
        phones.append(Segment(phone.label, at, at + longer))
        moved[phone.start_s] = at
        at += longer
    ends = {old.end_s: new.end_s for old, new in zip(source.phones, phones, strict=True)}

    def shift(intervals):
        return [Segment(i.label, moved[i.start_s], ends[i.end_s]) for i in intervals]

    return phones, shift(source.words), shift(source.syllables)


def f0_targets(syllables, end_s, f0_hz, question):
    """One target a syllable: accents where it is stressed, declination, at last a fall or rise."""
    targets = []
    for syllable in syllables:
        accent = {"1": 1.16, "2": 1.06}.get(syllable.label, 1.0)
        declination = 1.08 - 0.2 * syllable.end_s / end_s
        targets.append((syllable.end_s, f0_hz * declination * accent))
    last = 1.35 if question else 0.8
    middle_s = (syllables[-1].start_s + syllables[-1].end_s) / 2
    targets[-1] = (middle_s, targets[-1][1])
    return [*targets, (end_s, f0_hz * last)]


def speak(work):
    item, phones, words, syllables, name = work
    targets = f0_targets(
        syllables, phones[-1].end_s, tract.TRACTS[name]["f0_hz"], item.info["question"]
    )
    wave, tracks = tract.synthesise(phones, targets, name)
    return item, Speech(wave, words, phones, syllables), tracks


def rows(cache):
    """The rows of the subset, ready to be stored; what was synthesised is kept in `cache`."""
    every = [(*work, cache) for work in todo()]
    cache.mkdir(parents=True, exist_ok=True)
    for name in TIMED_BY:  # each tract in processes of its own: the library keeps one speaker
        work = [w for w in every if w[4] == name]
        with Pool(min(2, os.cpu_count())) as pool:
            done = pool.imap(_cached, work)
            for item, speech, tracks in tqdm(done, name, len(work), unit="utterance"):
                wave, words, phones, syllables, tracks = pack.trim(speech, tracks)
                labels = [word.strip(",.;:?!").lower() for word in item.text.split()]
                words = [w._replace(label=x) for w, x in zip(words, labels, strict=True)]
                yield pack.row(item, pack.level(wave, phones), words, phones, syllables, tracks)


def _cached(work):
    *work, cache = work
    what = repr((VERSION, work[0].id, work[1], tract.TRACTS, tract.SHAPES, tract.SEGMENTS))
    path = cache / f"{hashlib.sha256(what.encode()).hexdigest()[:24]}.pickle"
    if not path.exists():
        unfinished = path.with_suffix(".part")
        unfinished.write_bytes(pickle.dumps(speak(work)))
        unfinished.replace(path)
    return pickle.loads(path.read_bytes())
