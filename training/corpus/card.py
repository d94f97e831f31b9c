"""Writes the tables of the corpus card: `python -m training.corpus.card`."""

import hashlib
from collections import defaultdict

from speech_interp.corpus import load_corpus
from training.corpus.build import DATA
from training.corpus.items import EVERY_VOICE
from training.corpus.voices import VOICES

MARK = "<!-- from here on written by training/corpus/card.py -->"


def tables() -> str:
    """Counts and durations by subset, voices, and the sha256 of every file."""
    subsets = sorted({path.name.rsplit("-", 1)[0] for path in DATA.glob("*.parquet")})
    lines = ["## Counts", "", "| subset | utterances | voices | minutes | words | phones |"]
    lines.append("|---|---|---|---|---|---|")
    for subset in subsets:
        every = load_corpus(subset)
        minutes = sum(u.duration_s for u in every) / 60
        words, phones = (sum(len(getattr(u, tier)) for u in every) for tier in ("words", "phones"))
        voices = len({u.info["voice"] for u in every})
        lines.append(f"| {subset} | {len(every)} | {voices} | {minutes:.1f} | {words} | {phones} |")
    lines += [
        "",
        "## Voices",
        "",
        "| voice | speaker | sex, as perceived | synthesiser | technique |",
    ]
    lines.append("|---|---|---|---|---|")
    for name in EVERY_VOICE:
        v = VOICES[name]
        lines.append(f"| {name} | {v.speaker} | {v.sex} | {v.synthesiser} | {v.technique} |")
    lines += ["", "## Rarest phones of `sentences`, counted in the voice that has fewest", ""]
    lines += ["| phone | count |", "|---|---|"]
    counts = defaultdict(lambda: defaultdict(int))
    for u in load_corpus("sentences"):
        for phone in u.phones:
            counts[phone.label][u.info["voice"]] += 1
    rarest = sorted((min(c.values()), label) for label, c in counts.items())[:8]
    lines += [f"| {label} | {count} |" for count, label in rarest]
    lines += ["", "## Files", "", "| file | size | sha256 |", "|---|---|---|"]
    for path in sorted(DATA.glob("*.parquet")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        lines.append(f"| `{path.name}` | {path.stat().st_size / 1e6:.2f} MB | `{digest}` |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    card = DATA / "README.md"
    told, _, _ = card.read_text(encoding="utf-8").partition(MARK)
    card.write_text(f"{told}{MARK}\n\n{tables()}", encoding="utf-8")
