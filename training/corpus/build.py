"""Make the tutorial corpus: `python -m training.corpus.build [subset ...]`.

Synthesised utterances are kept under `.cache/corpus`, so a run that was cut off goes on where it
stopped. The same inputs and tool versions give the same files.
"""

import argparse
import hashlib
import pickle
from pathlib import Path

from tqdm import tqdm

from training.corpus import articulation, continua, items, pack, tones
from training.corpus.voices import speak_all

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "corpus"
DATA = ROOT / "speech_interp" / "data" / "corpus"
SHARD_BYTES = 4_500_000
#: Raise when a change in how voices are driven makes what is cached stale.
VERSION = 1
#: Subsets that no voice of `voices` speaks as it is.
OTHER_WAYS = {
    "articulation": articulation.rows,
    "continua": continua.rows,
    "tones": tones.rows,
}


def spoken(todo, batch=20):
    """(item, speech) for each item, from the cache or its voice."""
    todo = list(todo)
    bar = tqdm(total=len(todo), desc=todo[0].subset, unit="utterance")
    groups = {}
    for item in todo:
        options = (item.voice, item.rate, item.pitch, tuple(sorted(item.pronunciations.items())))
        groups.setdefault(options, []).append(item)
    made = {}
    for (voice, rate, pitch, pronunciations), group in groups.items():
        for start in range(0, len(group), batch):
            part = group[start : start + batch]
            path = {item.id: _cached(item) for item in part}
            missing = [item for item in part if not path[item.id].exists()]
            speeches = (
                speak_all(
                    [item.said for item in missing], voice,
                    rate=rate, pitch=pitch, pronunciations=dict(pronunciations),
                )
                if missing
                else []
            )  # fmt: skip
            for item, speech in zip(missing, speeches, strict=True):
                path[item.id].parent.mkdir(parents=True, exist_ok=True)
                unfinished = path[item.id].with_suffix(".part")
                unfinished.write_bytes(pickle.dumps(speech))
                unfinished.replace(path[item.id])
            for item in part:
                made[item.id] = pickle.loads(path[item.id].read_bytes())
            bar.update(len(part))
    bar.close()
    for item in todo:
        yield item, made[item.id]


def _cached(item):
    what = repr(
        (VERSION, item.said, item.voice, item.rate, item.pitch, sorted(item.pronunciations.items()))
    )
    return CACHE / f"{hashlib.sha256(what.encode()).hexdigest()[:24]}.pickle"


def rows(subset):
    """The rows of a subset, ready to be stored."""
    if subset in OTHER_WAYS:
        yield from OTHER_WAYS[subset](CACHE)
        return
    for item, speech in spoken(getattr(items, subset)()):
        wave, words, phones, syllables, tracks = pack.trim(speech)
        words = [w._replace(label=label) for w, label in zip(words, item.text.split(), strict=True)]
        words = [w._replace(label=w.label.strip(",.;:?!").lower()) for w in words]
        yield pack.row(item, pack.level(wave, phones), words, phones, syllables, tracks)


def store(subset, every):
    """Write the rows in shards that git can bear."""
    DATA.mkdir(parents=True, exist_ok=True)
    shards, size = [[]], 0
    for row in every:
        size += len(row["audio"]["bytes"])
        if size > SHARD_BYTES:
            shards.append([])
            size = len(row["audio"]["bytes"])
        shards[-1].append(row)
    for old in DATA.glob(f"{subset}-*.parquet"):  # only now that the new ones are complete
        old.unlink()
    for number, shard in enumerate(shards):
        pack.write(DATA / f"{subset}-{number}.parquet", shard)
    return sum(path.stat().st_size for path in DATA.glob(f"{subset}-*.parquet"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("subset", nargs="*", default=["sentences"])
    for subset in parser.parse_args().subset:
        print(f"{subset}: {store(subset, rows(subset)) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
