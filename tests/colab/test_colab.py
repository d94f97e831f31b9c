"""Every notebook for readers as Colab runs it: outside the repository, with what `pip install .`
brings.

An environment of its own (kept in _build/colab) gets the package and its dependencies, at the
versions of requirements.txt. `google.colab` is imitated, so the set-up cell runs its install
line; git is told to take the repository from here. Minutes for each chapter: `make colab`.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "_build" / "colab"
PYTHON = FOLDER / "venv" / "bin" / "python"
NOTEBOOKS = sorted(ROOT.glob("_build/html/_sources/notebooks/*.ipynb"))
REPOSITORY = re.search(r"^  url: (\S+)", (ROOT / "_config.yml").read_text(), re.MULTILINE)[1]

RUN = """
import resource, sys, time
import nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
start = time.monotonic()
nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
print(f"{time.monotonic() - start:.0f} s, {peak:.1f} GB")
"""

if not NOTEBOOKS:
    pytest.exit("no built site, so no notebook for readers: run `make book` first", returncode=1)


def versions():
    lines = subprocess.run(
        [PYTHON, "-m", "pip", "freeze", "--exclude", "speech-interp"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return lines.splitlines()


@pytest.fixture(scope="session")
def environment():
    """Variables for a process that believes it is on Colab."""
    pins = [
        line
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if re.match(r"[\w.-]+==", line)
    ]
    wanted = hashlib.sha256("".join(pins).encode()).hexdigest()
    mark = FOLDER / "venv" / wanted
    if not mark.exists():
        shutil.rmtree(FOLDER, ignore_errors=True)
        venv.create(FOLDER / "venv", with_pip=True)
        constraints = FOLDER / "constraints.txt"
        constraints.write_text("\n".join(pins))
        install = [PYTHON, "-m", "pip", "install", "-c", constraints, ROOT]
        subprocess.run(install, check=True)
        mark.touch()
    else:  # the package may have changed since
        package = [PYTHON, "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall", ROOT]
        subprocess.run(package, check=True)
    imitation = FOLDER / "imitation"
    (imitation / "google" / "colab").mkdir(parents=True, exist_ok=True)
    (imitation / "google" / "colab" / "__init__.py").write_text("")
    (imitation / "sitecustomize.py").write_text("import google.colab\n")
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "HF_HUB_OFFLINE")}
    return environment | {
        "PYTHONPATH": str(imitation),
        "MPLBACKEND": "agg",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{ROOT.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": REPOSITORY,
        "PATH": f"{PYTHON.parent}{os.pathsep}{os.environ['PATH']}",
    }


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Colab is Linux")
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_chapter_runs_on_colab(environment, notebook, tmp_path):
    shutil.copy(notebook, tmp_path)
    before = versions()
    done = subprocess.run(
        [PYTHON, "-c", RUN, notebook.name],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    print(f"\n{notebook.stem}: {done.stdout.strip()}")
    assert versions() == before, "the set-up cell changed what was installed, torch for one"


def test_imitation_is_believed_and_package_is_not_the_checkout(environment, tmp_path):
    code = "import sys, speech_interp; print('google.colab' in sys.modules, speech_interp.__file__)"
    done = subprocess.run(
        [PYTHON, "-c", code],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    believed, file = done.stdout.split(maxsplit=1)
    assert believed == "True"
    assert Path(file.strip()).is_relative_to(FOLDER)
