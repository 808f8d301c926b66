"""A task of a Slurm array: training once, time limits, preemption, failed nodes. Slurm is a stand-in."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from engine.contract.errors import UserError
from handreid_tui.launch import lifecycle, queue
from handreid_tui.launch.slurm.request import SlurmRequest
from handreid_tui.launch.supervisor import supervise
from handreid_tui.runs.safe_files import read_json, write_json
from handreid_tui.runs.state import observe
from tests.support.launch_tools import events, until
from tests.support.slurm_commands import CONFIG, Slurm, queued, start_task


def test_this_machine_leaves_the_runs_of_slurm_alone(runs: Path, slurm: Slurm) -> None:
    [path] = queued(runs)
    supervise(runs)
    assert observe(path).status == "queued"
    assert not (path / "process.json").exists()
    with pytest.raises(UserError, match="order"):
        queue.move(path, up=True)


def test_a_task_trains_its_run_once(runs: Path, slurm: Slurm) -> None:
    [path] = queued(runs)
    assert start_task(path).wait(20) == 0
    assert observe(path).status == "finished"
    assert read_json(path / "process.json")["slurm"] == "41_0"
    assert start_task(path, restarts=1).wait(20) == 0
    assert len(events(path, "started")) == 1


def test_a_failed_training_is_a_failed_job(runs: Path, slurm: Slurm) -> None:
    [path] = queued(runs, status=3)
    assert start_task(path).wait(20) == 3
    assert observe(path).status == "failed"


def test_when_time_is_up_the_run_stops_waits_again_and_goes_on(runs: Path, slurm: Slurm) -> None:
    [path] = queued(runs, steps=300)
    task = start_task(path)
    until(lambda: events(path, "step"))
    task.send_signal(signal.SIGUSR1)
    task.wait(20)
    assert slurm.calls("scontrol")[-1] == "scontrol requeue 41_0"
    assert observe(path).status == "queued"
    assert queue.waiting(runs, queue.SLURM)[0].resume
    done = len(events(path, "step"))
    write_json(path / "plan.json", {"steps": done + 3})
    assert start_task(path, restarts=1).wait(20) == 0
    assert observe(path).status == "finished"
    assert events(path, "started")[-1]["resumed_from"] == done


def test_where_slurm_does_not_queue_again_the_run_stays_stopped_and_says_why(runs: Path, slurm: Slurm) -> None:
    [path] = queued(runs, steps=300)
    task = start_task(path)
    until(lambda: events(path, "step"))
    slurm.says("scontrol", "echo 'Requested operation is disabled' >&2; exit 1")
    task.send_signal(signal.SIGUSR1)
    task.wait(20)
    assert observe(path).status == "stopped"
    assert "Requested operation is disabled" in events(path, "message")[-1]["text"]


def test_a_late_refusal_to_queue_again_leaves_alone_what_a_user_did_since(runs: Path, slurm: Slurm) -> None:
    [path] = queued(runs, steps=300)
    task = start_task(path)
    until(lambda: events(path, "step"))
    asks, refuses = slurm.folder / "asks", slurm.folder / "refuses"
    slow = f"touch {asks}; while [ ! -e {refuses} ]; do sleep 0.05; done; echo disabled >&2; exit 1"
    slurm.says("scontrol", f'case "$1" in requeue) {slow};; esac; {CONFIG}')
    task.send_signal(signal.SIGUSR1)
    until(asks.exists)
    lifecycle.stop(path)
    lifecycle.resume([path], slurm=SlurmRequest())
    refuses.touch()
    task.wait(20)
    assert observe(path).status == "queued"
    assert not events(path, "message")


@pytest.mark.parametrize(
    ("plan", "sign"),
    [({"steps": 1, "pause": 30, "unprepared": True}, "started"), ({"steps": 300, "full": True}, "step")],
    ids=["before its first step", "without room for checkpoints"],
)
def test_a_run_that_time_brings_no_farther_does_not_go_round_in_circles(
    runs: Path, slurm: Slurm, plan: dict[str, Any], sign: str
) -> None:
    [path] = queued(runs, **plan)
    task = start_task(path)
    until(lambda: events(path, sign))
    task.send_signal(signal.SIGUSR1)
    task.wait(20)
    assert observe(path).status == "stopped"
    assert not any("requeue" in call for call in slurm.calls("scontrol"))


def test_many_warnings_before_the_first_step_do_not_hide_the_checkpoint(runs: Path, slurm: Slurm) -> None:
    [path] = queued(runs, steps=300, warnings=600)
    task = start_task(path)
    until(lambda: events(path, "step"))
    task.send_signal(signal.SIGUSR1)
    task.wait(20)
    assert observe(path).status == "queued"


def test_a_run_that_another_job_pushes_out_asks_to_be_queued_again(runs: Path, slurm: Slurm) -> None:
    [path] = queued(runs, steps=300)
    task = start_task(path)
    until(lambda: events(path, "step"))
    slurm.says("scontrol", 'echo "JobId=41 PreemptEligibleTime=2026-01-01T00:00:00 PreemptTime=2026-01-01T00:00:09"')
    task.send_signal(signal.SIGTERM)
    task.wait(20)
    assert slurm.calls("scontrol")[-1] == "scontrol requeue 41_0"
    assert observe(path).status == "queued"


def test_a_run_cancelled_from_outside_stops_with_a_checkpoint_and_is_not_queued_again(runs: Path, slurm: Slurm) -> None:
    [path] = queued(runs, steps=300)
    task = start_task(path)
    until(lambda: events(path, "step"))
    slurm.says("scontrol", 'echo "JobId=41 PreemptTime=None"')
    task.send_signal(signal.SIGTERM)
    task.wait(20)
    assert observe(path).status == "stopped"
    assert not any("requeue" in call for call in slurm.calls("scontrol"))


def test_after_a_node_failed_the_task_that_slurm_starts_again_goes_on(runs: Path, slurm: Slurm) -> None:
    [path] = queued(runs, steps=300)
    task = start_task(path)
    until(lambda: len(events(path, "step")) > 2)
    trainer = read_json(path / "process.json")["trainer"]
    task.kill()
    os.kill(trainer, signal.SIGKILL)
    task.wait(20)
    write_json(path / "plan.json", {"steps": 5})
    assert start_task(path, restarts=1).wait(20) == 0
    assert observe(path).status == "finished"
    assert len(events(path, "started")) == 2
