"""F0 beside Praat's.

    python benchmarks/prosody.py [--utterances 60]

Praat comes with `pip install praat-parselmouth` (0.4.7); without it nothing is compared. Processor
time, one thread.
"""

import argparse
import time

import numpy as np

from speech_interp import load_corpus
from speech_interp.studies.prosody import pitch


def timed(function, *args):
    start = time.process_time()
    return function(*args), time.process_time() - start


def beside_praat(utterances):
    try:
        import parselmouth
    except ImportError:
        print("F0: skipped, praat-parselmouth is not installed")
        return
    waves = [u.wave for u in utterances]
    ours, our_s = timed(lambda: [pitch(wave) for wave in waves])
    sounds = [parselmouth.Sound(wave.astype(float), 16_000) for wave in waves]
    theirs, their_s = timed(lambda: [s.to_pitch_ac(0.01, 60, pitch_ceiling=400) for s in sounds])
    here, there = (np.array(x) for x in zip(*rows(ours, theirs), strict=True))
    both = (here > 0) & (there > 0)
    off = np.abs(12 * np.log2(here[both] / there[both]))
    print(f"F0 of {len(waves)} utterances: {our_s:.2f} s, Praat {their_s:.2f} s")
    print(
        f"  voiced in both {both.mean():.1%}, in one only {((here > 0) != (there > 0)).mean():.1%}"
    )
    print(
        f"  median distance {np.median(off):.3f} semitones, more than one in {np.mean(off > 1):.1%}"
    )


def rows(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        for t, f0 in zip(one.times_s, one.f0_hz, strict=True):
            yield f0, np.nan_to_num(other.get_value_at_time(t))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--utterances", type=int, default=60)
    options = parser.parse_args()
    spoken = load_corpus("stress_pairs")
    beside_praat(spoken[:: max(1, len(spoken) // options.utterances)])


if __name__ == "__main__":
    main()
