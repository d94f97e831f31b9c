"""VocalTractLab: speech from a moving vocal tract, so that the truth about tongue, jaw and lips is
known.

Its rules turn a sequence of phones with durations into gestures of a German speaker, JD3. English
sounds that German lacks take the place of German ones that English lacks: their shapes were fitted
to formants (`SHAPES`). A second, smaller tract is the first, scaled in all its lengths.
"""

import ctypes
import functools
import importlib.util
import math
import re
import tempfile
from pathlib import Path

import numpy as np

from training.corpus.speech import SILENCE, VoiceError, resample

#: The second tract is smaller in all lengths, so its formants lie 18 % higher.
TRACTS = {
    "jd3": {"scale": 1.0, "f0_hz": 110.0, "fold_length_cm": 1.6, "fold_thickness_cm": 0.45},
    "jd3-small": {"scale": 0.85, "f0_hz": 195.0, "fold_length_cm": 1.1, "fold_thickness_cm": 0.33},
}
#: What is written over the shapes of JD3, in the order of the tract's parameters (HX, HY, JX, JA,
#: LP, LD, VS, VO, TCX, TCY, TTX, TTY, TBX, TBY, TRX, TRY, TS1, TS2, TS3). Fitted to F1, F2, F3 in
#: hertz: AE 660 1720 2420, AA 710 1110 2440, UH 430 1050 2250, UW 300 950 2250, IH 400 1950 2550,
#: ER 470 1300 1700, R 340 1080 1600 (both with a raised tongue tip).
SHAPES = {
    "9": (  # AA
        0.17, -3.94, 0.00, -4.48, 0.11, 1.31, 0.80, -0.10, 0.12, -2.01,
        4.06, -1.90, 2.61, -1.25, -2.84, -2.90, 0.21, 0.04, 0.15,
    ),
    "E:": (  # AE
        0.53, -3.90, -0.10, -4.18, -0.15, 1.45, 0.76, -0.10, 1.56, -1.65,
        3.68, -1.80, 2.38, 0.43, -1.93, -1.55, 0.33, 0.13, 0.04,
    ),
    "Y": (  # UH
        0.06, -5.23, 0.00, -5.97, 0.75, 0.44, 0.74, -0.10, 0.34, -1.35,
        3.68, -1.52, 2.59, -0.21, -1.04, -2.94, 0.21, 0.05, 0.09,
    ),
    "u": (  # UW
        1.00, -6.00, 0.00, -4.05, 1.00, 0.34, 0.59, -0.10, 0.54, -1.50,
        2.80, -0.33, 2.00, 0.89, -0.41, -2.60, 0.29, 0.00, 0.00,
    ),
    "I": (  # IH
        0.70, -5.57, -0.20, -3.40, 0.03, 0.98, 0.48, -0.10, 1.77, -1.57,
        4.40, -1.17, 2.93, 0.40, -0.78, -1.60, 0.00, 0.30, 0.06,
    ),
    "2": (  # ER
        0.14, -4.28, -0.03, -5.06, 0.56, 0.53, 0.50, -0.10, 0.65, -2.30,
        3.27, 0.71, 2.93, -0.16, -1.91, -2.38, 0.16, 0.14, 0.00,
    ),
    "y": (  # R
        0.20, -4.79, 0.00, -5.28, 0.75, 0.37, 0.50, -0.10, 0.29, -1.91,
        3.39, 1.03, 2.81, -0.39, -1.87, -2.54, 0.10, 0.11, 0.00,
    ),
}  # fmt: skip
#: ARPABET to the segments of VocalTractLab, each with its share of the phone's duration.
SEGMENTS = {
    "AA": "9", "AE": "E:", "AH": "6", "AO": "O", "AW": "9 U", "AX": "@", "AY": "9 I", "EH": "E",
    "ER": "2", "EY": "e I", "IH": "I", "IY": "i", "OW": "o U", "OY": "O I", "UH": "Y", "UW": "u",
    "B": "b", "CH": "tS", "D": "d", "DH": "D", "F": "f", "G": "g", "HH": "h", "JH": "dZ", "K": "k",
    "L": "l", "M": "m", "N": "n", "NG": "N", "P": "p", "R": "y", "S": "s", "SH": "S", "T": "t",
    "TH": "T", "V": "v", "W": "u", "Y": "j", "Z": "z", "ZH": "Z", SILENCE: "",
}  # fmt: skip
PARAMETERS = "HX HY JX JA LP LD VS VO TCX TCY TTX TTY TBX TBY TRX TRY TS1 TS2 TS3".split()
#: EMA points of VocalTractLab by their column, and what the corpus calls them.
POINTS = {
    "TT": "tongue_tip", "TM": "tongue_body", "TB": "tongue_back", "JAW": "jaw",
    "UL": "upper_lip", "LL": "lower_lip",
}  # fmt: skip
TRACK_HZ = 100


