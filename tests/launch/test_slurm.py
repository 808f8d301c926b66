"""Runs on Slurm, with stand-ins for Slurm's commands; `test_slurm_cluster.py` has the real one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.contract.errors import UserError
from engine.contract.events import EventWriter
from handreid_tui.launch import lifecycle, queue
from handreid_tui.launch.slurm import client, ledger, sync
from handreid_tui.launch.slurm.request import Request, read_request
from handreid_tui.launch.slurm.submit import sbatch_command, script
from handreid_tui.launch.supervisor import supervise
from handreid_tui.runs.safe_files import read_json, write_json
from handreid_tui.runs.state import observe
from tests.support.launch_tools import events, make_run, pretending, processes_of, until
from tests.support.slurm_commands import CONFIG, Slurm


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Path]:
    with pretending(tmp_path) as folder:
        yield folder


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    slurm = Slurm(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{slurm.folder}:{os.environ['PATH']}")
    sync.this_cluster_name.cache_clear()
    return slurm


def queued(runs: Path, count: int = 1, **plan: Any) -> list[Path]:
    paths = [make_run(runs, **plan) for _ in range(count)]
    lifecycle.launch(paths, slurm=Request())
    return paths


def start_task(path: Path, index: int = 0, restarts: int = 0) -> subprocess.Popen[bytes]:
    """What the job script does on a node."""
    own = {"SLURM_ARRAY_JOB_ID": "41", "SLURM_ARRAY_TASK_ID": str(index), "SLURM_RESTART_COUNT": str(restarts)}
    command = [sys.executable, "-P", "-m", "handreid_tui.launch.shim", str(path), "--slurm"]
    return subprocess.Popen(command, env=os.environ | own, start_new_session=True)


def look_now(runs: Path) -> None:
    sync.take_in(runs, every=0)


# What Slurm is asked


def test_a_sweep_is_one_array_with_the_limits_of_handreid_toml_and_options_as_they_are(tmp_path: Path) -> None:
    table = {"partition": "gpu", "time": "02:00:00", "gpus": 2, "running": 8, "options": ["--qos=low"]}
    words = sbatch_command(tmp_path, 1000, read_request(table, "[slurm]"), "handreid")
    for word in ("--array=0-999%8", "--partition=gpu", "--time=02:00:00", "--gres=gpu:2", "--requeue"):
        assert word in words
    assert words[-1] == "--qos=low"
    assert not any(word.startswith("--account") for word in words)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"partitions": "gpu"}, "no setting 'partitions'"),
        ({"gpus": "two"}, "gpus is a whole number"),
        ({"gpus": True}, "gpus is a whole number"),
        ({"time": 60}, "time is text"),
        ({"options": "--mem=64G"}, "options is a list"),
        ({"options": ["mem=64G"]}, "begins with a dash"),
        ({"options": ["--array=0-3"]}, "is set by handreid"),
        ({"nodes": 0}, "nodes is 1 or more"),
        ("gpu", "is a section"),
    ],
)
def test_a_mistake_in_the_section_is_one_sentence(table: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_request(table, "handreid.toml: [slurm]")


def test_task_n_of_the_script_is_the_shim_of_run_n(tmp_path: Path) -> None:
    runs = tmp_path / "a 'quoted' $place"
    text = script(runs, ["0001-ce", "0002-ce+triplet"]).replace("exec ", "printf '%s\\n' ")
    for index, name in enumerate(["0001-ce", "0002-ce+triplet"]):
        done = subprocess.run(
            ["bash"], input=text, env={"SLURM_ARRAY_TASK_ID": str(index)}, capture_output=True, text=True, check=True
        )
        assert f"{runs}/{name}" in done.stdout.splitlines()


def test_more_runs_than_an_array_holds_become_several_one_after_the_other(runs: Path, slurm: Slurm) -> None:
    slurm.says("scontrol", CONFIG.replace("1001", "2"))
    slurm.says("sbatch", 'cat > /dev/null; echo "4$(grep -c ^sbatch $(dirname $0)/calls);alps"')
    paths = [make_run(runs) for _ in range(5)]
    lifecycle.launch(paths, slurm=Request(running=2))
    calls = slurm.calls("sbatch")
    assert ["--array=0-1%2" in calls[0], "--array=0-1%2" in calls[1], "--array=0-0%2" in calls[2]] == [True] * 3
    assert "--dependency" not in calls[0]
    assert "--dependency=afterany:41" in calls[1]
    assert "scontrol release 41 42 43" in slurm.calls("scontrol")
    assert {task.id for task in ledger.open_tasks(runs).values()} == {"41_0", "41_1", "42_0", "42_1", "43_0"}


def test_a_refusal_is_told_in_the_words_of_slurm_and_leaves_nothing(runs: Path, slurm: Slurm) -> None:
    slurm.says("scontrol", CONFIG.replace("1001", "2"))
    only_once = "(($(grep -c ^sbatch $(dirname $0)/calls) == 1)) && echo 41"
    slurm.says("sbatch", f"cat > /dev/null; {only_once} || {{ echo no such qos >&2; exit 1; }}")
    paths = [make_run(runs) for _ in range(3)]
    with pytest.raises(UserError, match="sbatch refused: no such qos"):
        lifecycle.launch(paths, slurm=Request())
    name = slurm.calls("sbatch")[0].partition("--job-name=")[2].split()[0]
    assert slurm.calls("scancel") == [f"scancel --name={name}"]
    assert all("--hold" in call for call in slurm.calls("sbatch"))  # so that none began before all were taken
    assert not ledger.has_open_tasks(runs)
    assert not any((path / "queued.json").exists() for path in paths)


def test_on_a_machine_without_slurm_the_command_says_where_to_go_and_makes_nothing(tmp_path: Path) -> None:
    environment = os.environ | {"PATH": "/nowhere", "HANDREID_CACHE": str(tmp_path / "cache")}
    words = ["-m", "handreid_tui", "run", "--combo", "ce", "--on", "slurm", "--model", "handreid-tiny"]
    done = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "login node" in done.stderr
    assert not list((tmp_path / "runs").glob("0*"))


# Who starts what


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
    lifecycle.resume([path], slurm=Request())
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


# Several GPUs

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


# Stop


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


def kills(task: subprocess.Popen[bytes]) -> str:
    """What scancel does of its signals."""
    return f'case "$*" in *TERM*) kill -TERM {task.pid};; *USR2*) kill -USR2 {task.pid};; esac'


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


# What squeue tells


def test_a_waiting_run_shows_why_slurm_lets_it_wait(runs: Path, slurm: Slurm) -> None:
    one, two = queued(runs, 2)
    slurm.squeue("41|0|PENDING|Resources", "41|1|PENDING|JobArrayTaskLimit", "7|N/A|RUNNING|None", "slurm: a warning")
    look_now(runs)
    assert sync.why_waiting(runs) == {one.name: "Slurm: Resources", two.name: "Slurm: JobArrayTaskLimit"}
    asked = len(slurm.calls("squeue"))
    sync.take_in(runs)
    assert len(slurm.calls("squeue")) == asked  # that was a moment ago


@pytest.mark.parametrize("ahead", [15, -15])
def test_managers_whose_clocks_differ_ask_slurm_no_more_often(
    ahead: float, runs: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued(runs)
    look_now(runs)
    asked, configured = len(slurm.calls("squeue")), len(slurm.calls("scontrol"))
    snapshot = ledger.folder(runs) / "squeue.json"
    for count in range(3):  # another manager asks every now and then, we five times a second
        write_json(snapshot, {"t": time.time() + ahead + count})
        os.utime(snapshot, (time.time() + ahead, time.time() + ahead + count))
        sync.take_in(runs)
        sync.take_in(runs)
    assert len(slurm.calls("squeue")) == asked
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 10.1)
    sync.take_in(runs)
    assert len(slurm.calls("squeue")) == asked + 1  # the other one has gone
    assert len(slurm.calls("scontrol")) == configured


@pytest.mark.parametrize(
    ("word", "status", "said"),
    [
        ("CANCELLED", "stopped", "cancelled from outside"),
        ("FAILED", "failed", "outside the training."),
        ("NODE_FAIL", "failed", "node"),
        ("TIMEOUT", "failed", "time limit"),
        ("OUT_OF_MEMORY", "failed", "memory"),
    ],
)
def test_what_no_shim_could_tell_is_written_into_the_run_directory(
    word: str, status: str, said: str, runs: Path, slurm: Slurm
) -> None:
    [path] = queued(runs)
    slurm.squeue(f"41|0|{word}|None")
    look_now(runs)
    assert (observe(path).status, observe(path).final) == (status, True)
    assert said in observe(path).reason
    assert not ledger.has_open_tasks(runs)
    look_now(runs)
    assert len(events(path, "ended")) == 1


@pytest.mark.parametrize(("squeue", "status"), [(["41|0|FAILED|None"], "failed"), ([], "stopped")])
def test_where_a_task_printed_something_the_reason_names_the_file(
    squeue: list[str], status: str, runs: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    [before] = queued(runs)
    monkeypatch.setattr(sync, "FORGOTTEN_AFTER", 0.0)
    slurm.squeue(*squeue)
    (ledger.folder(runs) / "41.out").write_text("slurm_script: line 5: python: No such file or directory\n")
    look_now(runs)
    assert (observe(before).status, "41.out" in observe(before).reason) == (status, True)
    assert "from outside" not in observe(before).reason
    (ledger.folder(runs) / "41.out").write_text("slurmstepd: error: *** JOB 41 ON n1 CANCELLED AT 2026-01-01 ***\n")
    [after] = queued(runs)
    (after / "trainer.log").write_text("OSError: [Errno 28] No space left on device\n")
    look_now(runs)
    assert (observe(after).status, str(after / "trainer.log") in observe(after).reason) == (status, True)
    assert "41.out" not in observe(after).reason


def test_an_array_cancelled_before_it_began_ends_all_its_runs(runs: Path, slurm: Slurm) -> None:
    paths = queued(runs, 3)
    slurm.squeue("41|N/A|CANCELLED|JobHeldUser", "41|2|RUNNING|None")
    look_now(runs)
    assert [observe(path).status for path in paths] == ["stopped", "stopped", "queued"]


def test_a_task_that_slurm_has_forgotten_is_over(runs: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
    [path] = queued(runs)
    look_now(runs)
    assert observe(path).status == "queued"  # submitted a moment ago
    monkeypatch.setattr(sync, "FORGOTTEN_AFTER", 0.0)
    look_now(runs)
    assert (observe(path).status, "cancelled from outside" in observe(path).reason) == ("stopped", True)
    lifecycle.resume([path], slurm=Request())
    running_elsewhere(path)
    look_now(runs)
    assert "does not know" in observe(path).reason


def running_elsewhere(path: Path, **process: Any) -> None:
    """As a shim on a node that failed leaves its run, seen from the login node."""
    (path / "queued.json").unlink()
    about = {"host": "node7", "boot_id": "other", "slurm": "41_0", "shim": 7, "shim_started": 7, "events": 0}
    write_json(path / "process.json", about | process)
    log = EventWriter(path / "events.jsonl")
    log.write("started")
    log.write("step", step=0, total=1.0)
    log.close()


def test_a_node_that_failed_ends_its_run_or_lets_it_wait_again(runs: Path, slurm: Slurm) -> None:
    one, two = queued(runs, 2)
    for index, path in enumerate((one, two)):
        running_elsewhere(path, t=time.time() - 300, slurm=f"41_{index}")
        assert observe(path).status == "running"
    slurm.squeue("41|0|NODE_FAIL|NodeDown", "41|1|PENDING|BeginTime")
    look_now(runs)
    assert observe(one).status == "failed"
    assert observe(two).status == "queued"
    assert sync.why_waiting(runs) == {two.name: "Slurm: BeginTime"}


def test_a_run_that_started_while_slurm_was_asked_is_left_alone(runs: Path, slurm: Slurm) -> None:
    [path] = queued(runs)
    running_elsewhere(path, t=time.time())
    slurm.squeue("41|0|PENDING|Priority")
    look_now(runs)
    assert observe(path).status == "running"


def test_where_slurm_does_not_answer_the_queue_says_so_and_nothing_changes(runs: Path, slurm: Slurm) -> None:
    [path] = queued(runs)
    slurm.says("squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    look_now(runs)
    assert "Unable to contact slurm controller" in sync.why_waiting(runs)[path.name]
    assert observe(path).status == "queued"


def test_the_queue_command_shows_both_queues(runs: Path, slurm: Slurm) -> None:
    queued(runs)
    slurm.squeue("41|0|PENDING|Resources")
    look_now(runs)
    words = [sys.executable, "-m", "handreid_tui", "queue", "--json", "--runs", str(runs)]
    shown = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    assert [(row["run"], row["why"]) for row in shown] == [(1, "Slurm: Resources")]


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


def test_a_run_resumes_where_it_was(runs: Path, slurm: Slurm) -> None:
    [path] = queued(runs, steps=300)
    task = start_task(path)
    until(lambda: events(path, "step"))
    task.terminate()
    task.wait(20)
    words = [sys.executable, "-m", "handreid_tui", "resume", "1", "--detach", "--runs", str(runs)]
    subprocess.run(words, check=True, cwd=runs.parent, capture_output=True)
    assert len(slurm.calls("sbatch")) == 2
    assert queue.waiting(runs, queue.SLURM)[0].resume
    lifecycle.stop(path)
    subprocess.run(words, check=True, cwd=runs.parent, capture_output=True)
    assert len(slurm.calls("sbatch")) == 3  # it never started there, but there it was


# What must not happen


def test_what_slurm_says_of_an_old_task_does_not_touch_a_run_that_was_resumed(runs: Path, slurm: Slurm) -> None:
    one, two = queued(runs, 2, steps=300)
    for index, path in enumerate((one, two)):
        task = start_task(path, index)
        until(lambda path=path: events(path, "step"))
        task.terminate()
        task.wait(20)
    slurm.says("sbatch", "cat > /dev/null; echo 42")
    lifecycle.resume([one], slurm=Request())
    queue.enqueue_all([two], resume=True)  # here, and not started yet
    slurm.squeue("41|0|COMPLETED|None", "41|1|COMPLETED|None", "42|0|PENDING|Priority")
    look_now(runs)
    assert [observe(path).status for path in (one, two)] == ["queued", "queued"]
    assert ledger.open_tasks(runs)[one.name].id == "42_0"


def test_another_cluster_another_user_and_a_filter_of_squeue_say_nothing_of_our_runs(
    runs: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "FORGOTTEN_AFTER", 0.0)
    monkeypatch.setenv("SQUEUE_PARTITION", "other")
    slurm.says("squeue", "[ $SQUEUE_PARTITION ] || echo '41|0|PENDING|Priority'")
    [path] = queued(runs)
    look_now(runs)
    assert sync.why_waiting(runs) == {path.name: "Slurm: Priority"}
    slurm.squeue()
    slurm.says("scontrol", CONFIG.replace("alps", "jura"))
    sync.this_cluster_name.cache_clear()  # as another process does
    look_now(runs)
    sync.this_cluster_name.cache_clear()
    assert observe(path).status == "queued"
    slurm.says("scontrol", CONFIG)
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    look_now(runs)
    assert observe(path).status == "queued"


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
    launching = threading.Thread(target=lambda: lifecycle.launch([path], slurm=Request()))
    launching.start()
    until(lambda: (path / "queued.json").exists())
    assert lifecycle.stop(path) == "withdrawn"
    launching.join()
    assert slurm.calls("scancel") == ["scancel 41_0"]
    slurm.squeue("41|0|PENDING|Priority")
    look_now(runs)
    assert observe(path).status == "stopped"


def test_a_ctrl_c_while_sbatch_works_leaves_no_run_without_its_task(runs: Path, slurm: Slurm) -> None:
    slurm.says("sbatch", f"cat > /dev/null; touch {slurm.folder}/asked; sleep 1.5; echo 41")
    words = [sys.executable, "-m", "handreid_tui", "run", "--combo", "zero_shot", "--on", "slurm", "--detach"]
    process = subprocess.Popen([*words, "--runs", str(runs)], cwd=runs.parent, stderr=subprocess.PIPE)
    until(lambda: (slurm.folder / "asked").exists(), 60)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert [task.id for task in ledger.open_tasks(runs).values()] == ["41_0"]


def test_a_sweep_of_which_slurm_takes_a_part_leaves_nothing_and_says_what_slurm_said(runs: Path, slurm: Slurm) -> None:
    slurm.says("scontrol", CONFIG.replace("1001", "1"))
    only_once = "(($(grep -c ^sbatch $(dirname $0)/calls) == 1)) && echo 41"
    slurm.says("sbatch", f"cat > /dev/null; {only_once} || {{ echo AssocMaxSubmitJobLimit >&2; exit 1; }}")
    words = ["run", "--combo", "ce", "--combo", "zero_shot", "--on", "slurm", "--runs", str(runs)]
    done = subprocess.run([sys.executable, "-m", "handreid_tui", *words], cwd=runs.parent, capture_output=True)
    assert done.returncode == 2
    assert b"AssocMaxSubmitJobLimit" in done.stderr
    assert not list(runs.glob("0*"))


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


def test_runs_on_the_cpu_ask_for_no_gpu_and_the_others_for_theirs(runs: Path, slurm: Slurm) -> None:
    lifecycle.launch([make_run(runs, device="cpu"), make_run(runs, device="auto")], slurm=Request(gpus=2))
    assert ["--gres=gpu:2" in call for call in slurm.calls("sbatch")] == [False, True]
    assert "scontrol release 41 41" in slurm.calls("scontrol")


def test_where_the_runs_on_the_gpu_are_refused_those_on_the_cpu_do_not_wait(runs: Path, slurm: Slurm) -> None:
    one, two = make_run(runs, device="cpu"), make_run(runs, device="auto")
    slurm.says("sbatch", 'cat > /dev/null; case "$*" in *gres*) echo no gpu >&2; exit 1;; esac; echo 41')
    with pytest.raises(UserError, match="no gpu"):
        lifecycle.launch([one, two], slurm=Request())
    assert all("--hold" in call for call in slurm.calls("sbatch"))
    assert len(slurm.calls("scancel")) == 1
    assert not ledger.has_open_tasks(runs)
    assert not any((path / "queued.json").exists() for path in (one, two))


def test_gpus_of_the_command_line_may_be_none_and_must_be_whole(tmp_path: Path) -> None:
    assert Request(gpus=2).changed(0, []).gpus == 0
    for wrong in (0.5, float("nan"), float("inf"), -1):
        with pytest.raises(UserError):
            Request().changed(wrong, [])


@pytest.mark.parametrize(
    "option", ["-a0-0", "--arr=0-0", "-Mother", "--clus=b", "--wait", "-W", "--wrap=true", "-Jx", "-HJx", "-"]
)
def test_an_option_that_would_undo_the_array_is_refused(option: str) -> None:
    with pytest.raises(UserError, match="set by handreid"):
        Request().changed(None, [option])
    assert Request().changed(None, ["-H", "-pgpu", "--mem=1G"]).options == ("-H", "-pgpu", "--mem=1G")


def test_a_percent_sign_in_the_folder_is_no_pattern_of_slurm(tmp_path: Path) -> None:
    assert any("50%%a" in word for word in sbatch_command(tmp_path / "50%a", 1, Request(), "handreid"))


def test_a_run_whose_submission_was_killed_says_so_and_can_be_stopped(runs: Path, slurm: Slurm) -> None:
    path = make_run(runs)
    queue.enqueue_all([path], on=queue.SLURM)
    assert "no job" in sync.why_waiting(runs)[path.name]
    assert lifecycle.stop(path) == "withdrawn"


def test_damaged_and_hostile_notes_lead_nowhere(runs: Path, slurm: Slurm, tmp_path: Path) -> None:
    [path] = queued(runs)
    (tmp_path / "elsewhere").mkdir()
    (runs / "0009-x").symlink_to(tmp_path / "elsewhere")
    about = {"t": 1.0, "cluster": "alps", "user": os.getuid()}
    write_json(ledger.folder(runs) / "50.json", about | {"runs": {"..": 0, "0009-x": 1, "a/b": 2}})
    write_json(ledger.folder(runs) / "51.json", about | {"t": 10**400, "runs": {path.name: 0}})
    (ledger.folder(runs) / "52.json").write_text("[" * 100_000)
    slurm.squeue("50|0|PENDING|None", "50|1|PENDING|None", "41|0|PENDING|[/red]", "51|0|CANCELLED|None")
    look_now(runs)
    assert not list((tmp_path / "elsewhere").iterdir())
    assert not (runs.parent / "queued.json").exists()
    words = [sys.executable, "-m", "handreid_tui", "queue", "--runs", str(runs)]
    assert "[/red]" in subprocess.run(words, capture_output=True, text=True, check=True).stdout


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
    assert "is here or slurm" in types("resume", "1", "--on", "mars", status=2)
