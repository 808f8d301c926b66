"""Runs on several GPUs: a stop and a kill reach every process. With a stand-in for torchrun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from handreid_tui.launch import lifecycle, queue
from handreid_tui.runs.state import observe
from tests.support.launch_tools import events, make_run, processes_of, until
from tests.support.slurm_commands import Slurm, queued, start_task

TORCHRUN = """
import os, signal, subprocess, sys, time

worker = subprocess.Popen([sys.executable, os.environ["TRAINER"], sys.argv[-1], "-m", "engine", "x"], process_group=0)

def impatient(*_):
    worker.kill()
    sys.exit(1)

signal.signal(signal.SIGTERM, impatient)
sys.exit(bool(worker.wait()))
"""


@pytest.fixture
def torchrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A torchrun with one worker and no patience."""
    package = tmp_path / "python" / "torch" / "distributed"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    (package / "run.py").write_text(TORCHRUN)
    monkeypatch.setenv("TRAINER", os.environ["HANDREID_TRAINER"])
    monkeypatch.delenv("HANDREID_TRAINER")
    monkeypatch.setenv("PYTHONPATH", f"{package.parents[1]}:{Path(__file__).parents[2]}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")


def test_on_several_gpus_the_checkpoint_has_the_time_that_slurm_gives(runs: Path, slurm: Slurm, torchrun: None) -> None:
    [path] = queued(runs, steps=3000, saving=0.3)
    task = start_task(path)
    until(lambda: events(path, "step"))
    task.send_signal(signal.SIGUSR1)
    assert task.wait(20) == 0
    assert (observe(path).status, len(events(path, "checkpoint"))) == ("queued", 1)


def test_a_kill_on_several_gpus_reaches_each(runs: Path, slurm: Slurm, torchrun: None) -> None:
    [path] = queued(runs, steps=3000, deaf=True)
    task = start_task(path)
    until(lambda: events(path, "step"))
    task.send_signal(signal.SIGUSR2)
    task.wait(20)
    until(lambda: not processes_of(path))
    assert observe(path).status == "stopped"


def test_a_kill_on_several_gpus_of_this_machine_reaches_each(runs: Path, torchrun: None) -> None:
    path = make_run(runs, steps=3000, deaf=True)
    queue.enqueue_all([path])
    command = [sys.executable, "-P", "-m", "handreid_tui.launch.shim", str(path), "--processes", "2"]
    shim = subprocess.Popen(command, start_new_session=True)
    until(lambda: events(path, "step"))
    assert lifecycle.stop(path, kill=True) == "killed"
    shim.wait(20)
    until(lambda: not processes_of(path))
    assert observe(path).status == "stopped"


def test_a_trainer_that_was_asked_to_stop_and_ends_without_a_word_is_stopped(runs: Path, slurm: Slurm) -> None:
    [path] = queued(runs, steps=3000, mute=True)
    task = start_task(path)
    until(lambda: events(path, "step"))
    task.send_signal(signal.SIGTERM)
    assert task.wait(20) == 1
    assert observe(path).status == "stopped"
    assert "before it could write a checkpoint" in observe(path).reason
