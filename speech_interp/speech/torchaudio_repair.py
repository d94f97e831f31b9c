"""Keeps torchaudio usable where its compiled part does not fit the installed torch.

torchaudio 2.11 is the last release. Its Linux wheel links CUDA libraries, so beside a CPU-only or
a newer torch the import fails, and with it the import of transformers. The part that fails is
not the part we use: resampling, MFCC and mel transforms are plain torch. torchaudio supports
running without its compiled part, so where the plain import fails we tell it to.
"""

import importlib
import sys
import types
from importlib.util import find_spec


def repair_torchaudio() -> bool:
    """True if torchaudio now runs without its compiled part; does nothing where it is healthy."""
    if "torchaudio" in sys.modules or find_spec("torchaudio") is None:
        return False
    try:
        importlib.import_module("torchaudio")
    except (OSError, RuntimeError, ImportError):
        _forget_partial_import()
        sys.modules["torchaudio._extension"] = _extension_without_compiled_part()
        importlib.import_module("torchaudio")
        return True
    return False


def _forget_partial_import() -> None:
    """Removes what the failed import left behind, so that the next one starts afresh."""
    for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
        del sys.modules[name]


def _extension_without_compiled_part() -> types.ModuleType:
    """A `torchaudio._extension` that says: no compiled part, no forced alignment."""

    def fail_if_no_align(function):
        def unavailable(*args, **kwargs):
            raise RuntimeError(
                f"torchaudio.{function.__name__} needs torchaudio's compiled part, "
                "which does not fit the installed torch"
            )

        return unavailable

    module = types.ModuleType("torchaudio._extension")
    vars(module).update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        _check_cuda_version=lambda: None,
        fail_if_no_align=fail_if_no_align,
    )
    return module
