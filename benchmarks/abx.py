"""ABX of triphones: this package beside fastabx, cell by cell the same task.

    python benchmarks/abx.py [--reference PYTHON] [--layers 5 | --layers all] [--sentences 122]

Data: the triphones of four flite voices, frames of the HuBERT (stand-in) layer, the frame slices
of the reference, angular distance, dynamic time warping, all pairs, no subsampling. Processor
time. The reference needs Python 3.12 with fastabx: `--reference` names it, by default
`python3.12`; without one its lines are left out, and say so.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from speech_interp import hidden_states, load_corpus, load_model
from speech_interp.methods.abx import abx
from speech_interp.methods.abx_distances import reference_spans
from speech_interp.methods.abx_task import abx_task
from speech_interp.speech.corpus import SILENCE

REFERENCE = """
import sys, json, time
import numpy as np, polars as pl, torch
from fastabx import Dataset, Score, Task
from fastabx.accessor import InMemoryAccessor
data = np.load(sys.argv[1], allow_pickle=False)
frames = torch.from_numpy(data["frames"])
table = pl.DataFrame({n: data[n].tolist() for n in ("phone", "before", "after", "speaker")})
out = {}
for name, by, across in (
    ("within", ["before", "after", "speaker"], []), ("across", ["before", "after"], ["speaker"])
):
    spans = {i: (int(a), int(b)) for i, (a, b) in enumerate(data["spans"])}
    dataset = Dataset(table, InMemoryAccessor(spans, frames.clone(), torch.device("cpu")))
    start = time.process_time()
    task = Task(dataset, on="phone", by=by, across=across or None)
    score = Score(task, "angular", progress=False)
    value = score.collapse(levels=[("before", "after"), "speaker"])
    out[name] = [value, time.process_time() - start]
print(json.dumps(out))
"""


def triphones(utterances):
    rows = []
    for u in utterances:
        p = u.phones
        for a, b, c in zip(p, p[1:], p[2:], strict=False):
            if SILENCE not in (a.label, b.label, c.label):
                rows.append((u.id, u.speaker, a.label, b.label, c.label, a.start_s, c.end_s))
    columns = map(np.array, zip(*rows, strict=True))
    names = ("id", "speaker", "before", "phone", "after", "start_s", "end_s")
    return dict(zip(names, columns, strict=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--reference", default=shutil.which("python3.12"))
    parser.add_argument("--layers", default="5")
    parser.add_argument("--sentences", type=int, default=122)
    options = parser.parse_args()
    said = [u for u in load_corpus("sentences") if u.info["voice"].endswith("flite")]
    texts = sorted({u.text for u in said})[: options.sentences]
    said = [u for u in said if u.text in texts]
    model = load_model("facebook/hubert-base-ls960")
    states = [hidden_states(model, u.wave).values.numpy() for u in said]
    layers = slice(None) if options.layers == "all" else [int(options.layers)]
    table = triphones(said)
    first = dict(zip((u.id for u in said), np.cumsum([0, *(s.shape[1] for s in states)]),
                     strict=False))  # fmt: skip
    offsets = np.array([first[name] for name in table["id"]])[:, None]
    spans = reference_spans(table["start_s"], table["end_s"])
    lengths = dict(zip((u.id for u in said), (s.shape[1] for s in states), strict=True))
    spans = np.minimum(spans, np.array([lengths[name] for name in table["id"]])[:, None]) + offsets
    frames = np.concatenate(states, axis=1)[layers]
    print(f"{len(said)} utterances, {len(spans)} triphones, {len(frames)} layers")
    for name, by, across in (
        ("within", (("before", "after"), "speaker"), ()),
        ("across", (("before", "after"),), ("speaker",)),
    ):
        start = time.process_time()
        task = abx_task(table, on="phone", by=by, across=across)
        scores = abx(frames, task, spans=spans, progress=False)
        value = scores.collapsed()
        print(f"ours     {name}: {np.round(value, 6)} in {time.process_time() - start:.2f} s")
    if not options.reference:
        print("fastabx: no Python 3.12 with fastabx here (--reference), left out")
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "items.npz"
        columns = {n: table[n] for n in ("phone", "before", "after", "speaker")}
        np.savez(path, frames=frames[0], spans=spans, **columns)
        ran = subprocess.run(
            [options.reference, "-c", REFERENCE, str(path)], capture_output=True, text=True
        )
    if ran.returncode:
        print(f"fastabx: could not run with {options.reference}: {ran.stderr.strip()[-300:]}")
        return
    for name, (value, seconds) in json.loads(ran.stdout).items():
        print(f"fastabx  {name}: {value:.6f} in {seconds:.2f} s (one layer)")


if __name__ == "__main__":
    main()
