"""A changed package, datum, pin or choice of checkpoints throws kept results away; nothing else."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "_ext"))
import stale


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.delenv("SPEECH_INTERP_CHECKPOINTS", raising=False)
    (tmp_path / "speech_interp" / "data").mkdir(parents=True)
    (tmp_path / "speech_interp" / "frames.py").write_text("stride = 320\n")
    (tmp_path / "speech_interp" / "data" / "corpus.parquet").write_bytes(b"sound")
    (tmp_path / "requirements.txt").write_text("torch==2.13.0\n")
    return tmp_path


@pytest.mark.parametrize(
    "changed", ["speech_interp/frames.py", "speech_interp/data/corpus.parquet", "requirements.txt"]
)
def test_what_a_result_depends_on_changes_it(root, changed):
    before = stale.fingerprint(root)
    (root / changed).write_text("changed\n")
    assert stale.fingerprint(root) != before


def test_a_renamed_file_changes_it(root):
    before = stale.fingerprint(root)
    (root / "speech_interp" / "frames.py").rename(root / "speech_interp" / "frame.py")
    assert stale.fingerprint(root) != before


def test_choice_of_checkpoints_changes_it(root, monkeypatch):
    before = stale.fingerprint(root)
    monkeypatch.setenv("SPEECH_INTERP_CHECKPOINTS", "elsewhere")
    assert stale.fingerprint(root) != before


def test_what_it_does_not_depend_on_changes_nothing(root):
    before = stale.fingerprint(root)
    (root / "README.md").write_text("words\n")
    (root / "speech_interp" / "__pycache__").mkdir()
    (root / "speech_interp" / "__pycache__" / "frames.pyc").write_bytes(b"compiled")
    assert stale.fingerprint(root) == before


def test_continuous_integration_keeps_that_folder():
    workflow = Path(__file__).parents[1] / ".github" / "workflows" / "book.yml"
    assert "path: _build/results\n" in workflow.read_text(encoding="utf-8")


def test_old_results_go_and_current_ones_stay(root):
    results = root / "_build" / "results"
    (results / "old").mkdir(parents=True)
    (results / stale.fingerprint(root)).mkdir()
    (results / ".DS_Store").write_bytes(b"what macOS leaves in a folder that was looked at")
    app, config = SimpleNamespace(outdir=root / "_build" / "html", srcdir=root), SimpleNamespace()
    stale.choose_cache(app, config)
    assert [p.name for p in results.iterdir() if p.is_dir()] == [stale.fingerprint(root)]
    assert config.nb_execution_cache_path == str(results / stale.fingerprint(root))
