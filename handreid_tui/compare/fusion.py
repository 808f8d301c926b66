"""`handreid fuse`: the scores of several runs combined into one, as a run of its own."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.contract import run_files
from engine.contract.combos import FUSED
from engine.contract.config import RunConfig
from engine.contract.errors import UserError
from handreid_tui.compare.finished_run import FinishedRun, read_run
from handreid_tui.runs import directory

MOST = 4


@dataclass(frozen=True)
class Fusion:
    """The run that was made: its directory, its final report, and the validation mAP of it and of each member."""

    directory: Path
    members: list[FinishedRun]
    weights: list[float]
    validation: float
    alone: list[float]
    summary: dict[str, Any]


def fuse_runs(runs: Path, paths: list[Path]) -> Fusion:
    """Combine finished runs of one protocol, weights by the validation, and keep the result as a new run in `runs`.

    Raises UserError where the runs were not tested alike, or no weights can be chosen; then no run is made.
    """
    if not 2 <= len(paths) <= MOST:
        raise UserError(f"fuse takes 2 to {MOST} runs, but got {len(paths)}.")
    members = [read_run(path) for path in paths]
    _check_alike(members)
    combo = f"{FUSED}{' + '.join(run.combo for run in members)})"[:200]
    seeds = {run.seed for run in members}
    config = members[0].config.model_dump() | {"combo": combo, "loss": {}}
    if len(seeds) > 1:
        config["seed"] = members[0].seed
    config["train"] |= {"epochs": 0}
    checked = RunConfig.model_validate(config)
    about = {"combo": combo, "runs": [_told(run) for run in members]}
    with tempfile.TemporaryDirectory(prefix="handreid-") as scratch:
        fused = json.loads(_engine("fuse", scratch, json.dumps(about), *map(str, paths)))
        made = directory.create(runs, checked)
        try:
            for name in (run_files.EVALUATION, run_files.EVENTS):
                shutil.move(Path(scratch) / name, made / name)
        except OSError as error:
            shutil.rmtree(made, ignore_errors=True)
            raise UserError(f"{made} cannot be written: {(error.strerror or str(error)).lower()}.") from None
    summary = read_run(made).summary
    return Fusion(made, members, fused["weights"], fused["validation"], fused["alone"], summary)


def _told(run: FinishedRun) -> dict[str, Any]:
    setup = hashlib.blake2b(run.setup.encode(), digest_size=4).hexdigest()
    return {"run": run.number, "name": run.name, "combo": run.combo, "seed": run.seed, "setup": setup}


def _check_alike(members: list[FinishedRun]) -> None:
    """Raises UserError where two were not tested on the same images of the same data, or one cannot be fused."""
    first = members[0]
    for run in members:
        if run.members:
            raise UserError(f"{run.name} is a fusion itself: fuse its runs instead.")
        if not (run.directory / run_files.BEST_CHECKPOINT / run_files.MODEL).is_file():
            raise UserError(f"{run.name} has no model any more, so it has no validation scores to choose weights by.")
    for run in members[1:]:
        if run.protocol != first.protocol:
            ours, theirs = first.protocol.title, run.protocol.title
            raise UserError(f"{first.name} ({ours}) and {run.name} ({theirs}) were tested differently: no fusion.")
        one, other = first.evaluation, run.evaluation
        same = (one.names, one.identity.tolist()) == (other.names, other.identity.tolist())
        for a, b in zip(one.trials, other.trials, strict=False):
            same = same and np.array_equal(a.query, b.query) and np.array_equal(a.gallery, b.gallery)
        if not same or len(one.trials) != len(other.trials):
            raise UserError(f"{first.name} and {run.name} were tested on different images: no fusion.")


def _engine(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "engine", *words], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"the engine exited with status {done.returncode}"])[-1]
        raise UserError(last.removeprefix("Error: "))
    return done.stdout.strip().splitlines()[-1]
