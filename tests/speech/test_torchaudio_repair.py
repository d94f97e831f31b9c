"""torchaudio works whether or not its compiled part fits; a healthy one is left alone."""

import subprocess
import sys
import textwrap

import pytest
import torch

import speech_interp.speech  # noqa: F401  repairs torchaudio


def run_fresh(code: str) -> str:
    """What a fresh interpreter prints: imports can only be tested from the start."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def fake_torchaudio(tmp_path, extension: str):
    """A folder with a minimal torchaudio that has the given `_extension`."""
    package = tmp_path / "torchaudio"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from torchaudio._extension import _IS_TORCHAUDIO_EXT_AVAILABLE as compiled\n"
    )
    (package / "_extension.py").write_text(extension)
    return tmp_path


def repair_with(path) -> str:
    """Imports the repair module alone (not the package, which would already have repaired)."""
    return run_fresh(f"""
        import importlib.util, sys
        sys.path.insert(0, {str(path)!r})
        spec = importlib.util.spec_from_file_location("guard", {guard_file()!r})
        guard = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(guard)
        repaired = guard.repair_torchaudio()
        import torchaudio
        print(repaired, torchaudio.compiled, guard.repair_torchaudio())
    """)


def guard_file() -> str:
    from speech_interp.speech import torchaudio_repair

    return torchaudio_repair.__file__


def test_healthy_torchaudio_is_left_alone(tmp_path):
    path = fake_torchaudio(tmp_path, "_IS_TORCHAUDIO_EXT_AVAILABLE = True\n")
    assert repair_with(path) == "False True False"


@pytest.mark.parametrize("error", ["OSError", "RuntimeError", "ImportError"])
def test_failing_compiled_part_is_replaced(tmp_path, error):
    path = fake_torchaudio(tmp_path, f"raise {error}('libcudart.so.13: cannot open')\n")
    assert repair_with(path) == "True False False"


def test_absent_torchaudio_is_no_error():
    assert (
        run_fresh("""
        import sys, importlib.util
        find = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *a: None if name == "torchaudio" else find(name, *a)
        from speech_interp.speech import torchaudio_repair
        print(torchaudio_repair.repair_torchaudio(), "torchaudio" in sys.modules)
    """)
        == "False False"
    )


@pytest.mark.parametrize(
    "taken",
    [
        "import load_model",
        "import hidden_states",
        ".states.attention import record_attention",
        ".methods.context_mixing import value_zeroing",
        ".show.plotting import use_style",
    ],
)
def test_transformers_imports_after_us(taken):
    code = f"from speech_interp{taken}" if taken[0] == "." else f"from speech_interp {taken}"
    assert (
        run_fresh(f"""
        {code}
        from transformers import WhisperForConditionalGeneration
        print(WhisperForConditionalGeneration.__name__)
    """)
        == "WhisperForConditionalGeneration"
    )


def test_resampling_keeps_a_tone():
    from torchaudio.functional import resample

    def tone(rate_hz):
        return torch.sin(2 * torch.pi * 440 * torch.arange(rate_hz) / rate_hz)

    inner = slice(200, -200)  # away from the filter's edges
    error = (resample(tone(44100), 44100, 16000) - tone(16000))[inner].abs().max()
    assert error < 1e-2


def test_mfcc_has_one_column_a_hop():
    from torchaudio.transforms import MFCC

    mfcc = MFCC(sample_rate=16000, n_mfcc=13, melkwargs={"hop_length": 160, "n_mels": 40})
    assert mfcc(torch.randn(16000)).shape == (13, 101)


def test_missing_compiled_function_says_so():
    from speech_interp.speech.torchaudio_repair import _extension_without_compiled_part

    module = _extension_without_compiled_part()

    @module.fail_if_no_align
    def forced_align():
        raise AssertionError("never reached")

    with pytest.raises(RuntimeError, match="forced_align needs torchaudio's compiled part"):
        forced_align()
