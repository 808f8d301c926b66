"""What a shim does more where it is a task of Slurm: start again after a requeue, and ask for one when time is up.

Slurm's signals to the batch process, which is the shim:

    TERM  `handreid stop`, scancel, or the place is for another job: the trainer stops with a checkpoint
    USR1  the time limit is near, or as the cluster has it another job: the same, and the task asks to be queued again
    USR2  `handreid stop --kill`: the trainer is killed

The standard library alone: the shim imports this.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine.contract import run_files
from engine.contract.errors import UserError
from handreid_tui.launch import queue
from handreid_tui.launch.queue import SLURM, Waiting
from handreid_tui.launch.slurm.client import call
from handreid_tui.runs.attempt import was_asked_to_stop
from handreid_tui.runs.claim import claim
from handreid_tui.runs.safe_files import inside, is_file, read_json
from handreid_tui.runs.state import observe

PATIENCE = 180.0  # seconds for the claim of a node that failed to be given up; NFS takes 90


@dataclass(frozen=True)
class ThisTask:
    """The task that this process is. `id` is 41_3; `restarted`: Slurm runs it again."""

    id: str
    restarted: bool
    nodes: int

    @classmethod
    def of_environment(cls) -> ThisTask:
        env = os.environ
        return cls(
            id=f"{env['SLURM_ARRAY_JOB_ID']}_{env['SLURM_ARRAY_TASK_ID']}",
            restarted=int(env.get("SLURM_RESTART_COUNT", "0")) > 0,
            nodes=int(env.get("SLURM_JOB_NUM_NODES", "1")),
        )

    @property
    def gpus(self) -> int:
        """On this node; Slurm shows a task only those that are its own."""
        return len(os.environ.get("CUDA_VISIBLE_DEVICES", "").split(","))

    @property
    def device(self) -> str:
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        return f"Slurm {self.id}" + (f", GPU {gpus}" if gpus else "")

    def own(self, run: Path) -> int | None:
        """The claim on the run if it waits for this task, None if not. Raises UserError where it stays taken."""
        end = time.monotonic() + PATIENCE
        while self._waits(run) or self._goes_on(run):
            if (owned := claim(run)) is not None:
                if not is_file(run / run_files.QUEUED) and self._goes_on(run):
                    wait_again(run)
                return owned
            if time.monotonic() > end:
                raise UserError(f"{run} is still claimed, so its Slurm task {self.id} cannot start it.")
        return None

    def _waits(self, run: Path) -> bool:
        return is_file(run / run_files.QUEUED) and queue.read(run).on == SLURM

    def _goes_on(self, run: Path) -> bool:
        """Whether this task ran it before and was cut short by Slurm itself: a node failed, another job had to pass."""
        before = read_json(run / run_files.PROCESS)
        mine = self.restarted and before.get("slurm") == self.id and "asked" not in before
        return mine and observe(run).status != "finished"

    def torchrun(self) -> list[str]:
        """How to start a process for each GPU on each of several nodes; they meet at this one."""
        port = 20000 + int(re.sub(r"\D", "", self.id)) % 20000
        cpus = os.environ.get("SLURM_CPUS_PER_TASK")  # which srun does not take over by itself
        return [
            "srun",
            f"--nodes={self.nodes}",
            "--ntasks-per-node=1",
            "--kill-on-bad-exit=1",
            *([f"--cpus-per-task={cpus}"] if cpus else []),
            sys.executable,
            "-P",
            "-m",
            "torch.distributed.run",
            f"--nnodes={self.nodes}",
            f"--nproc-per-node={self.gpus}",
            f"--rdzv-id={self.id}",
            "--rdzv-backend=c10d",
            f"--rdzv-endpoint={socket.gethostname()}:{port}",
        ]

    def stop_step(self) -> None:
        """Ask a trainer on several nodes to stop. Slurm tells its processes: srun would kill them."""
        for _ in range(3):
            with suppress(UserError):
                call(["scancel", "--signal=TERM", self.id])
                break
            time.sleep(1)

    def is_preempted(self) -> bool:
        """Whether Slurm takes the place for another job. It tells the processes that srun started, and not us."""
        with suppress(UserError):
            return re.search(r"\bPreemptTime=[0-9]", call(["scontrol", "show", "job", self.id])) is not None
        return False

    def requeue(self, run: Path, waits: Waiting) -> None:
        """Ask Slurm to run this task again; if it refuses, the run stays stopped, and its events say so.

        `waits`: what `wait_again` wrote. A user may have stopped and resumed the run since.
        """
        try:
            call(["scontrol", "requeue", self.id])
        except UserError as error:
            with queue.owned(run):
                if queue.read(run) == waits:
                    (run / run_files.QUEUED).unlink()
                    from engine.contract.events import EventWriter, TrainerMessage

                    events = EventWriter(inside(run, run_files.EVENTS))
                    text = f"Time limit; Slurm does not requeue it: {error} `handreid resume` continues it."
                    events.write(TrainerMessage("warning", text))
                    events.close()


def wait_again(run: Path) -> Waiting | None:
    """Put the run back into the queue, to go on from its checkpoint, unless a user asked to stop it meanwhile.

    For the owner of the claim. A stop that marks the run after this has looked finds it waiting.
    """
    waits = Waiting(run, place=time.time(), resume=True, on=SLURM)
    waits.write()
    if was_asked_to_stop(run):
        (run / run_files.QUEUED).unlink()
        return None
    return waits
