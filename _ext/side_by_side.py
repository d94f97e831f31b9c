"""Executes the chapters that have no results yet side by side, before Sphinx reads them one by one.

Each chapter is one process of one thread where there are as many chapters as processors: threads
of two chapters that wait for each other are slower than either alone. The results go into the
cache that myst-nb reads.
"""

import multiprocessing
import os
from pathlib import Path

import psutil
import yaml
from jupyter_cache import get_cache
from jupyter_cache.cache.db import NbProjectRecord
from jupyter_cache.executors.basic import ExecutionWorkerLocalMProc, ProcessData
from jupyter_cache.executors.utils import single_nb_execution
from sphinx.errors import ExtensionError
from tqdm import tqdm

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
MEMORY = 4 << 30  # what a chapter may need at full size


class Worker(ExecutionWorkerLocalMProc):
    @staticmethod
    def execute(project_nb, data):
        return single_nb_execution(
            project_nb.nb,
            cwd=str(Path(project_nb.uri).parent),
            timeout=data.timeout,
            allow_errors=data.allow_errors,
            extra_arguments=["--log-level=ERROR"],  # no line on every kernel's way of transport
        )


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


def processes_and_threads(chapter_count: int, *, cores: int, memory: int) -> tuple[int, int]:
    """How many chapters at a time, with how many threads each; `memory` in bytes."""
    processes = max(1, min(chapter_count, cores, memory // MEMORY))
    return processes, max(1, cores // processes)


def usable_cores() -> int:
    known = hasattr(os, "sched_getaffinity")  # not on macOS and Windows
    return len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1


def execute(app, config):
    if config.nb_execution_mode != "cache":
        return
    cache = get_cache(config.nb_execution_cache_path)
    new = without_results(cache, chapters(Path(app.srcdir)))
    if not new:
        return
    records = [cache.add_nb_to_project(str(path)) for path in new]
    NbProjectRecord.remove_tracebacks([record.pk for record in records], cache.db)
    available = psutil.virtual_memory().available
    processes, threads = processes_and_threads(len(new), cores=usable_cores(), memory=available)
    os.environ |= dict.fromkeys(THREADS, str(threads))
    limit_s = config.nb_execution_timeout
    work = [ProcessData(r.pk, r.uri, cache, limit_s, allow_errors=False) for r in records]
    failed = []
    with (
        multiprocessing.Pool(processes, maxtasksperchild=1) as pool,
        tqdm(total=len(work), desc=f"executing {processes} chapters at a time", ncols=100) as bar,
    ):
        for code, uri in pool.imap_unordered(Worker(), work):
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
