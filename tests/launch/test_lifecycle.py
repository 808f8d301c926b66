"""Launch, stop, resume, wait, remove, prune: with real processes and a trainer that only pretends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from engine.contract.errors import UserError
from handreid_tui.launch import file_locks, lifecycle
from handreid_tui.launch.shim import CPU_NICENESS
from handreid_tui.runs.attempt import Attempt
from handreid_tui.runs.claim import process_started
from handreid_tui.runs.safe_files import read_json
from handreid_tui.runs.state import observe
from tests.support.launch_tools import events, make_run, processes_of, until


def start(path: Path) -> Path:
    """Launch the run, and wait for its first step."""
    lifecycle.launch([path])
    until(lambda: events(path, "step"))
    return path


def status(path: Path) -> str:
    return lifecycle.wait([path], 10)[path].status


def test_a_launched_run_finishes_and_leaves_its_traces_and_no_process(runs: Path) -> None:
    path = make_run(runs)
    lifecycle.launch([path])
    assert status(path) == "finished"
    assert read_json(path / "exit.json")["status"] == 0
    assert (path / "trainer.log").read_text() == "hello from the trainer\n"
    assert not (path / "queued.json").exists()
    process = read_json(path / "process.json")
    assert process["device"] == "CPU"
    assert process["trainer"] == events(path, "started")[0]["pid"]
    until(lambda: not processes_of(runs))


def test_launch_returns_while_the_run_goes_on(runs: Path) -> None:
    path = start(make_run(runs, steps=10_000))
    assert observe(path).status == "running"
    lifecycle.stop(path)


def test_a_trainer_on_the_cpu_leaves_the_terminal_its_turn(runs: Path) -> None:
    path = start(make_run(runs, steps=10_000))
    process = read_json(path / "process.json")
    shim, trainer = (os.getpriority(os.PRIO_PROCESS, int(process[who])) for who in ("shim", "trainer"))
    assert trainer == min(19, shim + CPU_NICENESS)
    group = Path(f"/proc/{process['trainer']}/autogroup")  # "/autogroup-5 nice 10", where the kernel groups sessions
    if group.exists() and Path("/proc/sys/kernel/sched_autogroup_enabled").read_text().strip() == "1":
        assert group.read_text().split()[-1] == str(CPU_NICENESS)
    lifecycle.stop(path)


def test_runs_are_started_in_the_order_they_were_launched_one_at_a_time(runs: Path) -> None:
    paths = [make_run(runs) for _ in range(3)]
    paths = [paths[2], paths[0], paths[1]]
    lifecycle.launch(paths)
    lifecycle.wait(paths, 20)
    spans = [(events(path, "started")[0]["t"], events(path, "ended")[0]["t"]) for path in paths]
    assert spans == sorted(spans)
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans))


def test_parallel_lets_that_many_runs_onto_the_cpu(runs: Path) -> None:
    paths = [make_run(runs, steps=10_000) for _ in range(4)]
    lifecycle.launch(paths, parallel=3)
    until(lambda: all(events(path, "step") for path in paths[:3]))
    assert [observe(path).status for path in paths] == ["running"] * 3 + ["queued"]
    lifecycle.stop(paths[1])
    until(lambda: events(paths[3], "step"))
    for path in (paths[0], paths[2], paths[3]):
        lifecycle.stop(path)


def test_stop_lets_the_trainer_write_its_checkpoint_and_resume_goes_on_from_there(runs: Path) -> None:
    path = start(make_run(runs, steps=40))
    assert lifecycle.stop(path) == "stopping"
    assert status(path) == "stopped"
    done = json.loads((path / "checkpoint.json").read_text())["step"]
    lifecycle.resume([path])
    assert status(path) == "finished"
    assert [event["step"] for event in events(path, "step")] == list(range(40))
    assert events(path, "started")[1]["resumed_from"] == done


def test_a_second_stop_kills_a_trainer_that_does_not_listen(runs: Path) -> None:
    path = start(make_run(runs, steps=10_000, deaf=True))
    assert lifecycle.stop(path) == "stopping"
    assert lifecycle.is_stopping(path)
    assert lifecycle.stop(path) == "killed"
    assert status(path) == "stopped"
    assert read_json(path / "exit.json")["status"] == -9
    assert not lifecycle.is_stopping(path)


def test_a_run_stopped_before_its_trainer_can_listen_is_stopped_not_failed(runs: Path) -> None:
    path = start(make_run(runs, steps=10_000, unprepared=True))
    lifecycle.stop(path)
    assert status(path) == "stopped"
    assert len(events(path, "ended")) == 1


def test_a_stop_that_arrives_as_the_trainer_dies_is_a_stop(runs: Path) -> None:
    path = start(make_run(runs, steps=10_000))
    shim, trainer = Attempt.read(path).shim, Attempt.read(path).trainer
    assert shim and trainer
    shim.send(signal.SIGSTOP)
    trainer.send(signal.SIGKILL)
    until(lambda: not trainer.alive)
    shim.send(signal.SIGTERM)
    shim.send(signal.SIGCONT)
    assert status(path) == "stopped"
    assert read_json(path / "exit.json")["status"] == -9


def test_stopping_a_waiting_run_takes_it_out_of_the_queue_and_resume_puts_it_back(runs: Path) -> None:
    first = start(make_run(runs, steps=10_000))
    second = make_run(runs)
    lifecycle.launch([second])
    assert observe(second).status == "queued"
    assert lifecycle.stop(second) == "withdrawn"
    assert observe(second).status == "stopped"
    lifecycle.resume([second])
    lifecycle.stop(first)
    assert status(second) == "finished"
    assert events(first, "ended")[0]["status"] == "stopped"


def test_stopping_many_starts_none_of_those_that_wait(runs: Path) -> None:
    paths = [make_run(runs, steps=10_000) for _ in range(4)]
    lifecycle.launch(paths)
    until(lambda: events(paths[0], "step"))
    assert list(lifecycle.stop_all(paths).values()) == ["withdrawn"] * 3 + ["stopping"]
    assert {state.status for state in lifecycle.wait(paths, 10).values()} == {"stopped"}
    assert not any(events(path, "started") for path in paths[1:])
    assert lifecycle.stop_all(paths) == {}


def test_two_who_resume_one_run_at_once_start_it_once(runs: Path) -> None:
    path = make_run(runs, steps=3, status=1)
    lifecycle.launch([path])
    assert status(path) == "failed"
    refusals = []

    def resume() -> None:
        try:
            lifecycle.resume([path])
        except UserError as error:
            refusals.append(error)

    both = [threading.Thread(target=resume) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    until(lambda: observe(path).final)
    assert len(refusals) == 1
    assert len(events(path, "started")) == 2


def test_nobody_queues_runs_while_another_is_about_to(runs: Path) -> None:
    path = make_run(runs)
    launcher = threading.Thread(target=lifecycle.launch, args=([path],))
    with file_locks.hold(runs / ".queue.lock"):
        launcher.start()
        time.sleep(0.3)
        assert not (path / "claim.lock").exists()
    launcher.join()
    assert status(path) == "finished"


def test_what_cannot_be_is_refused_in_one_sentence_and_nothing_is_queued(runs: Path) -> None:
    done, fresh = make_run(runs), make_run(runs)
    lifecycle.launch([done])
    status(done)
    for refused, message in (
        (lambda: lifecycle.launch([fresh, done]), "launched before"),
        (lambda: lifecycle.resume([done]), "has finished"),
        (lambda: lifecycle.stop(done), "is not running \\(finished\\)"),
        (lambda: lifecycle.launch([fresh], parallel=0), "at once"),
        (lambda: lifecycle.launch([fresh], gpus=1.5), "GPUs"),
        (lambda: lifecycle.launch([runs / "0009-absent"]), "no configuration"),
        (lambda: lifecycle.launch([runs]), "not a run directory"),
    ):
        with pytest.raises(UserError, match=message):
            refused()
    assert not (fresh / "queued.json").exists()


def test_a_running_run_is_neither_launched_nor_resumed_nor_removed(runs: Path) -> None:
    path = start(make_run(runs, steps=10_000))
    for refused in (lambda: lifecycle.launch([path]), lambda: lifecycle.resume([path]), lambda: lifecycle.remove(path)):
        with pytest.raises(UserError):
            refused()
    assert observe(path).status == "running"
    lifecycle.stop(path)


def test_a_process_that_took_over_the_pid_is_never_signalled(runs: Path) -> None:
    path = make_run(runs)
    lifecycle.launch([path])
    status(path)
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        until(lambda: process_started(stranger.pid))
        process = read_json(path / "process.json")
        process |= {"shim": stranger.pid, "trainer": stranger.pid}
        (path / "process.json").write_text(json.dumps(process))
        with pytest.raises(UserError):
            lifecycle.stop(path, kill=True)
        for pretended in (Attempt.read(path).shim, Attempt.read(path).trainer):
            assert pretended and not pretended.alive and not pretended.send(15)
        time.sleep(0.05)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_run_of_another_boot_has_no_living_process(runs: Path) -> None:
    path = start(make_run(runs, steps=10_000))
    process = read_json(path / "process.json")
    (path / "process.json").write_text(json.dumps(process | {"boot_id": "another"}))
    assert Attempt.read(path).living == ()
    (path / "process.json").write_text(json.dumps(process))
    lifecycle.stop(path)


def test_a_failing_trainer_leaves_its_exit_status(runs: Path) -> None:
    path = make_run(runs, status=3)
    lifecycle.launch([path])
    assert status(path) == "failed"
    assert read_json(path / "exit.json")["status"] == 3


def test_remove_deletes_the_run_and_says_what_that_freed(runs: Path) -> None:
    path = make_run(runs)
    lifecycle.launch([path])
    status(path)
    (path / "checkpoints").mkdir()
    (path / "checkpoints" / "weights").write_bytes(os.urandom(1 << 20))
    assert lifecycle.remove(path) >= 1 << 20
    assert not path.exists()
    assert not list(runs.glob(".removed*"))


def test_remove_follows_no_link(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("mine")
    path = make_run(runs)
    (path / "checkpoints").symlink_to(tmp_path / "precious")
    lifecycle.remove(path)
    assert (tmp_path / "precious" / "file").read_text() == "mine"
    (runs / "0009-link").symlink_to(tmp_path / "precious")
    with pytest.raises(UserError):
        lifecycle.remove(runs / "0009-link")


def test_prune_keeps_the_best_checkpoint_of_finished_runs_and_all_of_the_others(runs: Path) -> None:
    finished, stopped = make_run(runs), make_run(runs, steps=10_000)
    lifecycle.launch([finished, stopped])
    until(lambda: events(stopped, "step"))
    lifecycle.stop(stopped)
    lifecycle.wait([stopped], 10)
    for path in (finished, stopped):
        for name in ("best", "last", "previous"):
            (path / "checkpoints" / name).mkdir(parents=True)
            (path / "checkpoints" / name / "weights").write_bytes(os.urandom(10_000))
    told = lifecycle.prunable([finished, stopped])
    assert list(told) == [finished]
    assert lifecycle.prune([finished, stopped]) == told[finished] >= 20_000
    assert [path.name for path in (finished / "checkpoints").iterdir()] == ["best"]
    assert len(list((stopped / "checkpoints").iterdir())) == 3


def test_a_run_directory_with_a_link_in_it_is_not_started(runs: Path, tmp_path: Path) -> None:
    path = make_run(runs)
    (path / "events.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link"):
        lifecycle.launch([path])
    assert not (tmp_path / "elsewhere").exists()
