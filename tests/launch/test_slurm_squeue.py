"""What squeue reports, taken into the run directories. With stand-ins for Slurm's commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from handreid_tui.launch import lifecycle, queue
from handreid_tui.launch.slurm import ledger, sync
from handreid_tui.launch.slurm.request import SlurmRequest
from handreid_tui.runs.safe_files import write_json
from handreid_tui.runs.state import observe
from tests.support.launch_tools import events, until
from tests.support.slurm_commands import CONFIG, Slurm, look_now, queued, running_elsewhere, start_task


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
    lifecycle.resume([path], slurm=SlurmRequest())
    running_elsewhere(path)
    look_now(runs)
    assert "no longer lists" in observe(path).reason


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


def test_what_slurm_says_of_an_old_task_does_not_touch_a_run_that_was_resumed(runs: Path, slurm: Slurm) -> None:
    one, two = queued(runs, 2, steps=300)
    for index, path in enumerate((one, two)):
        task = start_task(path, index)
        until(lambda path=path: events(path, "step"))
        task.terminate()
        task.wait(20)
    slurm.says("sbatch", "cat > /dev/null; echo 42")
    lifecycle.resume([one], slurm=SlurmRequest())
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
