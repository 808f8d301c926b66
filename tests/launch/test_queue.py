"""The queue and its supervisor: order, exactly one start, devices, and going on without anybody there."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from engine.contract.errors import UserError
from handreid_tui.launch import file_locks, lifecycle, queue, supervisor
from handreid_tui.runs.attempt import Attempt
from handreid_tui.runs.state import observe
from tests.support.launch_tools import events, make_run, processes_of, supervisors_of, until

SUPERVISOR = [sys.executable, "-P", "-m", "handreid_tui.launch.supervisor", "--runs"]
SHIM = [sys.executable, "-P", "-m", "handreid_tui.launch.shim"]


def names(runs: Path) -> list[str]:
    return [run.path.name[:4] for run in queue.waiting(runs)]


def enqueue(*paths: Path) -> None:
    for path in paths:
        queue.enqueue_all([path])


# Order


def test_the_queue_is_first_come_first_served_unless_priority_says_otherwise(runs: Path) -> None:
    one, two, three = (make_run(runs) for _ in range(3))
    enqueue(three, one)
    queue.enqueue_all([two], priority=5)
    assert names(runs) == ["0002", "0003", "0001"]
    queue.set_priority(one, 9)
    assert names(runs) == ["0001", "0002", "0003"]


def test_a_run_moves_past_its_neighbour_and_no_further(runs: Path) -> None:
    paths = [make_run(runs) for _ in range(4)]
    enqueue(*paths)
    queue.move(paths[2], up=True)
    assert names(runs) == ["0001", "0003", "0002", "0004"]
    queue.move(paths[2], up=True)
    queue.move(paths[2], up=True)  # it is the first already
    assert names(runs) == ["0003", "0001", "0002", "0004"]
    queue.move(paths[2], up=False)
    queue.move(paths[0], up=False)
    assert names(runs) == ["0003", "0001", "0002", "0004"]


def test_moving_past_a_run_of_another_priority_takes_that_priority(runs: Path) -> None:
    one, two, three = (make_run(runs) for _ in range(3))
    enqueue(one)
    queue.enqueue_all([two], priority=1)
    enqueue(three)
    assert names(runs) == ["0002", "0001", "0003"]
    queue.move(one, up=True)
    assert names(runs) == ["0001", "0002", "0003"]
    queue.move(one, up=False)
    assert names(runs) == ["0002", "0001", "0003"]


def test_a_run_that_does_not_wait_cannot_be_moved(runs: Path) -> None:
    path = make_run(runs)
    with pytest.raises(UserError, match="is not queued"):
        queue.move(path, up=True)
    with pytest.raises(UserError, match="is not queued"):
        queue.set_priority(path, 3)
    assert not queue.withdraw(path)


def test_a_damaged_queue_entry_reads_as_the_defaults(runs: Path) -> None:
    path = make_run(runs)
    for text in ("", "[]", '{"priority": "high", "gpus": -3, "parallel": null, "place": NaN, "visible": 3}'):
        (path / "queued.json").write_text(text)
        (found,) = queue.waiting(runs)
        assert (found.priority, found.parallel, found.visible) == (0, 1, None)
        assert 0 < found.gpus <= 1


# Exactly one start


def test_many_supervisors_and_shims_start_each_of_thirty_runs_once(runs: Path) -> None:
    paths = [make_run(runs, steps=1, pause=0) for _ in range(30)]
    for path in paths:
        queue.enqueue_all([path], parallel=4)
    rivals = [subprocess.Popen([*SUPERVISOR, str(runs)], stdout=subprocess.DEVNULL) for _ in range(3)]
    rivals += [subprocess.Popen([*SHIM, str(path)], start_new_session=True) for path in paths[:6]]
    ended = lifecycle.wait(paths, 40)
    for rival in rivals:
        rival.wait()
    assert {state.status for state in ended.values()} == {"finished"} and len(ended) == 30
    assert [len(events(path, "started")) for path in paths] == [1] * 30


def test_a_run_queued_while_the_supervisor_leaves_is_still_started(runs: Path) -> None:
    for _ in range(12):  # each joins at about the moment at which the supervisor finds the queue empty
        path = make_run(runs, steps=1, pause=0)
        lifecycle.launch([path])
        until(lambda path=path: not (path / "queued.json").exists())
    lifecycle.wait([path], 10)
    assert not queue.waiting(runs)
    until(lambda: not supervisors_of(runs))


def test_a_supervisor_looks_once_more_after_it_let_go_of_its_lock(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, late = make_run(runs, steps=1), make_run(runs, steps=1)
    enqueue(first)

    def joined_just_after(folder: Path) -> list[queue.Waiting]:
        found = queue.waiting(folder)
        if not found and file_locks.is_taken(runs / ".supervisor.lock") and not late_joined:
            late_joined.append(late)
            enqueue(late)
            supervisor.look_after(runs)  # sees that somebody works, and trusts in that
        return found

    late_joined: list[Path] = []
    monkeypatch.setattr(supervisor, "waiting", joined_just_after)
    supervisor.supervise(runs)
    assert late_joined and not queue.waiting(runs)
    assert lifecycle.wait([late], 10)[late].status == "finished"


def test_a_shim_that_waited_for_its_claim_starts_nothing_that_has_left_the_queue(runs: Path) -> None:
    path = make_run(runs)
    enqueue(path)
    with queue.owned(path):
        shim = subprocess.Popen([*SHIM, str(path)], start_new_session=True)
        files = Path(f"/proc/{shim.pid}/fd")
        until(lambda: any(str(file.readlink()).endswith("claim.lock") for file in files.iterdir() if file.is_symlink()))
        (path / "queued.json").unlink()
    assert shim.wait(10) == 0
    assert not (path / "process.json").exists()


def test_several_launchers_at_once_feed_one_queue(runs: Path) -> None:
    paths = [make_run(runs, steps=1, pause=0) for _ in range(8)]
    launchers = [threading.Thread(target=lifecycle.launch, args=([path],), kwargs={"parallel": 4}) for path in paths]
    for launcher in launchers:
        launcher.start()
    for launcher in launchers:
        launcher.join()
    until(lambda: len(supervisors_of(runs)) <= 1)
    assert len(lifecycle.wait(paths, 20)) == 8
    assert [len(events(path, "started")) for path in paths] == [1] * 8


def test_a_run_that_cannot_be_started_does_not_hold_up_the_others(runs: Path) -> None:
    broken, sound = make_run(runs), make_run(runs)
    (broken / "trainer.log").mkdir()
    lifecycle.launch([broken, sound])
    assert lifecycle.wait([sound], 10)[sound].status == "finished"
    until(lambda: observe(broken).status == "queued")  # while a try lasts, it is starting
    assert not events(broken, "started")
    (broken / "trainer.log").rmdir()
    assert lifecycle.wait([broken], 20)[broken].status == "finished"


# Nobody there


def test_the_queue_goes_on_when_the_terminal_is_closed(runs: Path) -> None:
    paths = [make_run(runs, steps=400), make_run(runs, steps=5)]
    code = "import sys; from pathlib import Path; from handreid_tui.launch import lifecycle\n"
    code += "runs = [Path(path) for path in sys.argv[1:]]; lifecycle.launch(runs); lifecycle.wait(runs)"
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests under nohup ignores it
        os.execv(sys.executable, [sys.executable, "-P", "-c", code, *map(str, paths)])
    until(lambda: events(paths[0], "step"))
    (before,) = supervisors_of(runs)
    os.close(terminal)  # the kernel hangs up on whoever sits at it
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGHUP
    time.sleep(0.1)
    assert supervisors_of(runs) == [before]
    assert [state.status for state in lifecycle.wait(paths, 20).values()] == ["finished"] * 2
    assert len(events(paths[1], "started")) == 1


def test_a_killed_supervisor_is_replaced_when_a_run_ends(runs: Path) -> None:
    first, second = make_run(runs, steps=40), make_run(runs)
    lifecycle.launch([first, second])
    until(lambda: events(first, "step"))
    (supervisor,) = supervisors_of(runs)
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: observe(second).status == "finished", 20)  # without anybody's call
    assert len(events(first, "started")) == 1


def test_a_killed_trainer_is_seen_as_killed_and_resumes(runs: Path) -> None:
    path = make_run(runs, steps=40)
    lifecycle.launch([path])
    until(lambda: events(path, "step"))
    trainer = Attempt.read(path).trainer
    assert trainer and trainer.send(signal.SIGKILL)
    state = lifecycle.wait([path], 10)[path]
    assert (state.status, state.reason) == ("failed", "killed by SIGKILL (out of memory?)")
    lifecycle.resume([path])
    assert lifecycle.wait([path], 10)[path].status == "finished"


def test_when_its_shim_is_killed_a_trainer_stops_by_itself_and_the_queue_goes_on(runs: Path) -> None:
    path, following = make_run(runs, steps=10_000), make_run(runs)
    lifecycle.launch([path, following])
    until(lambda: events(path, "step"))
    shim, trainer = Attempt.read(path).shim, Attempt.read(path).trainer
    assert shim and trainer and shim.send(signal.SIGKILL)
    assert lifecycle.wait([path], 10)[path].status == "stopped"
    assert not trainer.alive
    assert lifecycle.wait([following], 10)[following].status == "finished"


def test_a_deaf_trainer_without_a_shim_keeps_claim_and_lease_and_can_be_killed(runs: Path) -> None:
    path, following = make_run(runs, steps=10_000, deaf=True), make_run(runs)
    lifecycle.launch([path, following])
    until(lambda: events(path, "step"))
    shim = Attempt.read(path).shim
    assert shim and shim.send(signal.SIGKILL)
    until(lambda: not shim.alive)
    with pytest.raises(UserError, match="running"):
        lifecycle.resume([path])
    time.sleep(0.4)
    assert observe(following).status == "queued"
    assert lifecycle.stop(path) == "stopping"
    assert lifecycle.stop(path) == "killed"
    assert lifecycle.wait([path], 10)[path].status == "lost"
    assert lifecycle.wait([following], 10)[following].status == "finished"
    lifecycle.resume([path])
    until(lambda: len(events(path, "started")) == 2)
    lifecycle.stop(path, kill=True)


def test_what_a_trainer_left_behind_ends_with_it(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "trainer.py").write_text(
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', sys.argv[1]])\n"
        "print(child.pid, flush=True); sys.exit(1)\n"
    )
    path = make_run(runs)
    lifecycle.launch([path])
    lifecycle.wait([path], 10)
    child = int((path / "trainer.log").read_text())
    until(lambda: child not in processes_of(runs))


def test_no_zombie_is_left_while_the_supervisor_works(runs: Path) -> None:
    paths = [make_run(runs, steps=1) for _ in range(3)] + [make_run(runs, steps=10_000) for _ in range(2)]
    lifecycle.launch(paths)
    until(lambda: events(paths[3], "step"), 20)
    (supervisor,) = supervisors_of(runs)
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children")
    until(lambda: len(children.read_text().split()) == 1)
    for path in paths[3:]:
        lifecycle.stop(path)


# Devices


def test_three_gpus_take_eight_runs_and_never_two_at_once(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDREID_FAKE_GPUS", "3")
    paths = [make_run(runs, device="auto", steps=8) for _ in range(8)]
    lifecycle.launch(paths)
    assert len(lifecycle.wait(paths, 30)) == 8
    spans: dict[str, list[tuple[float, float]]] = {}
    for path in paths:
        (started,), (ended,) = events(path, "started"), events(path, "ended")
        spans.setdefault(started["device_name"], []).append((started["t"], ended["t"]))
    assert sorted(spans) == ["GPU-fake-0", "GPU-fake-1", "GPU-fake-2"]
    for of_one in spans.values():
        assert all(earlier[1] <= later[0] for earlier, later in pairwise(sorted(of_one)))


def test_two_folders_of_runs_share_the_gpus_of_the_machine(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDREID_FAKE_GPUS", "1")
    mine = make_run(runs, device="auto", steps=10_000)
    other = make_run(runs / "other", device="cuda")
    lifecycle.launch([mine])
    until(lambda: events(mine, "step"))
    lifecycle.launch([other])
    time.sleep(0.5)
    assert observe(other).status == "queued"
    lifecycle.stop(mine, kill=True)
    assert lifecycle.wait([other], 10)[other].status == "finished"
