"""Stand-ins for Slurm's commands, which record their calls and answer as a test chooses; runs that use them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from engine.contract.events import EventWriter
from handreid_tui.launch import lifecycle
from handreid_tui.launch.slurm import sync
from handreid_tui.launch.slurm.request import SlurmRequest
from handreid_tui.runs.safe_files import write_json
from tests.support.events import event
from tests.support.launch_tools import make_run

CONFIG = 'case "$1 $2" in "show config") printf "ClusterName = alps\\nMaxArraySize            = 1001\\n";; esac'


class Slurm:
    """Commands that note how they were called, and answer as a test has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.says("sbatch", "cat > $0.script.$(ls $0.script.* 2>/dev/null | wc -l); echo 41")
        self.says("scontrol", CONFIG)
        self.says("scancel", "")
        self.says("squeue", "")

    def says(self, name: str, body: str) -> None:
        """`name` does `body`, a shell script."""
        path = self.folder / name
        path.write_text(f'#!/bin/bash\necho "{name} $*" >> {shlex.quote(str(self.folder))}/calls\n{body}\n')
        path.chmod(0o755)

    def squeue(self, *lines: str) -> None:
        self.says("squeue", "\n".join(f"echo {shlex.quote(line)}" for line in lines))

    def calls(self, name: str) -> list[str]:
        noted = self.folder / "calls"
        lines = noted.read_text().splitlines() if noted.exists() else []
        return [line for line in lines if line.split()[0] == name]


def queued(runs: Path, count: int = 1, **plan: Any) -> list[Path]:
    paths = [make_run(runs, **plan) for _ in range(count)]
    lifecycle.launch(paths, slurm=SlurmRequest())
    return paths


def start_task(path: Path, index: int = 0, restarts: int = 0) -> subprocess.Popen[bytes]:
    """What the job script does on a node."""
    own = {"SLURM_ARRAY_JOB_ID": "41", "SLURM_ARRAY_TASK_ID": str(index), "SLURM_RESTART_COUNT": str(restarts)}
    command = [sys.executable, "-P", "-m", "handreid_tui.launch.shim", str(path), "--slurm"]
    return subprocess.Popen(command, env=os.environ | own, start_new_session=True)


def look_now(runs: Path) -> None:
    sync.take_in(runs, every=0)


def running_elsewhere(path: Path, **process: Any) -> None:
    """As a shim on a node that failed leaves its run, seen from the login node."""
    (path / "queued.json").unlink()
    about = {"host": "node7", "boot_id": "other", "slurm": "41_0", "shim": 7, "shim_started": 7, "events": 0}
    write_json(path / "process.json", about | process)
    log = EventWriter(path / "events.jsonl")
    log.write(event("started"))
    log.write(event("step", step=0, total=1.0))
    log.close()


def kills(task: subprocess.Popen[bytes]) -> str:
    """What scancel does of its signals."""
    return f'case "$*" in *TERM*) kill -TERM {task.pid};; *USR2*) kill -USR2 {task.pid};; esac'