def synthesise(phones, f0_targets, tract):
    """The wave at 16 kHz and the tracks at 100 Hz, {name: (values, rate_hz, unit)}.

    `phones` tile the utterance from 0 s. `f0_targets` are (end_s, hertz at the end).
    """
    library = _library(tract)
    with tempfile.TemporaryDirectory() as folder:
        paths = {
            kind: str(Path(folder, f"speech.{kind}")).encode()
            for kind in ("seg", "ges", "ema", "tract", "wav")
        }
        Path(paths["seg"].decode()).write_text(_segment_file(phones))
        _check(library.vtlSegmentSequenceToGesturalScore(paths["seg"], paths["ges"], False))
        score = Path(paths["ges"].decode())
        score.write_text(_with_f0(score.read_text(), f0_targets))
        _check(library.vtlGesturalScoreToTractSequence(paths["ges"], paths["tract"]))
        _check(library.vtlGesturalScoreToEma(paths["ges"], paths["ema"]))
        _check(library.vtlGesturalScoreToAudio(paths["ges"], paths["wav"], None, None, False))
        from scipy.io import wavfile

        rate_hz, samples = wavfile.read(paths["wav"].decode())
        wave = resample(samples / np.float32(32768), rate_hz)
        tracks = _points(Path(paths["ema"].decode())) | _parameters(Path(paths["tract"].decode()))
    length = round(phones[-1].end_s * TRACK_HZ)
    tracks = {name: (values[:length], TRACK_HZ, unit) for name, (values, unit) in tracks.items()}
    return wave[: round(phones[-1].end_s * 16000)], tracks


def _segment_file(phones):
    lines = []
    for phone in phones:
        parts = SEGMENTS[phone.label].split() or [""]
        duration_s = (phone.end_s - phone.start_s) / len(parts)
        lines += [f"name = {part}; duration_s = {duration_s:.6f};" for part in parts]
    return "\n".join(lines) + "\n"


def _with_f0(score, targets):
    """The gestural score with its F0 replaced by gestures that reach the targets (semitones)."""
    gestures, at = [], 0.0
    for end_s, f0_hz in targets:
        gestures.append(
            f'<gesture value="{12 * math.log2(f0_hz):.4f}" slope="0" '
            f'duration_s="{end_s - at:.4f}" time_constant_s="0.02" neutral="0" />'
        )
        at = end_s
    return re.sub(
        r'(type="f0-gestures" unit="st">).*?(</gesture_sequence>)',
        lambda found: found[1] + "\n".join(gestures) + found[2],
        score,
        flags=re.DOTALL,
    )


def _points(path):
    """Where the EMA points are, in millimetres; x grows to the front, y upwards."""
    header, *rows = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    columns = header.replace("time[s]", "time").split()
    values = np.array([row.split() for row in rows], float)[:: round(200 / TRACK_HZ)]
    tracks = {}
    for point, name in POINTS.items():
        for axis in "xy":
            column = columns.index(f"{point}-{axis}[cm]")
            tracks[f"{name}_{axis}"] = (np.round(10 * values[:, column], 2), "mm")
    return tracks


