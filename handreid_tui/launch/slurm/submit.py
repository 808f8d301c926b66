"""Submits runs as arrays of jobs; each task becomes the shim of one run, in the run directory."""

from __future__ import annotations

import re
import secrets
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from engine.contract import run_files
from engine.contract.errors import UserError
from handreid_tui.launch.slurm import ledger
from handreid_tui.launch.slurm.client import call
from handreid_tui.launch.slurm.request import SlurmRequest
from handreid_tui.runs.safe_files import explain

GRACE = 60  # seconds between USR1 and the time limit, to write a checkpoint
USUAL_ARRAY = 1001  # Slurm's own MaxArraySize


@dataclass(frozen=True)
class Cluster:
    """The cluster of this login node; `largest`: how many tasks an array may have."""

    name: str
    largest: int


def submit(groups: list[tuple[list[Path], SlurmRequest]]) -> None:
    """Submit the runs, in this order, each group of one folder with what it asks for; all or none.

    For the holder of the locks of their tasks. Raises UserError in Slurm's words.
    """
    cluster, jobs = this_cluster(), list[int]()
    label = f"handreid-{secrets.token_hex(3)}"
    several = len(groups) > 1 or len(groups[0][0]) > cluster.largest
    held = several and not {"--hold", "-H"} & set(groups[0][1].options)  # none starts before all were taken
    with _uninterrupted():
        try:
            _close_all(groups)
            for paths, request in groups:
                before = None
                for array in _arrays(paths, cluster.largest):
                    runs, names = array[0].parent, [path.name for path in array]
                    command = sbatch_command(runs, len(names), request, label, before, held)
                    jobs.append(_sbatch(command, script(runs, names)))
                    ledger.note_submitted(runs, jobs[-1], names, cluster.name)
                    # one array after the other, or each would have the limit of running tasks for itself
                    before = jobs[-1] if request.running else None
            if held:
                call(["scontrol", "release", *map(str, jobs)])
        except (UserError, OSError) as error:
            with suppress(UserError, OSError):
                call(["scancel", f"--name={label}"])  # by name, for sbatch may have submitted more than it told
                _close_all(groups)
            if isinstance(error, OSError):
                raise UserError(f"The Slurm tasks cannot be recorded: {explain(error)}") from None
            raise


def _arrays(paths: list[Path], largest: int) -> list[list[Path]]:
    return [paths[start : start + largest] for start in range(0, len(paths), largest)]


def _close_all(groups: list[tuple[list[Path], SlurmRequest]]) -> None:
    for paths, _ in groups:
        ledger.close(paths[0].parent, [path.name for path in paths])


def script(runs: Path, names: list[str]) -> str:
    """The job script: task N becomes the shim of the run `names[N]`.

    It ends in `exec`, so that a signal to the batch process reaches the shim itself.
    """
    shim = f"{shlex.quote(sys.executable)} -P -m handreid_tui.launch.shim"
    listed = "\n".join(shlex.quote(name) for name in names)
    run = f'{shlex.quote(str(runs))}/"${{runs[SLURM_ARRAY_TASK_ID]}}"'
    return f"#!/bin/bash\nruns=(\n{listed}\n)\nexec {shim} {run} --slurm\n"


def sbatch_command(
    runs: Path, count: int, request: SlurmRequest, label: str, after: int | None = None, held: bool = False
) -> list[str]:
    """The words of sbatch for `count` runs, which reads the script from its standard input."""
    limit = f"%{request.running}" if request.running else ""
    named = {"partition": request.partition, "account": request.account, "time": request.time}
    output = str(ledger.folder(runs)).replace("%", "%%")
    return [
        "sbatch",
        "--parsable",
        f"--job-name={label}",
        f"--array=0-{count - 1}{limit}",
        f"--signal=B:USR1@{GRACE}",
        "--requeue",
        "--open-mode=append",
        f"--output={output}/%A{run_files.SLURM_OUTPUT}",
        *(f"--{name}={value}" for name, value in named.items() if value),
        *([f"--gres=gpu:{request.gpus}"] if request.gpus else []),
        *([f"--nodes={request.nodes}", "--ntasks-per-node=1"] if request.nodes > 1 else []),
        *([f"--dependency=afterany:{after}"] if after is not None else []),
        *(["--hold"] if held else []),
        *request.options,
    ]


def this_cluster(seconds: float = 30.0) -> Cluster:
    """What Slurm says of itself. Raises UserError."""
    output = call(["scontrol", "show", "config"], seconds=seconds)
    name = re.search(r"^ClusterName\s*=\s*(\S+)", output, re.MULTILINE)
    largest = re.search(r"^MaxArraySize\s*=\s*(\d+)", output, re.MULTILINE)
    return Cluster(name[1] if name else "", max(1, int(largest[1])) if largest else USUAL_ARRAY)


def _sbatch(command: list[str], script_: str) -> int:
    output = call(command, seconds=120, text=script_).strip()
    last = output.splitlines()[-1] if output else ""
    if found := re.fullmatch(r"(\d+)(;.*)?", last):
        return int(found[1])
    raise UserError(f"sbatch returned no job; its output: {output[:300] or 'nothing'}")


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A Ctrl-C waits until what was submitted is noted; it reaches the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt
