"""What a run asks of the cluster: the section [slurm] of handreid.toml.

[slurm]
partition = "gpu"
account = "p1234"
time = "04:00:00"
gpus = 1            # for each run and node
nodes = 1           # for each run
running = 8         # runs of a sweep at once
options = ["--mem=64G", "--cpus-per-task=8"]
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields, replace
from typing import Any

from engine.contract.errors import UserError

OURS = ("array", "clusters", "job-name", "output", "parsable", "wait", "wrap")


@dataclass(frozen=True)
class SlurmRequest:
    """gpus: whole ones, on each node of a run. running: how many runs at once, 0 for no limit.

    options: for sbatch, as they are; they come last, so they win.
    """

    partition: str = ""
    account: str = ""
    time: str = ""
    gpus: int = 1
    nodes: int = 1
    running: int = 0
    options: tuple[str, ...] = ()

    def changed(self, gpus: float | None, options: list[str]) -> SlurmRequest:
        """This request with what the command line says. Raises UserError for a part of a GPU."""
        if gpus is not None and not (math.isfinite(gpus) and gpus == int(gpus)):
            raise UserError(
                f"A run on Slurm uses whole GPUs, but got {gpus:g}; for a fraction, use --gpus 0 and --sbatch."
            )
        asked = self if gpus is None else replace(self, gpus=int(gpus))
        return check(replace(asked, options=(*asked.options, *options)))


def read_request(table: Any, where: str) -> SlurmRequest:
    """The section [slurm], read from TOML. Raises UserError on a mistake in it."""
    if not isinstance(table, dict):
        raise UserError(f"{where} is a section with partition, time, gpus, …")
    known = {field.name: field for field in fields(SlurmRequest)}
    if unknown := table.keys() - known:
        raise UserError(f"{where} has no setting {min(unknown)!r}, only {', '.join(known)}.")
    for name, value in table.items():
        wanted = type(known[name].default)
        if wanted is tuple:
            if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
                raise UserError(f'{where}: {name} is a list like ["--mem=64G"], but got {value!r}.')
        elif not isinstance(value, wanted) or isinstance(value, bool):
            kind = "text in quotes" if wanted is str else "a whole number"
            raise UserError(f"{where}: {name} is {kind}, but got {value!r}.")
    return check(replace(SlurmRequest(), **(table | {"options": tuple(table.get("options", ()))})))


def check(request: SlurmRequest) -> SlurmRequest:
    """The request, if Slurm could make sense of it. Raises UserError otherwise."""
    if request.gpus < 0 or request.nodes < 1 or request.running < 0:
        raise UserError("On Slurm, gpus and running are 0 or more, and nodes is 1 or more.")
    for option in request.options:
        if not option.startswith("-"):
            raise UserError(f"An option of sbatch begins with a dash, like --mem=64G, but got {option!r}.")
        if _is_ours(option):
            raise UserError(f"{option} is set by handreid, which submits arrays to the cluster of this login node.")
    return request


def _is_ours(option: str) -> bool:
    """Whether the option would undo what handreid asks for; sbatch takes the beginning of a long name for the name."""
    if option.startswith("--"):
        name = option[2:].split("=")[0]
        return bool(name) and any(own.startswith(name) for own in OURS)
    return re.match(r"-([HQkOsv]*[aJMoW]|$)", option) is not None  # letters without a value may stand before
