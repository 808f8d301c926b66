"""`handreid doctor --on slurm`: whether this cluster can run what is queued there."""

from __future__ import annotations

import json
import secrets
import shlex
import sys
from contextlib import suppress
from pathlib import Path

from engine.contract.errors import UserError
from handreid_tui.cli.finding import Check
from handreid_tui.launch.slurm.client import call
from handreid_tui.launch.slurm.request import SlurmRequest
from handreid_tui.launch.slurm.submit import this_cluster

COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "srun")
PATIENCE = 120  # seconds to wait for a node

NODE = """
import json, os, socket, sys, torch
print(json.dumps({"host": socket.gethostname(), "torch": torch.__version__, "marker": os.path.exists(sys.argv[1]),
                  "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]}))
"""


def examine_slurm(runs: Path, request: SlurmRequest) -> list[Check]:
    """Commands, partition, and from a node of the partition: the folder of runs, torch and GPUs."""
    versions = [_command(name) for name in COMMANDS]
    if missing := [finding for finding in versions if not finding.ok]:
        return missing
    return [versions[0], _partition(request), _arrays(), *_node(runs, request)]


def _command(name: str) -> Check:
    try:
        return Check("slurm", True, call([name, "--version"]).strip())
    except UserError as error:
        return Check("slurm", False, str(error))


def _partition(request: SlurmRequest) -> Check:
    words = ["sinfo", "--noheader", "--format=%P %a %l %D nodes, %G"]
    try:
        output = call([*words, *([f"--partition={request.partition}"] if request.partition else [])]).splitlines()
    except UserError as error:
        return Check("partition", False, str(error))
    if not output:
        return Check("partition", False, f"there is no partition {request.partition!r}; `sinfo` lists them")
    return Check("partition", True, "; ".join(" ".join(line.split()) for line in output[:4]))


def _arrays() -> Check:
    try:
        return Check("arrays", True, f"up to {this_cluster().largest:,} runs in one")
    except UserError as error:
        return Check("arrays", False, str(error))


def _node(runs: Path, request: SlurmRequest) -> list[Check]:
    """Asked on a node, with what a run asks for. The folder of runs must be the same there."""
    runs = runs.absolute()
    folder = runs if runs.is_dir() else runs.parent
    marker = folder / f".handreid-probe-{secrets.token_hex(4)}"
    named = {"partition": request.partition, "account": request.account, "time": "00:05:00"}
    command = ["srun", "--ntasks=1", f"--immediate={PATIENCE}", "--job-name=handreid-doctor"]
    command += [f"--{name}={value}" for name, value in named.items() if value]
    command += [f"--gres=gpu:{request.gpus}"] if request.gpus else []
    command += [*request.options, sys.executable, "-P", "-c", NODE, str(marker)]
    try:
        marker.touch()
        output = call(command, seconds=PATIENCE + 60)
        found = json.loads(output.strip().splitlines()[-1])
    except UserError as error:
        return [Check("node", False, f"{error} Try it with: {shlex.join(command[:-5])} hostname")]
    except (OSError, ValueError, IndexError) as error:
        return [Check("node", False, f"its answer cannot be read: {error}")]
    finally:
        with suppress(OSError):
            marker.unlink(missing_ok=True)
    gpus = ", ".join(found["gpus"])
    return [
        Check("node", True, f"{found['host']}: torch {found['torch']} with this Python"),
        Check("GPU", bool(gpus) if request.gpus else None, gpus or "torch sees none there"),
        Check("runs", found["marker"], f"{folder} is {'' if found['marker'] else 'not '}the same folder there"),
    ]
