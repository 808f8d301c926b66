"""A sweep on Slurm: its search is one array, and each look takes the next phase."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.contract import run_files
from handreid_tui.launch.slurm import sync
from handreid_tui.launch.slurm.request import SlurmRequest
from handreid_tui.sweeps import actions
from handreid_tui.sweeps.keeper import look_after_sweeps
from handreid_tui.sweeps.roles import CONFIRM
from handreid_tui.sweeps.status import read_status
from handreid_tui.sweeps.trials import Reader
from tests.support.launch_tools import processes_of
from tests.support.run_files import append
from tests.support.slurm_commands import Slurm
from tests.support.sweep_tools import planned


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    made = Slurm(tmp_path / "slurm-commands")
    monkeypatch.setenv("PATH", str(made.folder), prepend=":")
    sync.this_cluster_name.cache_clear()
    return made


def finish_all(runs: Path) -> None:
    """What the tasks of Slurm would have done by the next look."""
    for task, run in Reader(runs, 1).read().items():
        if run.status == "queued":
            key = "mAP" if task.role == CONFIRM else "validation_mAP"
            append(run.path, {"v": 1, "t": 1.0, "kind": "started", "resumed_from": None})
            summary = {key: 0.5 + task.trial / 100}
            append(run.path, {"v": 1, "t": 2.0, "kind": "ended", "status": "finished", "summary": summary})
            (run.path / run_files.QUEUED).unlink()


def test_72_trials_are_one_array_and_confirmation_follows_a_look(hands: Path, tmp_path: Path, slurm: Slurm) -> None:
    runs = tmp_path / "runs"
    combos = ("ce", "ce_triplet", "ce_arcface")
    made = planned(hands, runs, *combos, trials=24, shortlist=2, confirm=3, slurm=SlurmRequest())
    actions.start(made, runs)
    (array,) = slurm.calls("sbatch")
    assert "--array=0-71" in array
    assert not processes_of(runs)  # no keeper
    for phase, count in (("shortlist", 3 * 2 * 3), ("confirm", 3 * 3)):
        finish_all(runs)
        look_after_sweeps(runs)
        assert read_status(runs, 1).phase == phase
        assert f"--array=0-{count - 1}" in slurm.calls("sbatch")[-1]
        look_after_sweeps(runs)  # a second look asks for nothing twice
    finish_all(runs)
    look_after_sweeps(runs)
    assert read_status(runs, 1).phase == "finished"
    assert len(slurm.calls("sbatch")) == 3
    assert len(Reader(runs, 1).read()) == 72 + 18 + 9
