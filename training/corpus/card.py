"""Writes the tables of the corpus card: `python -m training.corpus.card`."""

import hashlib
import json
from collections import defaultdict

from speech_interp.speech.corpus import load_corpus
from training.corpus.build import DATA
from training.corpus.measured import CODEC, WHISPER

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
    voices = dict.fromkeys(
        (u.info["voice"], u.speaker, u.sex, u.synthesiser, u.info["technique"])
        for subset in ("sentences", "articulation")
        for u in load_corpus(subset)
    )
    lines += [f"| {' | '.join(voice)} |" for voice in voices]
    lines += whisper_tables() + codec_table()
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


def whisper_tables() -> list[str]:
    """What real Whisper makes of each voice and of the homophones, where it was measured."""
    if not WHISPER.exists():
        return []
    report = json.loads(WHISPER.read_text(encoding="utf-8"))
    lines = [
        "",
        "## What whisper-tiny.en hears",
        "",
        "Over the test sentences (the vocal tracts: over all that they speak), worst voice last. "
        "Word error rate with a 95 % interval, by bootstrap over sentences; above 1 is possible, "
        "because Whisper also writes words that nobody said. Times: starts and ends of the words "
        "that it writes rightly, from its cross-attention by dynamic time warping (the first "
        "start and the last end of an utterance included), against the truth. Whisper's times "
        "are late by the median; the share without delay has it taken away first.",
        "",
        "| voice | sentences | word error rate | 95 % interval | words timed "
        "| starts within 100 ms | ends within 100 ms | starts, without delay "
        "| median start deviation | median end deviation |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    voices = sorted(report["voices"].items(), key=lambda pair: pair[1]["word_error_rate"])
    lines += [
        f"| {voice} | {v['utterances']} | {v['word_error_rate']:.2f} "
        f"| {' to '.join(f'{end:.2f}' for end in v['word_error_rate_interval'])} "
        f"| {v['words_timed']} "
        f"| {v['starts_within_100_ms']:.0%} | {v['ends_within_100_ms']:.0%} "
        f"| {v['starts_within_100_ms_without_delay']:.0%} "
        f"| {v['median_start_deviation_ms']:+d} ms | {v['median_end_deviation_ms']:+d} ms |"
        for voice, v in voices
    ]
    right = report.get("homophones", {})
    if right:
        lines += ["", "| homophones in voice | targets | spelled right | pairs kept |"]
        lines.append("|---|---|---|---|")
        known = [u for u in load_corpus("homophones") if u.id in right]
        for voice in sorted({u.info["voice"] for u in known}):
            ours = [u for u in known if u.info["voice"] == voice]
            share = sum(right[u.id] for u in ours) / len(ours)
            kept = len(pairs_kept([u for u in ours if right[u.id]]))
            lines.append(f"| {voice} | {len(ours)} | {share:.0%} | {kept} |")
        kept = pairs_kept([u for u in known if right[u.id]])
        lines += [
            "",
            "`whisper_right` in `info` says which. A pair is kept where both spellings are right "
            f"at least once: {len(kept)} pairs in some voice. Sentences that Whisper got wrong "
            "were reworded until enough pairs were kept, so these shares say what there is to work "
            "with, not how well Whisper tells homophones apart.",
        ]
    return lines


def pairs_kept(right):
    """The pairs of which each spelling was written rightly at least once."""
    spelled = defaultdict(set)
    for u in right:
        spelled[u.info["pair"]].add(u.info["spelling"])
    return {pair for pair, spellings in spelled.items() if len(spellings) == 2}


def codec_table() -> list[str]:
    """What Opus costs, where it was measured."""
    if not CODEC.exists():
        return []
    report = json.loads(CODEC.read_text(encoding="utf-8"))
    lines = [
        "",
        "## What the codec costs",
        "",
        f"Sound is stored as Opus. {report['utterances']} sentences in the voices "
        f"{', '.join(report['voices'])} were synthesised again and measured before and after it "
        "(`python -m training.corpus.codec`). The probe is a linear one of phones on mean MFCCs, "
        "trained on uncoded sound: it has never met the codec.",
        "",
        "| what | value |",
        "|---|---|",
    ]
    rate = report["kbit_per_s"]
    change, error = report["phone_probe_change"], report["phone_probe_change_standard_error"]
    lines += [
        f"| Opus, FLAC, 16-bit samples | {rate['opus']}, {rate['flac']}, {rate['pcm']} kbit/s |",
        "| difference of the spectra below 4 kHz, above | "
        f"{report['log_spectral_distance_db_below_4_khz']} dB, "
        f"{report['log_spectral_distance_db_above_4_khz']} dB |",
        "| shift of the mean MFCCs of a phone | "
        f"{report['mfcc_shift_of_phones_in_standard_deviations']} standard deviations |",
        f"| phone probe, uncoded, coded | {report['phone_probe_accuracy_uncoded']}, "
        f"{report['phone_probe_accuracy_coded']} (change {change:+.4f} ± {error:.4f}) |",
    ]
    if "whisper_words" in report:
        lines.append(
            f"| errors of whisper-tiny.en in {report['whisper_words']} words, uncoded, coded | "
            f"{report['word_errors_uncoded']}, {report['word_errors_coded']} |"
        )
    return lines


if __name__ == "__main__":
    card = DATA / "README.md"
    told, _, _ = card.read_text(encoding="utf-8").partition(MARK)
    card.write_text(f"{told}{MARK}\n\n{tables()}", encoding="utf-8")
