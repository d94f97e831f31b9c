"""Runs every chapter on models of full size, so that none leans on the shape of the stand-ins.

    python tests/rehearsal.py [CHAPTER ...]

The checkpoints are random, 12 layers x 768 (Whisper: the shapes of whisper-base), in a folder that
SPEECH_INTERP_CHECKPOINTS names. Prints time and peak memory of each chapter; ends with 1 if one
fails.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

import speech_interp.speech  # noqa: F401  (makes transformers import beside any torch)

ROOT = Path(__file__).parents[1]
WHISPER = "openai/whisper-tiny.en"

RUN = """
import json, resource, sys, time
import nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
start = time.monotonic()
client = nbclient.NotebookClient(notebook, timeout=3600, kernel_name="python3")
client.execute(cwd=sys.argv[2])
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
print(f"{time.monotonic() - start:6.0f} s {peak:6.1f} GB")
"""


def save_speech_models(root: Path) -> None:
    """wav2vec2-base, its CTC version and hubert-base, as their Hub folders look."""
    from transformers import (
        HubertConfig,
        HubertModel,
        Wav2Vec2Config,
        Wav2Vec2CTCTokenizer,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ForCTC,
        Wav2Vec2ForPreTraining,
    )

    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False)
    models = {
        "wav2vec2-base": Wav2Vec2ForPreTraining(Wav2Vec2Config()),
        "wav2vec2-base-960h": Wav2Vec2ForCTC(Wav2Vec2Config()),
        "hubert-base-ls960": HubertModel(HubertConfig()),
    }
    for name, model in models.items():
        model.save_pretrained(root / name)
        extractor.save_pretrained(root / name)
    folder = root / "wav2vec2-base-960h"
    letters = ["<pad>", "<s>", "</s>", "<unk>", *"|ETAONIHSRDLUMWCFGYPBVK'XJQZ"]
    (folder / "vocab.json").write_text(json.dumps({x: i for i, x in enumerate(letters)}))
    Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)


def save_whisper(root: Path) -> None:
    """Random weights in the shapes of whisper-base beside the tokenizer of whisper-tiny.en."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration, WhisperProcessor

    from speech_interp.models.checkpoints import find_checkpoint

    small = find_checkpoint(WHISPER).folder
    config = WhisperConfig.from_pretrained(
        small,
        d_model=512,
        encoder_layers=6,
        decoder_layers=6,
        num_hidden_layers=6,
        encoder_attention_heads=8,
        decoder_attention_heads=8,
        encoder_ffn_dim=2048,
        decoder_ffn_dim=2048,
    )
    model = WhisperForConditionalGeneration(config)
    folder = root / WHISPER.split("/")[-1]
    model.save_pretrained(folder)
    WhisperProcessor.from_pretrained(small).save_pretrained(folder)
    generation = json.loads((small / "generation_config.json").read_text())
    generation.pop("alignment_heads", None)  # they name heads of another shape
    (folder / "generation_config.json").write_text(json.dumps(generation))


def main() -> int:
    wanted = sys.argv[1:]
    chapters = sorted(ROOT.glob("notebooks/*.ipynb"))
    chapters = [c for c in chapters if not wanted or c.stem in wanted]
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        print("Making random checkpoints of full size ...")
        save_speech_models(Path(folder))
        save_whisper(Path(folder))
        environment = {**os.environ, "SPEECH_INTERP_CHECKPOINTS": folder, "MPLBACKEND": "Agg"}
        for chapter in tqdm(chapters, unit="chapter"):
            command = [sys.executable, "-c", RUN, str(chapter), str(chapter.parent)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            result = done.stdout.strip() or "failed"
            tqdm.write(f"{chapter.stem:24} {result}")
            if done.returncode:
                failed.append(chapter.stem)
                tqdm.write("    " + "\n    ".join(done.stderr.strip().splitlines()[-6:]))
    if failed:
        print(f"{len(failed)} of {len(chapters)} chapters failed: {', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
