"""Executes the chapters that have no results yet side by side, before Sphinx reads them one by one.

Each chapter is one process of one thread where there are as many chapters as processors: threads
of two chapters that wait for each other are slower than either alone. The results go into the
cache that myst-nb reads.
"""

import multiprocessing
import os
from pathlib import Path

import yaml
from jupyter_cache import get_cache
from jupyter_cache.cache.db import NbProjectRecord
from jupyter_cache.executors.basic import ExecutionWorkerLocalMProc, ProcessData
from sphinx.errors import ExtensionError
from tqdm import tqdm

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LOKY_MAX_CPU_COUNT")


def chapters(root: Path) -> list[Path]:
    """The notebooks of the table of contents, the longest first: they must not be left for last."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    entries = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    found = [root / f"{entry}.ipynb" for entry in entries]
    return sorted((p for p in found if p.exists()), key=lambda p: -p.stat().st_size)


def without_results(cache, paths: list[Path]) -> list[Path]:
    def is_known(path):
        try:
            return cache.match_cache_file(str(path)) is not None
        except KeyError:
            return False

    return [path for path in paths if not is_known(path)]


def execute(app, config):
    if config.nb_execution_mode != "cache":
        return
    cache = get_cache(config.nb_execution_cache_path)
    new = without_results(cache, chapters(Path(app.srcdir)))
    if not new:
        return
    records = [cache.add_nb_to_project(str(path)) for path in new]
    NbProjectRecord.remove_tracebacks([record.pk for record in records], cache.db)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    processes = min(cores, len(new))
    os.environ |= {name: str(max(1, cores // processes)) for name in THREADS}
    limit_s = config.nb_execution_timeout
    work = [ProcessData(r.pk, r.uri, cache, limit_s, allow_errors=False) for r in records]
    failed = []
    with (
        multiprocessing.Pool(processes, maxtasksperchild=1) as pool,
        tqdm(total=len(work), desc=f"executing {processes} chapters at a time", ncols=100) as bar,
    ):
        done = pool.imap_unordered(ExecutionWorkerLocalMProc(), work)
        for code, uri in done:
            bar.update()
            tqdm.write(f"{Path(uri).stem}: {'executed' if code == 0 else 'FAILED'}")
            failed += [uri] if code else []
    for uri in failed:
        print(NbProjectRecord.record_from_uri(uri, cache.db).traceback or f"{uri}: not executed")
    if failed:
        names = ", ".join(Path(uri).stem for uri in failed)
        raise ExtensionError(f"chapters that could not be executed: {names}; the reason is above")


def setup(app):
    app.connect("config-inited", execute, priority=900)  # after the cache has been chosen
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
