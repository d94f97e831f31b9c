"""The one training loop: seeded, resumable, with checkpoints and curves written as it goes."""

import csv
import json
import time
from pathlib import Path

import torch
from tqdm import tqdm

from training.pretraining.config import BF16, Phase


def learning_rate_at(step: int, phase: Phase) -> float:
    """Linear warm-up, a plateau, and a linear fall to 2 % over the last 40 % of the steps."""
    up = min(1.0, (step + 1) / phase.warmup_steps)
    down = min(1.0, max(0.02, (phase.steps - step) / (0.4 * phase.steps)))
    return phase.learning_rate * up * down


def fast_products():
    """Matrix products in bfloat16, everything else in float32; wrap the Transformer in it."""
    return torch.autocast("cpu", torch.bfloat16, enabled=BF16)


class Optimizers:
    """Muon for the matrices of the Transformer layers, AdamW for all other parameters."""

    def __init__(self, module: torch.nn.Module, phase: Phase):
        trained = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
        matrices = [p for n, p in trained if phase.muon and ".layers." in n and p.ndim == 2]
        others = [p for n, p in trained if not any(p is matrix for matrix in matrices)]
        options = {"lr": phase.learning_rate, "weight_decay": phase.weight_decay}
        self.each = [torch.optim.AdamW(others, betas=(0.9, 0.98), **options)]
        if matrices:
            self.each.append(torch.optim.Muon(matrices, adjust_lr_fn="match_rms_adamw", **options))

    def set_learning_rate(self, rate: float):
        for optimizer in self.each:
            for group in optimizer.param_groups:
                group["lr"] = rate

    def step(self):
        for optimizer in self.each:
            optimizer.step()

    def state_dict(self):
        return [optimizer.state_dict() for optimizer in self.each]

    def load_state_dict(self, states):
        for optimizer, state in zip(self.each, states, strict=True):
            optimizer.load_state_dict(state)


def train(module: torch.nn.Module, loss_at, phase: Phase, folder: Path, *, minutes=None) -> dict:
    """Runs `loss_at(step) -> (loss, numbers)` until `phase.steps`, or `minutes` in this run.

    A run that was stopped goes on from the last checkpoint in `folder`: the batches depend on the
    step alone. Returns the summary that is also written to `summary.json`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trained = [p for p in module.parameters() if p.requires_grad]
    optimizer = Optimizers(module, phase)
    step, seconds, audio_s = _resume(folder, module, optimizer)
    _forget_rows_after(step, folder / "curves.csv")
    started = saved = time.monotonic()
    module.train()
    means: dict[str, float] = {}
    bar = tqdm(range(step, phase.steps), initial=step, total=phase.steps, desc=folder.name)
    for step in bar:
        optimizer.set_learning_rate(learning_rate_at(step, phase))
        torch.manual_seed(1_000_003 * phase.seed + step)
        loss, numbers = loss_at(step)
        if not loss.isfinite():  # one step more, and the next checkpoint would be lost too
            raise FloatingPointError(f"loss of step {step} is {loss.item()}")
        module.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, phase.clip_norm)
        optimizer.step()
        audio_s += numbers.pop("audio_s")
        for name, value in {"loss": loss.item(), **numbers}.items():
            means[name] = 0.9 * means.get(name, value) + 0.1 * value
        now = time.monotonic()
        if (step + 1) % phase.log_every == 0:
            row = {"step": step + 1, "seconds": round(seconds + now - started), **means}
            _log(folder / "curves.csv", row)
            bar.set_postfix({name: f"{value:.3f}" for name, value in means.items()})
        out_of_time = minutes is not None and now - started > 60 * minutes
        last = step + 1 == phase.steps or out_of_time
        if last or now - saved > phase.checkpoint_every_s:
            saved = now
            summary = {
                "steps": step + 1,
                "of": phase.steps,
                "seconds": round(seconds + now - started),
                "audio_s": round(audio_s),
                **{name: round(value, 4) for name, value in means.items()},
            }
            _save(folder, module, optimizer, summary)
        if last:
            break
    return json.loads((folder / "summary.json").read_text())


def load(folder: Path, module: torch.nn.Module) -> dict:
    """Puts the weights of the last checkpoint in `folder` into `module`; returns its summary."""
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    module.load_state_dict(state["module"])
    return state["summary"]


def _resume(folder, module, optimizer):
    path = folder / "checkpoint.pt"
    if not path.exists():
        return 0, 0, 0
    state = torch.load(path, weights_only=True)
    module.load_state_dict(state["module"])
    optimizer.load_state_dict(state["optimizer"])
    summary = state["summary"]
    return summary["steps"], summary["seconds"], summary["audio_s"]


def _save(folder, module, optimizer, summary):
    unfinished = folder / "checkpoint.part"
    state = {"module": module.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save({**state, "summary": summary}, unfinished)
    unfinished.replace(folder / "checkpoint.pt")
    (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")


def _forget_rows_after(step, path):
    """A killed run logs further than its last checkpoint; those steps will be done again."""
    if path.exists():
        head, *rows = path.read_bytes().splitlines(keepends=True)
        kept = [row for row in rows if int(row.split(b",")[0]) <= step]
        path.write_bytes(b"".join([head, *kept]))


def _log(path, row):
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})
