"""Makes the synthetic speech: hours of it, in shards, outside git.

    python -m training.pretraining.speech --runs FOLDER [--workers 2] [--neural]

A shard is `NNNN.npy` (all its samples, int16) beside `NNNN.json` (one record an utterance). Each
is drawn from its own number, so that any of them can be made anew, in any order. With `--neural`
it makes the shards of Kokoro, which needs training/pretraining/requirements.txt.
"""

import argparse
import json
import multiprocessing
import random
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly
from tqdm import tqdm

from training.pretraining import kokoro
from training.pretraining.config import RATE_HZ, Data
from training.pretraining.text import letters, sentence, verses

FLITE_VOICES = {"slt": 170, "rms": 103, "awb": 125, "kal16": 105}  # voice -> its usual pitch in Hz
WARPS = (0.84, 0.89, 0.94, 1.0, 1.06, 1.12, 1.18, 1.25)
ESPEAK_VARIANTS = """m1 m2 m3 m4 m5 m6 m7 f1 f2 f3 f4 f5 Andy Annie Alex Alicia Gene Lee Mario
Michael Mike steph quincy rob shelby travis linda caleb adam david""".split()
ESPEAK_ACCENTS = "en-us en-us en-us en-gb en-gb-scotland en-029".split()


def speakers() -> list[dict]:
    """The voices: every flite voice with every vocal-tract warp, and espeak-ng's variants.

    A warp resamples the wave: formants move by the factor, as with a shorter vocal tract; pitch
    and rate are set so that they do not move along.
    """
    rng = random.Random(7)
    found = []
    for voice, pitch_hz in FLITE_VOICES.items():
        for warp in WARPS:
            found.append(
                {
                    "id": f"flite-{voice}-{warp:.2f}",
                    "tool": "flite",
                    "voice": voice,
                    "warp": warp,
                    "pitch_hz": pitch_hz * warp ** rng.uniform(0.5, 2.5) * rng.uniform(0.92, 1.08),
                    "stretch": rng.uniform(0.85, 1.2),
                    "share": 3.0 if warp == 1.0 else 1.0,
                }
            )
    for i, variant in enumerate(ESPEAK_VARIANTS):
        accent = ESPEAK_ACCENTS[i % len(ESPEAK_ACCENTS)]
        found.append(
            {
                "id": f"espeak-{accent}-{variant}",
                "tool": "espeak",
                "voice": f"{accent}+{variant}",
                "warp": rng.uniform(0.93, 1.07),
                "pitch": rng.randint(30, 70),
                "words_a_minute": rng.randint(135, 190),
                "share": 0.45,
            }
        )
    return found


def neural_speakers() -> list[dict]:
    """Mixtures of Kokoro's five styles, each with a vocal-tract warp of its own."""
    rng = random.Random(11)
    found = []
    for i in range(60):
        weights = [rng.gammavariate(0.4, 1.0) for _ in kokoro.STYLES]
        found.append(
            {
                "id": f"kokoro-{i:02d}",
                "tool": "kokoro",
                "weights": [weight / sum(weights) for weight in weights],
                "warp": rng.uniform(0.86, 1.12),
                "speed": rng.uniform(0.95, 1.3),
                "share": 1.0,
            }
        )
    return found


