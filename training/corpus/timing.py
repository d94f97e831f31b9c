"""From planned words and the times of what a voice produced to words, syllables, phones."""

import re

from training.corpus.speech import RATE_HZ, SILENCE, VOWELS, Segment, Speech, fill_silences

#: Said without stress in running speech, whatever a lexicon says.
FUNCTION_WORDS = frozenset(
    "a an the and or but nor if as at by for from in into of off on onto than that to up with "
    "i me my we us our you your he him his she her it its they them their is am are was were be "
    "been do does did has have had can could will would shall should may might must so".split()
)
PUNCTUATION = re.compile(r"[,;:.?!]$")


def plan(text, pronounce):
    """What to say: the words of `text` in order, and None where its punctuation asks for a pause.

    `pronounce` gives words with syllables (`flite.pronounce`). Raises ValueError where it counts
    other words than white space does, because then no word could be placed in the text.
    """
    spelled, words = text.split(), pronounce(text)
    if len(spelled) != len(words):
        raise ValueError(f"{text!r} has {len(spelled)} words, pronounced as {len(words)}")
    planned = []
    for spelling, word in zip(spelled, words, strict=True):
        if len(word.syllables) == 1 and word.text.lower() in FUNCTION_WORDS:
            word = word._replace(syllables=(("0", word.syllables[0][1]),))
        planned.append(word)
        if PUNCTUATION.search(spelling):
            planned.append(None)
    if planned and planned[-1] is None:
        planned.pop()
    return planned


def match(planned, produced):
    """For each produced label the index of its planned label, or None: a minimal edit path."""
    rows, columns = len(planned) + 1, len(produced) + 1
    cost = [
        [float(max(i, j)) if not (i and j) else 0.0 for j in range(columns)] for i in range(rows)
    ]
    for i in range(1, rows):
        for j in range(1, columns):
            same = planned[i - 1] == produced[j - 1]
            kind = (planned[i - 1] in VOWELS) == (produced[j - 1] in VOWELS)
            swap = cost[i - 1][j - 1] + (0.0 if same else 0.9 if kind else 1.9)
            cost[i][j] = min(swap, cost[i - 1][j] + 1, cost[i][j - 1] + 1)
    links, i, j = [None] * len(produced), rows - 1, columns - 1
    while i and j:
        same = planned[i - 1] == produced[j - 1]
        kind = (planned[i - 1] in VOWELS) == (produced[j - 1] in VOWELS)
        if cost[i][j] == cost[i - 1][j - 1] + (0.0 if same else 0.9 if kind else 1.9):
            i, j = i - 1, j - 1
            links[j] = i
        elif cost[i][j] == cost[i][j - 1] + 1:
            j -= 1
        else:
            i -= 1
    return links


def assemble(planned, spans, wave):
    """The Speech of `wave`, from a (start_s, end_s) or None for each planned phone, in order."""
    spans, phones, words, syllables = iter(spans), [], [], []
    for word in planned:
        if word is None:
            continue
        first = len(phones)
        for stress, labels in word.syllables:
            begun = len(phones)
            for label in labels:
                span = next(spans)
                if span is not None and span[1] > span[0]:
                    phones.append(Segment(label, *span))
            if len(phones) > begun:
                syllables.append(Segment(stress, phones[begun].start_s, phones[-1].end_s))
        if len(phones) > first:
            words.append(Segment(word.text, phones[first].start_s, phones[-1].end_s))
    return Speech(wave, words, fill_silences(phones, len(wave) / RATE_HZ), syllables)


def from_produced(planned, produced, wave):
    """The Speech of `wave`, from the labels a voice produced, each with its times.

    A produced phone that was not planned (a linking r) lengthens the phone before it; a planned
    phone that was not produced is left out.
    """
    wanted = [phone for word in planned if word for phone in word.phones]
    sounding = [segment for segment in produced if segment.label != SILENCE]
    spans, last = [None] * len(wanted), None
    for segment, link in zip(sounding, match(wanted, [s.label for s in sounding]), strict=True):
        if link is not None:
            spans[link], last = [segment.start_s, segment.end_s], link
        elif last is not None and abs(segment.start_s - spans[last][1]) < 1e-4:
            spans[last][1] = segment.end_s
    return assemble(planned, [tuple(s) if s else None for s in spans], wave)
