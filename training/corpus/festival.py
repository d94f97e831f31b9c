"""The Festival voices: kal_diphone and ked_diphone (diphones), slt_hts (HMM synthesis).

One process speaks a whole list; it prints the tree of words, syllables and phones it spoke.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from training.corpus.speech import (
    RATE_HZ,
    VOWELS,
    Segment,
    Speech,
    VoiceError,
    fill_silences,
    resample,
)

VOICES = {
    "kal_diphone": "voice_kal_diphone",
    "ked_diphone": "voice_ked_diphone",
    "slt_hts": "voice_cmu_us_slt_arctic_hts",
}
_PRINT_TREE = """
(define (phone p)
  (format t "phone\\t%s\\t%f\\t%f\\n" (item.name p)
    (item.feat p "segment_start") (item.feat p "segment_end")))
(define (syllable s)
  (format t "syllable\\t%s\\n" (item.feat s "stress"))
  (mapcar phone (item.daughters s)))
(define (word w)
  (let ((token (item.parent (item.relation w 'Token))))
    (format t "word\\t%s\\n" (if token (item.name token) "")))
  (mapcar syllable (item.daughters (item.relation w 'SylStructure))))
(define (say number text)
  (let ((u (utt.synth (eval (list 'Utterance 'Text text)))))
    (utt.save.wave u (format nil "%s/%d.wav" folder number) 'riff)
    (format t "utterance\\t%d\\n" number)
    (mapcar
      (lambda (s)
        (if (not (item.parent (item.relation s 'SylStructure)))
          (begin (format t "loose\\n") (phone s))))
      (utt.relation.items u 'Segment))
    (mapcar (lambda (w) (word w)) (utt.relation.items u 'Word))))
"""


def _quoted(text):
    return '"' + text.replace("\\", "").replace('"', '\\"') + '"'


def _entry(word, phones):
    """A lexicon entry in Festival's form, syllables split before the consonant of each vowel."""
    syllables, onset = [], []
    for phone in phones.split():
        name, digit = phone.rstrip("012"), phone[len(phone.rstrip("012")) :]
        if digit:
            syllables.append([[*onset, name], min(int(digit), 1)])
            onset = []
        else:
            onset.append(name)
    syllables[-1][0].extend(onset)
    body = " ".join(f"(({' '.join(p)}) {s})" for p, s in syllables)
    return f"(lex.add.entry '({_quoted(word)} nil ({body})))"


def speak_all(texts, name, *, rate=1.0, pronunciations=None):
    """`texts` in the voice `name`: one Speech each. Faster for longer lists."""
    if not shutil.which("festival"):
        raise VoiceError("festival is not installed (Debian: apt install festival)")
    if name not in VOICES:
        raise VoiceError(f"festival has no voice {name!r}, expected one of {tuple(VOICES)}")
    with tempfile.TemporaryDirectory() as folder:
        lines = [f"(set! folder {_quoted(folder)})", _PRINT_TREE, f"({VOICES[name]})"]
        lines += [_entry(w, p) for w, p in (pronunciations or {}).items()]
        lines.append(f"(Parameter.set 'Duration_Stretch {1 / rate})")
        lines += [f"(say {i} {_quoted(text)})" for i, text in enumerate(texts)]
        script = Path(folder, "say.scm")
        script.write_text("\n".join(lines))
        run = subprocess.run(["festival", "-b", script], capture_output=True, text=True)
        spoken = _parse(run.stdout)
        if len(spoken) != len(texts):
            raise VoiceError(f"festival {name} spoke {len(spoken)} of {len(texts)}: {run.stderr}")
        return [_speech(Path(folder, f"{i}.wav"), tree) for i, tree in enumerate(spoken)]


def _parse(output):
    """Per utterance: pauses, and words as [token, [[stress, [Segment]]]]."""
    utterances = []
    for line in output.splitlines():
        kind, *cells = line.split("\t")
        if kind == "utterance":
            utterances.append({"loose": [], "words": []})
            target = None
        elif kind == "loose":
            target = utterances[-1]["loose"]
        elif kind == "word":
            utterances[-1]["words"].append([cells[0], []])
        elif kind == "syllable":
            utterances[-1]["words"][-1][1].append([cells[0], []])
            target = utterances[-1]["words"][-1][1][-1][1]
        elif kind == "phone":
            label = "SIL" if cells[0] == "pau" else cells[0].upper()
            target.append(Segment(label, float(cells[1]), float(cells[2])))
    return utterances


def _speech(path, tree):
    from scipy.io import wavfile

    rate_hz, samples = wavfile.read(path)
    wave = resample(samples / np.float32(32768), rate_hz)
    # ked ends ER in a loose "r" of its own: part of the phone, syllable and word before it.
    tails = {p.start_s: p.end_s for p in tree["loose"] if p.label != "SIL"}
    phones, words, syllables = [], [], []
    for token, parts in tree["words"]:
        begun = len(phones)
        for stress, segments in parts:
            first = len(phones)
            for segment in segments:
                phones.append(segment._replace(end_s=tails.get(segment.end_s, segment.end_s)))
            start_s, end_s = phones[first].start_s, phones[-1].end_s
            if any(s.label in VOWELS for s in segments) or not syllables:
                syllables.append(Segment(stress, start_s, end_s))
            else:
                syllables[-1] = syllables[-1]._replace(end_s=end_s)
        if len(phones) == begun:
            continue  # punctuation is a word without sound
        word = Segment(token, phones[begun].start_s, phones[-1].end_s)
        if words and word.label == words[-1].label and "'" in token:
            words[-1] = words[-1]._replace(end_s=word.end_s)  # "Mary's": one token, two words
        else:
            words.append(word)
    duration_s = len(wave) / RATE_HZ
    phones = [p._replace(end_s=min(p.end_s, duration_s)) for p in phones]
    return Speech(wave, words, fill_silences(phones, duration_s), syllables)
