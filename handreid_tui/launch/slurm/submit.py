"""Submits runs as arrays of jobs; each task becomes the shim of one run, in the run directory."""

from __future__ import annotations

import re
import shlex
import sys
from contextlib import suppress
from pathlib import Path

from engine.errors import UserError
from handreid_tui.launch.slurm import tasks
from handreid_tui.launch.slurm.commands import call, cancel
from handreid_tui.launch.slurm.request import Request

GRACE = 60  # seconds between USR1 and the time limit, to write a checkpoint
USUAL_ARRAY = 1001  # Slurm's own MaxArraySize


def submit(paths: list[Path], request: Request) -> None:
    """Submit the runs, all in one folder, in this order. Raises UserError in Slurm's words, with nothing submitted."""
    runs = paths[0].parent
    tasks.folder(runs).mkdir(exist_ok=True)
    largest = largest_array()
    jobs: list[int] = []
    try:
        for start in range(0, len(paths), largest):
            names = [path.name for path in paths[start : start + largest]]
            # one array after the other, or each would have the limit of running tasks for itself
            before = jobs[-1] if jobs and request.running else None
            jobs.append(_sbatch(sbatch_command(runs, len(names), request, before), script(runs, names)))
            tasks.note_submitted(runs, jobs[-1], names)
    except UserError:
        with suppress(UserError):
            cancel([str(job) for job in jobs])
        for job in jobs:
            (tasks.folder(runs) / f"{job}.json").unlink(missing_ok=True)
        raise


def script(runs: Path, names: list[str]) -> str:
    """The job script: task N becomes the shim of the run `names[N]`.

    It ends in `exec`, so that a signal to the batch process reaches the shim itself.
    """
    shim = f"{shlex.quote(sys.executable)} -P -m handreid_tui.launch.shim"
    listed = "\n".join(shlex.quote(name) for name in names)
    run = f'{shlex.quote(str(runs))}/"${{runs[SLURM_ARRAY_TASK_ID]}}"'
    return f"#!/bin/bash\nruns=(\n{listed}\n)\nexec {shim} {run} --slurm\n"


def sbatch_command(runs: Path, count: int, request: Request, after: int | None = None) -> list[str]:
    """The words of sbatch for `count` runs, which reads the script from its standard input."""
    limit = f"%{request.running}" if request.running else ""
    named = {"partition": request.partition, "account": request.account, "time": request.time}
    return [
        "sbatch",
        "--parsable",
        "--job-name=handreid",
        f"--array=0-{count - 1}{limit}",
        f"--signal=B:USR1@{GRACE}",
        "--requeue",
        "--open-mode=append",
        f"--output={tasks.folder(runs)}/%A.out",
        *(f"--{name}={value}" for name, value in named.items() if value),
        *([f"--gres=gpu:{request.gpus}"] if request.gpus else []),
        *([f"--nodes={request.nodes}", "--ntasks-per-node=1"] if request.nodes > 1 else []),
        *([f"--dependency=afterany:{after}"] if after is not None else []),
        *request.options,
    ]


def largest_array() -> int:
    """How many tasks an array of this cluster may have."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", call(["scontrol", "show", "config"]), re.MULTILINE)
    return max(1, int(found[1])) if found else USUAL_ARRAY


def _sbatch(command: list[str], script_: str) -> int:
    said = call(command, seconds=120, text=script_).strip()
    last = said.splitlines()[-1] if said else ""
    if found := re.fullmatch(r"(\d+)(;.*)?", last):
        return int(found[1])
    raise UserError(f"sbatch named no job; it said: {said[:300] or 'nothing'}")