def _parameters(path):
    """The root of the tongue, the opening of the velum, F0: parameters of tract and glottis."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")][2:]
    times_s = np.arange(len(lines) // 2) * 110 / 44100  # a state every 110 samples
    glottis = np.array([line.split() for line in lines[0::2]], float)
    tract = np.array([line.split() for line in lines[1::2]], float)
    grid_s = np.arange(int(times_s[-1] * TRACK_HZ) + 1) / TRACK_HZ

    def at(values):
        return np.interp(grid_s, times_s, values)

    return {
        "tongue_root_x": (np.round(10 * at(tract[:, PARAMETERS.index("TRX")]), 2), "mm"),
        "tongue_root_y": (np.round(10 * at(tract[:, PARAMETERS.index("TRY")]), 2), "mm"),
        "velum_opening": (
            np.round(100 * at(np.maximum(0, tract[:, PARAMETERS.index("VO")])), 1), "mm²",
        ),
        "f0": (np.round(at(glottis[:, 0]), 1), "Hz"),
    }  # fmt: skip


def _check(code):
    if code:
        raise VoiceError(f"VocalTractLab returned {code}")


@functools.cache
def _library(tract):
    """The library, with the speaker loaded. One tract a process: it keeps one speaker."""
    found = importlib.util.find_spec("vocaltractlab_cython")
    if found is None:
        raise VoiceError("VocalTractLab is not installed: pip install vocaltractlab-cython")
    root = Path(found.origin).parent
    library = ctypes.CDLL(str(root / "libVocalTractLabApi.so"))
    speaker = speaker_file((root / "resources" / "JD3.speaker").read_text(), **TRACTS[tract])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{tract}.speaker")
        path.write_text(speaker)
        _check(library.vtlInitialize(str(path).encode()))
    return library


def speaker_file(text, *, scale, f0_hz, fold_length_cm, fold_thickness_cm):
    """The speaker file of JD3 with English shapes, scaled in all lengths, areas and volumes."""
    from xml.etree import ElementTree

    root = ElementTree.fromstring(text)
    for shape in root.find("vocal_tract_model/shapes"):
        for parameter, value in zip(shape, SHAPES.get(shape.get("name"), ()), strict=False):
            parameter.set("value", str(value))
    powers = {}  # how each parameter of the tract grows with the tract
    for parameter in root.find("vocal_tract_model/anatomy").iter("param"):
        power = {"cm": 1, "cm^2": 2}.get(parameter.get("unit"), 0)
        powers[parameter.get("name")] = 0 if parameter.get("name") == "HX" else power  # HX: 0 to 1
        _scale(parameter, ("min", "max", "neutral"), scale ** powers[parameter.get("name")])
    for parameter in root.find("vocal_tract_model/shapes").iter("param"):
        _scale(parameter, ("value",), scale ** powers[parameter.get("name")])
    for part in root.find("vocal_tract_model/anatomy").iter():
        if part.tag == "param":
            continue
        for name in part.keys():
            power = {"max_nasal_port_area": 2, "volume": 3}.get(name, 1)
            if "angle" not in name and "slope" not in name and name != "automatic_calc":
                _scale(part, (name,), scale**power)
    folds = {"RT": fold_thickness_cm, "RL": fold_length_cm, "RF0": f0_hz}
    for parameter in root.find("glottis_models/glottis_model/static_params"):
        if parameter.get("name") in folds:
            parameter.set("neutral", str(folds[parameter.get("name")]))
    return ElementTree.tostring(root, encoding="unicode")


def _scale(element, names, factor):
    for name in names:
        numbers = [f"{float(number) * factor:.6f}" for number in element.get(name).split()]
        element.set(name, " ".join(numbers))
