"""Stopping and removing runs on Slurm. With stand-ins for Slurm's commands."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from engine.contract.errors import UserError
from handreid_tui.launch import lifecycle, queue
from handreid_tui.launch.slurm import client, ledger, sync
from handreid_tui.launch.slurm.request import SlurmRequest
from handreid_tui.runs.state import observe
from tests.support.launch_tools import events, make_run, until
from tests.support.slurm_commands import Slurm, kills, look_now, queued, running_elsewhere, start_task


def test_a_waiting_run_is_taken_out_of_the_queue_and_cancelled(runs: Path, slurm: Slurm) -> None:
    one, two, three = queued(runs, 3)
    assert lifecycle.stop(one) == "withdrawn"
    assert slurm.calls("scancel") == ["scancel 41_0"]
    assert observe(one).status == "stopped"
    assert set(lifecycle.stop_all([two, three]).values()) == {"withdrawn"}
    assert slurm.calls("scancel")[1:] == ["scancel 41_1 41_2"]
    assert not ledger.has_open_tasks(runs)
    slurm.squeue("41|0|PENDING|Priority")  # squeue may lag behind scancel
    look_now(runs)
    assert observe(one).status == "stopped"


def test_a_running_run_is_told_by_its_shim_and_a_second_stop_kills(runs: Path, slurm: Slurm) -> None:
    [path] = queued(runs, steps=3000, deaf=True)
    task = start_task(path)
    until(lambda: events(path, "step"))
    slurm.says("scancel", kills(task))
    assert lifecycle.stop(path) == "stopping"
    assert slurm.calls("scancel") == ["scancel --signal=TERM --batch 41_0"]
    until(lambda: lifecycle.is_stopping(path))
    assert lifecycle.stop(path) == "killed"
    task.wait(20)
    assert observe(path).status == "stopped"
    assert "checkpoint" in observe(path).reason


def test_the_first_stop_after_slurm_asked_waits_for_the_checkpoint(runs: Path, slurm: Slurm) -> None:
    [path] = queued(runs, steps=3000, saving=0.5)
    task = start_task(path)
    until(lambda: events(path, "step"))
    slurm.says("scancel", kills(task))
    task.send_signal(signal.SIGUSR1)
    until(lambda: lifecycle.is_stopping(path))
    assert lifecycle.stop(path) == "stopping"
    task.wait(20)
    assert (observe(path).status, len(events(path, "checkpoint"))) == ("stopped", 1)
    assert not any("requeue" in call for call in slurm.calls("scontrol"))


def test_a_kill_near_the_time_limit_is_not_blamed_on_the_limit(runs: Path, slurm: Slurm) -> None:
    [path] = queued(runs, steps=3000, deaf=True)
    task = start_task(path)
    until(lambda: events(path, "step"))
    task.send_signal(signal.SIGUSR1)
    until(lambda: lifecycle.is_stopping(path))
    slurm.says("scancel", "echo 'Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(UserError, match="Unable to contact"):  # that it is stopping was Slurm's wish
        lifecycle.stop(path)
    slurm.says("scancel", kills(task))
    assert [lifecycle.stop(path), lifecycle.stop(path)] == ["stopping", "killed"]
    task.wait(20)
    assert (observe(path).status, "limit" in observe(path).reason) == ("stopped", False)


def test_a_stop_that_comes_just_before_the_time_limit_is_a_stop(runs: Path, slurm: Slurm) -> None:
    [path] = queued(runs, steps=3000)
    task = start_task(path)
    until(lambda: events(path, "step"))
    slurm.says("scancel", f"kill -USR1 {task.pid}")
    lifecycle.stop(path)
    task.wait(20)
    assert observe(path).status == "stopped"
    assert not any("requeue" in call for call in slurm.calls("scontrol"))


def test_a_removed_run_leaves_slurm_too(runs: Path, slurm: Slurm) -> None:
    [path] = queued(runs)
    lifecycle.remove(path)
    assert slurm.calls("scancel") == ["scancel 41_0"]
    assert not path.exists()


def test_several_runs_are_removed_with_one_word_to_slurm_or_none_of_them(runs: Path, slurm: Slurm) -> None:
    one, two, three = queued(runs, 3, steps=3000)
    task = start_task(three, 2)
    until(lambda: events(three, "step"))
    with pytest.raises(UserError, match="running"):
        lifecycle.remove_all([one, two, three])
    assert observe(one).status == "queued"
    task.terminate()
    task.wait(20)
    assert lifecycle.remove_all([one, two, three]) > 0
    assert slurm.calls("scancel") == ["scancel 41_0 41_1"]
    assert not list(runs.glob("0*"))


def test_a_task_that_could_not_be_cancelled_is_cancelled_later(
    runs: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three = queued(runs, 3)
    slurm.says("scancel", "echo 'Unable to contact slurm controller' >&2; exit 1")
    assert lifecycle.stop(one) == "withdrawn"
    lifecycle.remove(two)
    slurm.says("scancel", "")
    slurm.squeue(*(f"41|{index}|PENDING|Priority" for index in range(3)))
    look_now(runs)
    assert len(ledger.open_tasks(runs)) == 3
    monkeypatch.setattr(sync, "LEFT_OVER_AFTER", 0.0)
    look_now(runs)
    assert slurm.calls("scancel")[-1] == "scancel 41_0 41_1"
    assert list(ledger.open_tasks(runs)) == [three.name]
    assert [observe(path).status for path in (one, three)] == ["stopped", "queued"]


def test_where_slurm_hangs_nobody_waits_long(runs: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
    [path] = queued(runs)
    for module in (sync, client):
        monkeypatch.setattr(module, "SOON", 0.3)
    for name in ("squeue", "scancel", "scontrol"):
        slurm.says(name, "exec sleep 20")
    began = time.monotonic()
    look_now(runs)
    assert "did not answer" in sync.why_waiting(runs)[path.name]
    assert lifecycle.stop(path) == "withdrawn"
    assert time.monotonic() - began < 5
    assert ledger.has_open_tasks(runs)


def test_a_stop_that_comes_while_sbatch_works_is_not_lost(runs: Path, slurm: Slurm) -> None:
    path = make_run(runs)
    slurm.says("sbatch", "cat > /dev/null; sleep 1.5; echo 41")
    launching = threading.Thread(target=lambda: lifecycle.launch([path], slurm=SlurmRequest()))
    launching.start()
    until(lambda: (path / "queued.json").exists())
    assert lifecycle.stop(path) == "withdrawn"
    launching.join()
    assert slurm.calls("scancel") == ["scancel 41_0"]
    slurm.squeue("41|0|PENDING|Priority")
    look_now(runs)
    assert observe(path).status == "stopped"


def test_a_stop_while_the_shim_asks_whether_it_was_pushed_out_is_a_stop(runs: Path, slurm: Slurm) -> None:
    [path] = queued(runs, steps=3000)
    task = start_task(path)
    until(lambda: events(path, "step"))
    asks, goes_on = slurm.folder / "asks", slurm.folder / "goes_on"
    slurm.says("scontrol", f"touch {asks}; while [ ! -e {goes_on} ]; do sleep 0.05; done; echo PreemptTime=2026")
    task.send_signal(signal.SIGTERM)
    until(asks.exists)
    stopping = threading.Thread(target=lambda: lifecycle.stop_all([path]))
    stopping.start()
    until(lambda: slurm.calls("scancel"))
    goes_on.touch()
    task.wait(20)
    stopping.join()
    assert observe(path).status == "stopped"
    assert not any("requeue" in call for call in slurm.calls("scontrol"))


@pytest.mark.parametrize("status", [0, 1])
def test_a_run_that_waits_again_just_as_it_is_stopped_is_withdrawn(status: int, runs: Path, slurm: Slurm) -> None:
    [path] = queued(runs)
    again = (path / "queued.json").read_text()
    running_elsewhere(path)
    (runs / "again.json").write_text(again)
    slurm.says("scancel", f'case "$*" in *TERM*) mv {runs}/again.json {path}/queued.json; exit {status};; esac')
    assert lifecycle.stop(path) == "withdrawn"
    assert slurm.calls("scancel")[-1] == "scancel 41_0"
    assert observe(path).status == "stopped"


def test_a_stop_that_slurm_did_not_take_leaves_the_run_as_it_was(runs: Path, slurm: Slurm) -> None:
    [path] = queued(runs, steps=3000)
    task = start_task(path)
    until(lambda: events(path, "step"))
    slurm.says("scancel", "echo 'Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(UserError, match="Unable to contact"):
        lifecycle.stop(path)
    task.send_signal(signal.SIGUSR1)
    task.wait(20)
    assert observe(path).status == "queued"  # at its time limit it goes on, as if nobody had asked


def test_scancel_that_fails_for_one_run_has_told_the_others(runs: Path, slurm: Slurm) -> None:
    [path] = queued(runs, steps=3000)
    task = start_task(path)
    until(lambda: events(path, "step"))
    slurm.says("scancel", f"kill -TERM {task.pid}; echo 'Invalid job id specified' >&2; exit 1")
    assert lifecycle.stop(path) == "stopping"
    task.wait(20)
    assert observe(path).status == "stopped"


def test_a_run_whose_submission_was_killed_says_so_and_can_be_stopped(runs: Path, slurm: Slurm) -> None:
    path = make_run(runs)
    queue.enqueue_all([path], on=queue.SLURM)
    assert "no job" in sync.why_waiting(runs)[path.name]
    assert lifecycle.stop(path) == "withdrawn"


def test_stop_and_resume_take_several_runs_by_their_numbers(runs: Path, slurm: Slurm) -> None:
    paths = queued(runs, 4)

    def types(*words: str, status: int = 0) -> str:
        command = [sys.executable, "-m", "handreid_tui", *words, "--runs", str(runs)]
        done = subprocess.run(command, cwd=runs.parent, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
        return done.stderr

    types("stop", "1-2", "4")
    assert [observe(path).status for path in paths] == ["stopped", "stopped", "queued", "stopped"]
    assert slurm.calls("scancel") == ["scancel 41_0 41_1 41_3"]
    types("resume", "1-4", "--detach")
    assert [observe(path).status for path in paths] == ["queued"] * 4
    assert "--array=0-2" in slurm.calls("sbatch")[-1]  # the third waited still
    assert "no run from 7 to 9" in types("resume", "7-9", status=2)
    assert "is not one of 'here', 'slurm'" in types("resume", "1", "--on", "mars", status=2)
