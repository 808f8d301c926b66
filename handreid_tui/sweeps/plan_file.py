"""What a sweep was asked to do: `runs/.sweeps/0003.json`, replaced atomically, with every planned point.

How far it is is not in it: that is computed from the run directories, each with its `sweep.json`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.contract import run_files
from engine.contract.config import RunConfig, with_settings
from engine.contract.errors import UserError
from handreid_tui.launch import file_locks
from handreid_tui.launch.slurm.request import SlurmRequest
from handreid_tui.runs.safe_files import explain, read_bytes, read_json, replace_file, write_json
from handreid_tui.sweeps.points import Point
from handreid_tui.sweeps.space import Dimension

FOLDS = 4  # parts of the training people
TRIAL_SEED = 1000  # of every trial's training; confirmations have 0, 1, … and share them with plain runs


@dataclass(frozen=True)
class SweepPlan:
    """bases: the published configuration of each combination, its recipe with the user's settings.

    spaces and points: by combination, the first point is the recipe's. folds: on how many of the four each trial is
    validated. launch: options of the queue, or of Slurm with `slurm`. stopped: why it is stopped, "" where it is not.
    finished: whether every phase was completed. seen: of a Bayesian search, for each proposed point, the trials that
    it was proposed from.
    """

    number: int
    created: float
    bases: dict[str, RunConfig]
    spaces: dict[str, list[Dimension]]
    points: dict[str, list[Point]]
    trials: int
    method: str = "quasi"
    prune: bool = False
    search_seed: int = 0
    folds: int = 1
    shortlist: int = 3
    confirm: int = 3
    launch: dict[str, Any] = field(default_factory=dict)
    slurm: SlurmRequest | None = None
    tags: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    stopped: str = ""
    finished: bool = False
    seen: dict[str, list[list[int]]] = field(default_factory=dict)

    @property
    def combos(self) -> list[str]:
        return list(self.bases)

    @property
    def trainings(self) -> int:
        """How many trainings all phases take at most."""
        left = FOLDS - self.folds
        return len(self.bases) * (self.trials * self.folds + self.shortlist * left + self.confirm)

    def config(self, combo: str, point: Point, seed: int, fold: int | None) -> RunConfig:
        """A trial's configuration on one fold; without a fold, that of a confirmation: as published."""
        settings: dict[str, Any] = dict(point)
        if fold is not None:
            held_out = {"data.validation": "identities", "data.folds": FOLDS, "data.fold": fold}
            settings |= held_out | {"evaluation.test": False}
        return with_settings(self.bases[combo], settings | {"seed": seed})

    def write(self, runs: Path) -> None:
        raw = {field: value for field, value in vars(self).items() if field not in ("bases", "spaces", "slurm")}
        raw |= {
            "version": 1,
            "bases": {combo: config.model_dump() for combo, config in self.bases.items()},
            "spaces": {combo: [one.as_json() for one in space] for combo, space in self.spaces.items()},
            "slurm": asdict(self.slurm) if self.slurm else None,
            "tags": list(self.tags),
        }
        write_json(plan_path(runs, self.number), raw)


def plan_path(runs: Path, number: int) -> Path:
    return runs / run_files.SWEEPS / f"{number:04d}.json"


def read_plan(runs: Path, number: int) -> SweepPlan:
    """Raises UserError where there is no such sweep, or its file is damaged."""
    path = plan_path(runs, number)
    raw = read_json(path, limit=64 << 20)
    if not raw:
        there = ", ".join(f"@{found}" for found in list_sweeps(runs))
        raise UserError(f"No such sweep: @{number}. {f'There is {there}.' if there else 'See `handreid tune --help`.'}")
    try:
        raw.pop("version")
        slurm = raw.pop("slurm")
        return SweepPlan(
            **raw
            | {
                "bases": {combo: RunConfig.model_validate(config) for combo, config in raw["bases"].items()},
                "spaces": {combo: [Dimension.of_json(one) for one in space] for combo, space in raw["spaces"].items()},
                "slurm": SlurmRequest(**slurm | {"options": tuple(slurm["options"])}) if slurm else None,
                "tags": tuple(raw["tags"]),
            }
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({type(error).__name__}): remove it; its runs are kept.") from None


def list_sweeps(runs: Path) -> list[int]:
    """The numbers of the sweeps in a folder of runs."""
    folder = runs / run_files.SWEEPS
    names = (re.fullmatch(r"([0-9]{4,9})\.json", path.name) for path in folder.glob("[0-9]*.json"))
    return sorted(int(name[1]) for name in names if name)


def new_number(runs: Path) -> int:
    """A number that no sweep has had. For the holder of `changing_sweeps`."""
    sequence = runs / run_files.SWEEPS / run_files.SEQUENCE
    last = (read_bytes(sequence) or b"").strip()
    number = max([int(last) if last.isdigit() else 0, *list_sweeps(runs)]) + 1
    replace_file(sequence, f"{number}\n".encode())
    return number


@contextmanager
def changing_sweeps(runs: Path, number: int | None = None) -> Iterator[None]:
    """Hold the lock of one sweep, or the one under which sweeps get their numbers. Raises UserError without access."""
    folder = runs / run_files.SWEEPS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file_locks.hold(folder / (run_files.RUNS_LOCK if number is None else f"{number:04d}.lock")):
            yield
    except OSError as error:
        raise UserError(f"The sweeps of {runs} cannot be changed: {explain(error)}") from None


def set_state(runs: Path, number: int, *, stopped: str | None = None, finished: bool | None = None) -> SweepPlan:
    """Note that a sweep was stopped and why ("": it continues), or finished. For the holder of its lock."""
    plan = read_plan(runs, number)
    plan = plan if stopped is None else replace(plan, stopped=stopped)
    plan = plan if finished is None else replace(plan, finished=finished)
    plan.write(runs)
    return plan
