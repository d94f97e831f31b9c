"""The package is right by its declared types, as `make lint` checks it with mypy."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytest.importorskip("mypy", reason="mypy is not installed: pip install mypy")


def mypy(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mypy", "--no-color-output", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)


@pytest.mark.slow
def test_package_has_no_error_of_types():
    found = mypy()
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.slow
def test_callers_see_the_types_of_the_package(tmp_path):
    """A reader's own code: the mistake is found, the right call is not."""
    (tmp_path / "own.py").write_text(
        "from speech_interp.statistics.moments import Moments\n"
        "def count(moments: Moments) -> int:\n"
        "    return moments.item_count\n"
        "def name(moments: Moments) -> str:\n"
        "    return moments.item_count\n"
    )
    found = mypy(str(tmp_path / "own.py"))
    wrong = [line.split(": ")[0] for line in found.stdout.splitlines() if ": error: " in line]
    places = [Path(place).name for place in wrong]  # mypy may know the file from an earlier folder
    assert places == ["own.py:5"], found.stdout + found.stderr


def test_nothing_in_the_package_is_left_out():
    """No comment that silences the checker."""
    sources = [*(ROOT / "speech_interp").rglob("*.py")]
    silenced = [p.name for p in sources if "type: ignore" in p.read_text(encoding="utf-8")]
    assert sources and not silenced