def say(text: str, speaker: dict, rng: random.Random) -> tuple[np.ndarray, list]:
    """The wave (float32, 16 kHz) and, where the tool tells, its phones [label, end_s]."""
    warp = speaker["warp"] * rng.uniform(0.985, 1.015)
    if speaker["tool"] == "kokoro":
        speed = speaker["speed"] * rng.uniform(0.9, 1.1) / warp
        wave = kokoro.speak(text, speaker["weights"], speed)
        return _at_rate(wave, kokoro.RATE_HZ, warp), []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "speech.wav")
        if speaker["tool"] == "flite":
            pitch_hz = speaker["pitch_hz"] * rng.uniform(0.93, 1.07) / warp
            options = {
                "int_f0_target_mean": round(pitch_hz, 1),
                "int_f0_target_stddev": round(pitch_hz * rng.uniform(0.06, 0.16), 1),
                "duration_stretch": round(speaker["stretch"] * rng.uniform(0.88, 1.14) * warp, 3),
            }
            settings = [x for k, v in options.items() for x in ("--setf", f"{k}={v}")]
            command = ["flite", "-voice", speaker["voice"], "-psdur", *settings, "-t", text]
            spoken = subprocess.run(
                [*command, "-o", str(path)], capture_output=True, text=True, check=True
            ).stdout
            phones = [
                [label, round(float(end) / warp, 4)]
                for label, end in re.findall(r"(\S+):([\d.]+)", spoken)
            ]
        else:
            rate = round(speaker["words_a_minute"] * rng.uniform(0.9, 1.12) / warp)
            pitch = min(99, max(0, round(speaker["pitch"] * rng.uniform(0.9, 1.1))))
            command = ["espeak-ng", "-v", speaker["voice"], "-s", str(rate), "-p", str(pitch)]
            subprocess.run([*command, "-w", str(path), text], capture_output=True, check=True)
            phones = []
        wave, rate_hz = soundfile.read(path, dtype="float32")
    return _at_rate(wave, rate_hz, warp), phones


def _at_rate(wave, rate_hz, warp):
    down = round(1000 * warp * rate_hz / RATE_HZ)
    return resample_poly(wave, 1000, down).astype(np.float32)


def make_shard(job: tuple[Path, int, Data]) -> int:
    """Writes shard number `job[1]` unless it is there; returns its number."""
    folder, number, data = job
    path = folder / f"{number:04d}.npy"
    if path.exists():
        return number
    rng = random.Random(f"{data.seed}/{number}")
    voices = speakers() if number < data.shards else neural_speakers()
    shares = [speaker["share"] for speaker in voices]
    waves, records, start = [], [], 0
    for _ in range(data.utterances):
        text = rng.choice(verses()) if rng.random() < 0.4 else sentence(rng)
        speaker = rng.choices(voices, shares)[0]
        wave, phones = say(text, speaker, rng)
        wave = np.clip(wave * (0.5 / max(float(np.abs(wave).max()), 1e-3)), -1, 1)
        if not RATE_HZ <= len(wave) <= 12 * RATE_HZ:
            continue
        waves.append((wave * 32767).astype(np.int16))
        records.append(
            {
                "start": start,
                "length": len(wave),
                "speaker": speaker["id"],
                "text": text,
                "letters": letters(text),
                "phones": phones,
            }
        )
        start += len(wave)
    (folder / f"{number:04d}.json").write_text(json.dumps(records))
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        np.save(file, np.concatenate(waves))
    unfinished.rename(path)
    return number


def shards(runs: Path) -> list[int]:
    """The numbers of the shards that are whole."""
    return sorted(int(path.stem) for path in (runs / "speech").glob("[0-9]*.npy"))


def read_shard(runs: Path, number: int) -> tuple[np.ndarray, list[dict]]:
    """Samples (int16, memory-mapped) and records of one shard."""
    folder = runs / "speech"
    samples = np.load(folder / f"{number:04d}.npy", mmap_mode="r")
    return samples, json.loads((folder / f"{number:04d}.json").read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--neural", action="store_true", help="the shards of Kokoro")
    options = parser.parse_args()
    folder = options.runs / "speech"
    folder.mkdir(parents=True, exist_ok=True)
    data = Data()
    numbers = range(data.shards + data.neural_shards)
    numbers = numbers[data.shards :] if options.neural else numbers[: data.shards]
    jobs = [(folder, number, data) for number in numbers]
    with multiprocessing.Pool(options.workers) as pool:
        for _ in tqdm(pool.imap(make_shard, jobs), total=len(jobs), unit="shard"):
            pass
    hours = sum(r["length"] for n in shards(options.runs) for r in read_shard(options.runs, n)[1])
    print(f"{hours / RATE_HZ / 3600:.1f} h of speech in {folder}")


if __name__ == "__main__":
    main()
