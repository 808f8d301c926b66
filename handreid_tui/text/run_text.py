"""A run in a few words: its status with a sign, its progress, its results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from handreid_tui.text.numbers import duration, percent

if TYPE_CHECKING:
    from handreid_tui.history import RunRow

SIGNS = {
    "queued": ("◌", "$secondary"),
    "starting": ("◔", "$primary"),
    "running": ("▶", "$primary"),
    "finished": ("✓", "$success"),
    "stopped": ("■", "$warning"),
    "failed": ("✗", "$error"),
    "lost": ("?", "$error"),
}
STALLED = ("◷", "$warning")


def sign(run: RunRow) -> tuple[str, str]:
    """The sign of a run's status, and its style."""
    return STALLED if run.stalled else SIGNS.get(run.status, ("·", "$secondary"))


def status(run: RunRow) -> str:
    return "stalled" if run.stalled else run.status


def is_active(run: RunRow) -> bool:
    return run.status in ("running", "starting")


def share_done(run: RunRow) -> float:
    """How much of the training is done, from 0 to 1; of the first stage, while it lasts."""
    if run.status == "finished":
        return 1.0
    if run.in_prompts and run.prompt_steps:
        return min(1.0, (run.prompt_step or 0) / run.prompt_steps)
    return min(1.0, (run.step or 0) / run.steps) if run.steps else 0.0


def seconds_left(run: RunRow) -> float | None:
    """From the pace so far; None where there is none yet."""
    if not is_active(run) or not run.steps or not run.step or not run.seconds:
        return None
    return (run.seconds - (run.prompt_seconds or 0.0)) / run.step * max(0, run.steps - run.step)


def epochs(run: RunRow) -> str:
    """`41/60`: the epoch that goes on, of how many; `prompts 41/120` in the first stage."""
    if run.epochs is None:
        return ""
    if run.in_prompts and run.prompt_epochs and run.prompt_steps and run.status != "finished":
        epoch = max(0, (run.prompt_step or 0) - 1) * run.prompt_epochs // run.prompt_steps + 1
        return f"prompts {epoch}/{run.prompt_epochs}"
    if run.status == "finished":
        return f"{run.epochs}/{run.epochs}"
    return f"{min(run.epoch or 0, run.epochs)}/{run.epochs}"


def where(run: RunRow) -> str:
    """`epoch 41/60`, or `prompts 41/120` in the first stage."""
    text = epochs(run)
    return text if text.startswith("prompts") else f"epoch {text}"


def results(run: RunRow) -> str:
    """Rank-1 and mAP of the final report, or the last of the validation."""
    if run.metrics["rank1"] is not None:
        return f"rank-1 {percent(run.metrics['rank1'])}  mAP {percent(run.metrics['mAP'])}"
    if run.metrics["val_rank1"] is not None:
        return f"val rank-1 {percent(run.metrics['val_rank1'])}  mAP {percent(run.metrics['val_mAP'])}"
    return ""


def names(runs: Sequence[RunRow], most: int = 5) -> str:
    """The runs by number and name, as a question asks for them: the first ones, and how many more."""
    if len(runs) == 1:
        return counted(runs)
    more = f" and {len(runs) - most} more" if len(runs) > most else ""
    return f"{counted(runs)} ({', '.join(map(naming, runs[:most]))}{more})"


def counted(runs: Sequence[RunRow]) -> str:
    """`run 3 ce_triplet s1`, or how many runs."""
    return f"run {naming(runs[0])}" if len(runs) == 1 else f"{len(runs)} runs"


def naming(run: RunRow) -> str:
    """`3 ce_triplet s1`, or the name that a user gave it."""
    own = "" if run.name == run.path.name else run.name
    return f"{run.number} {own or f'{run.combo} s{run.seed}'}"


def best_epoch(run: RunRow) -> str:
    """`best epoch 40, val mAP 92.0`; "" where nothing was validated."""
    if not run.best_epoch or run.metrics["best_val_mAP"] is None:
        return ""
    return f"best epoch {run.best_epoch}, val mAP {percent(run.metrics['best_val_mAP'])}"


def headline(run: RunRow, label: str) -> list[str]:
    """The run in short pieces, the most important first. `label`: see `run_labels`."""
    parts = [f"{run.number} {label}", status(run)]
    if is_active(run):
        parts.append(where(run))
        if (left := seconds_left(run)) is not None:
            parts.append(f"{duration(left)} left")
        if run.metrics["images_per_s"]:
            parts.append(f"{run.metrics['images_per_s']:.0f} img/s")
    elif run.seconds:
        parts.append(duration(run.seconds))
    parts += filter(None, (results(run), best_epoch(run)))
    return parts


def bar(share: float, width: int) -> tuple[str, str]:
    """The done and the open part of a progress bar, `width` cells together, to half a cell."""
    halves = round(max(0.0, min(1.0, share)) * width * 2)
    done = "━" * (halves // 2) + ("╸" if halves % 2 else "")
    return done, "━" * (width - len(done))
