"""Real trainings on a real Slurm of one machine: `pytest -m slurm -n 0`, as root, with Debian's slurm-wlm and munge.

What is asked of Slurm's own behaviour is asked here; everything else is in the other `test_slurm_*.py`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from handreid_tui.runs.safe_files import read_json
from handreid_tui.runs.state import observe
from tests.support import slurm_cluster
from tests.support.events import raw_events
from tests.support.launch_tools import until

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(not slurm_cluster.available(), reason="needs root and Debian's slurm-wlm and munge"),
]
SHORT_TIME = ["--sbatch=--time=1", "--sbatch=--signal=B:USR1@5"]  # a minute at least; the signal comes up to 30 s early


class Place:
    """A working folder with a handreid.toml, where a user types."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = os.environ | environment
        folder.mkdir()
        (folder / "handreid.toml").write_text('[slurm]\npartition = "debug"\ngpus = 1\n')

    def types(self, *words: str, status: int = 0) -> str:
        """`handreid WORDS`; what it prints."""
        command = [sys.executable, "-m", "handreid_tui", *words]
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
        return done.stdout

    def slurm(self, *words: str) -> str:
        return subprocess.run(words, env=self.environment, capture_output=True, text=True, check=True).stdout

    def run(self, number: int) -> Path:
        return next(self.folder.glob(f"runs/{number:04d}-*"))

    def listed(self) -> dict[int, dict[str, Any]]:
        """What `handreid runs` shows, by number."""
        return {row["number"]: row for row in json.loads(self.types("runs", "--json"))}

    def statuses(self) -> dict[int, str]:
        time.sleep(1.5)  # asked in loops, and the trainings want the cores
        return {number: row["status"] for number, row in sorted(self.listed().items())}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with slurm_cluster.cluster(tmp_path_factory.mktemp("slurm"), nodes=2) as environment:
        yield environment


def kinds(run: Path, kind: str) -> list[dict[str, Any]]:
    return [event for event in raw_events(run / "events.jsonl") if event["kind"] == kind]


def trains(run: Path) -> bool:
    return observe(run).status == "running" and bool(kinds(run, "step"))


def same_weights(one: Path, other: Path) -> bool:
    place = "checkpoints/best/model.safetensors"
    first, second = load_file(one / place), load_file(other / place)
    return all(torch.equal(second[name], value) for name, value in first.items()) and first.keys() == second.keys()


def test_six_runs_two_at_a_time_cancelled_killed_and_out_of_time_end_as_local_ones(
    cluster: dict[str, str], tmp_path: Path
) -> None:
    here, there = Place(tmp_path / "here", {}), Place(tmp_path / "there", cluster)
    with (there.folder / "handreid.toml").open("a") as file:
        file.write('options = ["--nodelist=n1"]\n')  # two GPUs in all
    sweep = ["--combo", "ce", "--combo", "ce_triplet", "--epochs", "4", "--seed", "0", "--seed", "1", "--detach"]
    long = ["--combo", "ce_triplet_center", "--epochs", "40", "--detach"]
    last = ["--combo", "ce_arcface", "--epochs", "4", "--detach"]

    for words in (long, sweep, last):
        here.types("run", *words, "--parallel", "2")
    for number in range(1, 7):
        until(lambda number=number: observe(here.run(number)).status == "finished", 240)

    there.types("run", *long, "--on", "slurm", *SHORT_TIME)
    there.types("run", *sweep, "--on", "slurm")
    there.types("run", *last, "--on", "slurm")
    out_of_time, stopped, killed, cancelled, never_started, undisturbed = (there.run(number) for number in range(1, 7))
    seen: set[tuple[str, ...]] = set()

    def look(run: Path, condition: str) -> bool:
        statuses = there.statuses()
        assert list(statuses.values()).count("running") <= 2
        seen.add(tuple(statuses.values()))
        return statuses[int(run.name[:4])] == condition

    until(lambda: trains(stopped), 60)
    assert "Slurm" in there.types("queue")
    there.slurm("scancel", "2_3")  # it waits still
    there.types("stop", "2")
    until(lambda: look(stopped, "stopped"), 30)
    until(lambda: trains(killed), 60)
    os.kill(read_json(killed / "process.json")["trainer"], signal.SIGKILL)
    until(lambda: look(killed, "failed"), 30)
    assert "SIGKILL" in there.listed()[3]["reason"]
    until(lambda: trains(cancelled), 60)
    there.slurm("scancel", "2_2")
    until(lambda: look(cancelled, "stopped"), 30)
    until(lambda: look(never_started, "stopped"), 30)
    assert "cancelled from outside" in there.listed()[5]["reason"]
    assert kinds(cancelled, "checkpoint")

    for number in (2, 3, 4, 5):
        there.types("resume", str(number), "--detach")
    for number in range(1, 7):
        until(lambda number=number: look(there.run(number), "finished"), 240)
        assert same_weights(here.run(number), there.run(number)), there.run(number).name
    assert len(kinds(out_of_time, "started")) >= 2  # nobody resumed this one
    assert any(statuses[0] == "queued" for statuses in seen) or kinds(out_of_time, "started")[1]["resumed_from"]
    assert len(kinds(undisturbed, "started")) == 1
    assert there.types("queue").strip() == "The queue is empty."


