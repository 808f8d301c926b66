"""Calls of Slurm's own commands, and their refusals as one sentence."""

from __future__ import annotations

import os
import shutil
import subprocess

from engine.contract.errors import UserError

# they would filter or reshape the answers; those of sbatch that choose a partition or an account are the user's wish
LEFT_OUT = ("SQUEUE_", "SCANCEL_", "SBATCH_WAIT", "SBATCH_ARRAY", "SLURM_CLUSTERS", "SBATCH_CLUSTERS")

NOT_HERE = "There is no {} on this machine: use a login node of the cluster."
SOON = 5.0  # seconds for what a user waits for, and what the next look makes good


def check_login_node() -> None:
    """Raises UserError where Slurm's commands are not installed."""
    if shutil.which("sbatch") is None:
        raise UserError(NOT_HERE.format("sbatch"))


def call(command: list[str], *, seconds: float = 30.0, text: str | None = None) -> str:
    """What the command prints; `text` is its standard input. Raises UserError in Slurm's own words."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(LEFT_OUT)}
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            env=environment,
            start_new_session=True,  # a Ctrl-C is ours to answer
        )
    except FileNotFoundError:
        raise UserError(NOT_HERE.format(command[0])) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{command[0]} cannot be run: {error}.") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"{command[0]} did not answer within {seconds:.0f} s: check Slurm with `sinfo`.") from None
    if done.returncode:
        output = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        raise UserError(f"{command[0]} refused: {output[:400]}")
    return done.stdout


def cancel(ids: list[str]) -> None:
    """Cancel jobs or tasks, whatever they do. Raises UserError; some may be cancelled then."""
    _scancel([], ids, SOON)


def send(ids: list[str], signal: str) -> None:
    """Send a signal, like TERM, to the batch process of running tasks, which is their shim. Raises UserError."""
    _scancel([f"--signal={signal}", "--batch"], ids, 30.0)


def _scancel(options: list[str], ids: list[str], seconds: float) -> None:
    for start in range(0, len(ids), 500):  # a command line has an end
        call(["scancel", *options, *ids[start : start + 500]], seconds=seconds)
