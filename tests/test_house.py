"""The house holds: imports go one way, in no circle, and no private name crosses a module.

Only the text of the modules is read; nothing is executed.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "speech_interp"
ORDER = ("speech", "models", "states", "methods", "studies", "show")  # imports go to the left
BELOW_ALL = "statistics"
LONGEST_MODULE = 300  # lines
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imports_of(source: str, known=MODULES) -> list[tuple[str, str]]:
    """Every (module, name) that the source takes from the package, wherever the import stands."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(a.name, "") for a in node.names if a.name.split(".")[0] == "speech_interp"]
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if (node.module or "").split(".")[0] == "speech_interp":
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    found.append((whole, "") if whole in known else (node.module, alias.name))
    return found


IMPORTS = {name: imports_of(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
IN_A_WING = {name: got for name, got in IMPORTS.items() if len(name.split(".")) == 3}


def wing_of(module: str) -> str:
    return module.split(".")[1]


def goes_right(module: str, taken: str) -> bool:
    """True if `module` may not import from the wing of `taken`."""
    here, there = wing_of(module), wing_of(taken)
    if here == there or there == BELOW_ALL:
        return False
    return here == BELOW_ALL or ORDER.index(there) > ORDER.index(here)


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one circle, or none."""
    done, path = set(), []

    def visit(module):
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        path.append(module)
        for other in sorted(graph.get(module, ())):
            if found := visit(other):
                return found
        done.add(path.pop())
        return []

    return next((found for module in sorted(graph) if (found := visit(module))), [])


def test_every_module_lives_in_a_wing():
    wings = {*ORDER, BELOW_ALL}
    outside = [name for name in MODULES if name.count(".") != 2 or wing_of(name) not in wings]
    allowed = {"speech_interp.__init__", "speech_interp.__main__"}
    assert set(outside) <= allowed | {f"speech_interp.{wing}.__init__" for wing in wings}


@pytest.mark.parametrize("module", IN_A_WING)
def test_no_import_goes_to_the_right(module):
    assert not [taken for taken, _ in IN_A_WING[module] if goes_right(module, taken)]


def test_no_imports_go_in_a_circle():
    assert not circle({name: {taken for taken, _ in got} for name, got in IN_A_WING.items()})


@pytest.mark.parametrize("module", IMPORTS)
def test_no_private_name_is_imported(module):
    private = [(m, n) for m, n in IMPORTS[module] if f".{n}".startswith("._") or "._" in m]
    assert not private


@pytest.mark.parametrize("module", MODULES)
def test_modules_stay_short(module):
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE


def test_the_readers_of_imports_see_what_is_there():
    source = "import speech_interp.a\ndef f():\n    from speech_interp.b import _c\n"
    assert imports_of(source, {}) == [("speech_interp.a", ""), ("speech_interp.b", "_c")]
    assert goes_right("speech_interp.models.x", "speech_interp.states.y")
    assert goes_right("speech_interp.statistics.x", "speech_interp.speech.y")
    assert not goes_right("speech_interp.show.x", "speech_interp.statistics.y")
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}}) == []


def test_the_front_door_is_light_and_opens_when_asked():
    """Whoever imports the package waits for nothing that they do not use."""
    code = (
        "import sys, time; start = time.perf_counter(); import speech_interp; "
        "print(time.perf_counter() - start, 'torch' in sys.modules, dir(speech_interp)); "
        "from speech_interp import load_corpus; print(len(load_corpus('tones')) > 0); "
        "import speech_interp.nothing"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    seconds, torch_is_there, *names = done.stdout.splitlines()[0].split()
    assert torch_is_there == "False"
    assert float(seconds) < 0.3 * 5  # 10 ms here; a machine under load may be slow
    assert all(f"'{name}'" in " ".join(names) for name in ("hidden_states", "listen", "load_model"))
    assert done.stdout.splitlines()[1] == "True"
    assert "No module named 'speech_interp.nothing'" in done.stderr