def test_a_run_pushed_out_by_another_job_goes_on_by_itself(cluster: dict[str, str], tmp_path: Path) -> None:
    there = Place(tmp_path / "there", cluster)
    low = ["--sbatch=--partition=low", "--sbatch=--nodelist=n1"]
    there.types("run", "--combo", "ce", "--epochs", "30", "--on", "slurm", *low, "--detach")
    run = there.run(1)
    until(lambda: trains(run), 60)
    there.slurm("sbatch", "--partition=high", "--nodelist=n1", "--gres=gpu:2", "--output=/dev/null", "--wrap=sleep 18")
    until(lambda: there.statuses()[1] == "queued", 60)
    until(lambda: there.statuses()[1] == "finished", 120)
    assert len(kinds(run, "started")) == 2


def test_a_job_that_dies_with_its_shim_is_told_by_slurm(cluster: dict[str, str], tmp_path: Path) -> None:
    there = Place(tmp_path / "there", cluster)
    there.types("run", "--combo", "ce", "--epochs", "40", "--on", "slurm", "--detach")
    run = there.run(1)
    until(lambda: trains(run), 60)
    process = read_json(run / "process.json")
    os.kill(process["shim"], signal.SIGKILL)
    os.kill(process["trainer"], signal.SIGKILL)
    until(lambda: there.statuses()[1] in ("failed", "lost"), 60)
    there.types("resume", "1", "--detach")
    until(lambda: trains(run), 60)
    there.types("stop", "1")
    until(lambda: there.statuses()[1] == "stopped", 60)


def test_one_run_on_two_nodes_learns_what_one_process_learns(cluster: dict[str, str], tmp_path: Path) -> None:
    there = Place(tmp_path / "there", cluster)
    (there.folder / "handreid.toml").write_text('[slurm]\npartition = "debug"\ngpus = 1\nnodes = 2\n')
    words = ["--combo", "ce_triplet", "--epochs", "3", "--detach", "--set", "train.precision=float32"]
    there.types("run", *words, "--on", "slurm")
    there.types("run", *words)
    two, one = there.run(1), there.run(2)
    until(lambda: trains(two), 120)
    there.types("stop", "1")
    until(lambda: there.statuses()[1] == "stopped", 60)
    there.types("resume", "1", "--detach")
    until(lambda: set(there.statuses().values()) == {"finished"}, 180)
    assert {started["world_size"] for started in kinds(two, "started")} == {2}
    losses = [{step["step"]: step["total"] for step in kinds(run, "step")} for run in (one, two)]
    assert losses[0].keys() == losses[1].keys()
    assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-3)
    assert losses[0][max(losses[0])] == pytest.approx(losses[1][max(losses[0])], rel=0.05)


def test_the_doctor_looks_at_the_cluster_from_a_node(cluster: dict[str, str], tmp_path: Path) -> None:
    there = Place(tmp_path / "there", cluster)
    (there.folder / "handreid.toml").write_text('[slurm]\npartition = "debug"\ngpus = 0\n')
    found = json.loads(there.types("doctor", "--on", "slurm", "--json"))
    assert {finding["what"] for finding in found if finding["ok"]} >= {"slurm", "partition", "arrays", "node"}
    (there.folder / "handreid.toml").write_text('[slurm]\npartition = "nowhere"\n')
    found = json.loads(there.types("doctor", "--on", "slurm", "--json", status=1))
    assert any(finding["what"] == "partition" and not finding["ok"] for finding in found)


def test_a_thousand_runs_are_queued_by_one_command(cluster: dict[str, str], tmp_path: Path) -> None:
    there = Place(tmp_path / "there", cluster)
    combos = [word for combo in ("ce", "ce_triplet", "ce_triplet_center", "ce_arcface") for word in ("--combo", combo)]
    began = time.monotonic()
    there.types("run", *combos, "--seed", "0-249", "--on", "slurm", "--sbatch=--hold", "--detach", "--yes")
    print(f"\n1,000 runs queued in {time.monotonic() - began:.1f} s")
    assert len(there.slurm("squeue", "--noheader", "--array", "--format=%F_%K").split()) == 1000
    assert set(there.statuses().values()) == {"queued"}
    there.slurm("scancel", "--user=root")
    until(lambda: set(there.statuses().values()) == {"stopped"}, 60)
    there.types("resume", "1-1000", "--on", "slurm", "--sbatch=--hold", "--detach")
    assert set(there.statuses().values()) == {"queued"}
    there.types("stop", "1-1000")
    assert set(there.statuses().values()) == {"stopped"}
    assert not there.slurm("squeue", "--noheader")
