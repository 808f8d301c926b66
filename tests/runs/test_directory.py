"""One run directory: made whole or not at all, and truthful about its process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from engine.contract.config import RunConfig, resolve
from engine.contract.errors import UserError
from handreid_tui.runs import directory
from handreid_tui.runs.claim import boot_id, claim, process_started
from handreid_tui.runs.meta import Meta, edit_meta
from handreid_tui.runs.safe_files import inside, read_json, write_json
from handreid_tui.runs.state import LOST_AFTER, STALLED_AFTER, State, observe
from tests.support.run_files import Trainer, append, finish, make_run

# Making run directories


def test_a_new_run_holds_its_configuration_and_what_the_user_said(tmp_path: Path) -> None:
    config = resolve("ce+triplet:0.5", 3)
    run = directory.create(tmp_path / "deep" / "runs", config, tags=["night", "a b", "night"], note="first try")
    assert run.name == "0001-ce+triplet-0.5"
    assert RunConfig.load(run / "config.json") == config
    meta = Meta.read(run)
    assert (meta.tags, meta.note, meta.archived) == (("a b", "night"), "first try", False)
    assert abs(meta.created - time.time()) < 60


def test_numbers_go_up_and_are_never_reused(tmp_path: Path) -> None:
    runs = [make_run(tmp_path) for _ in range(3)]
    for run in runs[1:]:
        for file in run.iterdir():
            file.unlink()
        run.rmdir()
    assert directory.number(make_run(tmp_path)) == 4


def test_numbers_go_on_after_directories_copied_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "0041-ce").mkdir()
    assert directory.number(make_run(tmp_path)) == 42


def test_processes_that_create_at_once_get_different_numbers(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("fork")) as pool:
        made = list(pool.map(make_run, [tmp_path] * 40))
    assert sorted(map(directory.number, made)) == list(range(1, 41))
    assert directory.list_runs(tmp_path) == sorted(made)


def test_only_run_directories_are_listed(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (tmp_path / "notes").mkdir()
    (tmp_path / "0002-file").touch()
    (tmp_path / "0003-link").symlink_to(run)
    (tmp_path / "10000-ce").mkdir()
    assert directory.list_runs(tmp_path) == [run, tmp_path / "10000-ce"]
    assert directory.list_runs(tmp_path / "absent") == []
    with pytest.raises(UserError, match="not a run directory"):
        directory.number(tmp_path / "notes")


def test_a_place_that_cannot_hold_runs_is_named_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"No run can be made in .*file: it is not a folder\."):
        make_run(tmp_path / "file")


def test_a_full_disk_leaves_nothing_half_made(tmp_path: Path) -> None:
    # A process whose files may have 512 bytes at most: config.json does not fit.
    script = (
        "import resource, signal, sys; from pathlib import Path; from tests.support.run_files import make_run;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512)); make_run(Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert "UserError: No run can be made in" in done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name not in (".lock", ".sequence")] == []


def test_what_a_killed_creator_left_is_cleared_away(tmp_path: Path) -> None:
    make_run(tmp_path)
    (tmp_path / ".new-0123").mkdir()
    (tmp_path / ".new-0123" / "config.json").touch()
    make_run(tmp_path)
    assert not (tmp_path / ".new-0123").exists()


def test_importing_it_needs_no_library() -> None:
    script = "import handreid_tui.runs.directory, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pydantic", "sqlmodel", "sqlalchemy", "numpy", "torch", "textual"} & set(loaded)


# What a user entered


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"\xff\xfe", b'{"tags": 3, "note": {}, "created": "x"}', b"[" * 99999]
)
def test_a_damaged_meta_file_reads_as_nothing_entered(tmp_path: Path, content: bytes) -> None:
    run = make_run(tmp_path, note="lost")
    (run / "meta.json").write_bytes(content)
    meta = Meta.read(run)
    assert replace(meta, created=0.0) == Meta()
    assert abs(meta.created - time.time()) < 60  # then the age of config.json


def test_text_from_elsewhere_cannot_move_the_cursor(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    write_json(run / "meta.json", {"name": "a\x1b[2Jb\nc", "tags": ["\x07", "x\x00y"], "note": "1\n2\x9b\ud800"})
    meta = Meta.read(run)
    assert (meta.name, meta.tags, meta.note) == ("a[2Jb c", ("xy",), "1\n2?")


def _add_tags(run: Path, first: int) -> None:
    for tag in range(first, first + 25):
        edit_meta(run, lambda meta, tag=tag: replace(meta, tags=(*meta.tags, str(tag))))


def test_edits_of_several_managers_at_once_are_all_kept(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with ProcessPoolExecutor(4, mp_context=get_context("fork")) as pool:
        list(pool.map(_add_tags, [run] * 4, range(0, 100, 25)))
    assert set(Meta.read(run).tags) == {str(tag) for tag in range(100)}
    assert [path.name for path in run.iterdir() if path.name.startswith(".")] == []


# A directory from someone else


def test_links_are_neither_read_nor_written_through(tmp_path: Path) -> None:
    run, secret = make_run(tmp_path / "runs"), tmp_path / "secret.json"
    secret.write_text('{"note": "secret"}')
    (run / "meta.json").unlink()
    (run / "meta.json").symlink_to(secret)
    assert Meta.read(run).note == ""
    edit_meta(run, lambda meta: replace(meta, note="mine"))
    assert Meta.read(run).note == "mine"
    assert json.loads(secret.read_text()) == {"note": "secret"}
    (run / "claim.lock").symlink_to(secret)
    with pytest.raises(OSError):
        claim(run)


def test_a_pipe_in_the_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    for name in ("events.jsonl", "process.json", "exit.json", "queued.json", "claim.lock", "trainer.log"):
        os.mkfifo(run / name)
    assert observe(run).status == "starting"


def test_paths_that_lead_out_of_the_run_are_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run / "evaluation").symlink_to(tmp_path)
    assert inside(run, "checkpoints", "best") == run / "checkpoints" / "best"
    for parts in (("..", "x"), ("evaluation", "summary.json"), ("/etc/passwd",), ("a/../../b",)):
        with pytest.raises(UserError, match="leads out of its run directory"):
            inside(run, *parts)


# What the files say about the process. A real shim stands behind these: a process that holds the claim.

SHIM = """
import json, os, socket, subprocess, sys, time
from pathlib import Path
from handreid_tui.runs.claim import boot_id, claim, process_started
from handreid_tui.runs.safe_files import write_json
run, trainer = Path(sys.argv[1]), None
lock = claim(run)
if lock is None:
    sys.exit("claimed by another")
events = run / "events.jsonl"
size = events.stat().st_size if events.exists() else 0
trainer = subprocess.Popen(["sleep", "60"])
write_json(run / "process.json", {
    "t": time.time(), "host": socket.gethostname(), "boot_id": boot_id(), "events": size, "shim": os.getpid(),
    "trainer": trainer.pid, "trainer_started": process_started(trainer.pid)})
print(trainer.pid, flush=True)
status = trainer.wait()
write_json(run / "exit.json", {"t": time.time(), "status": status})
"""


class Shim:
    def __init__(self, run: Path) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", SHIM, run], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.trainer = int(self.process.stdout.readline())

    def kill_trainer(self, number: int) -> None:
        os.kill(self.trainer, number)
        self.process.wait(20)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(20)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path)


@pytest.fixture
def shim(run: Path):
    shim = Shim(run)
    yield shim
    shim.kill()
    with suppress(ProcessLookupError):
        os.kill(shim.trainer, signal.SIGKILL)


def test_a_run_waits_in_the_queue_until_it_is_claimed(run: Path) -> None:
    write_json(run / "queued.json", {"t": time.time(), "priority": 0, "resume": False})
    assert observe(run).status == "queued"
    lock = claim(run)
    assert lock is not None
    assert observe(run).status == "starting"
    assert claim(run) is None
    os.close(lock)
    assert observe(run).status == "queued"


def test_a_run_starts_runs_and_finishes(run: Path, shim: Shim) -> None:
    assert observe(run) == State("starting")
    trainer = Trainer(run).start()
    assert observe(run) == State("running")
    trainer.end()
    assert observe(run) == State("running")  # until the shim has seen its end
    shim.kill_trainer(signal.SIGTERM)
    assert observe(run) == State("finished")
    assert observe(run).final


def test_a_failure_tells_its_reason(run: Path) -> None:
    Trainer(run).start().end(
        "failed", {"kind": "nan", "message": "Loss \x1b[31mce is NaN.", "traceback": "x" * 300_000}
    )
    assert observe(run) == State("failed", "Loss [31mce is NaN.")


def test_a_killed_trainer_has_failed(run: Path, shim: Shim) -> None:
    Trainer(run).start().steps(0, 5)
    shim.kill_trainer(signal.SIGKILL)
    assert observe(run) == State("failed", "killed by SIGKILL (out of memory?)")


def test_a_trainer_that_dies_before_its_first_event_is_quoted(run: Path) -> None:
    write_json(run / "exit.json", {"status": 1})
    (run / "trainer.log").write_text("Traceback …\nModuleNotFoundError: No module named 'torch'\n\n")
    state = observe(run)
    assert state.status == "failed"
    assert state.reason.endswith("wrote no result: ModuleNotFoundError: No module named 'torch'")


def test_a_run_without_its_shim_runs_until_the_trainer_is_gone_and_then_is_lost(run: Path, shim: Shim) -> None:
    Trainer(run).start()
    shim.kill()
    assert observe(run).status == "running"
    os.kill(shim.trainer, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while process_started(shim.trainer) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert observe(run) == State("lost", "The shim was killed.")


def test_a_reused_process_number_is_not_ours(run: Path) -> None:
    ours = {"host": os.uname().nodename, "boot_id": boot_id(), "events": 0, "trainer": os.getpid()}
    write_json(run / "process.json", ours | {"trainer_started": process_started(os.getpid())})
    assert observe(run).status == "starting"
    write_json(run / "process.json", ours | {"trainer_started": 1})
    assert observe(run).status == "lost"


def test_a_restarted_machine_has_lost_its_runs(run: Path) -> None:
    Trainer(run).start()
    write_json(run / "process.json", {"host": os.uname().nodename, "boot_id": "an earlier one", "events": 0})
    assert observe(run) == State("lost", "The machine was restarted.")


def test_an_ended_event_of_an_earlier_attempt_does_not_count(run: Path) -> None:
    Trainer(run).start().end("stopped")
    assert observe(run).status == "stopped"
    size = (run / "events.jsonl").stat().st_size
    here = {"host": os.uname().nodename, "boot_id": boot_id(), "events": size}
    write_json(run / "process.json", here)
    assert observe(run).status == "lost"
    Trainer(run).start(resumed_from=5)
    assert observe(run).status == "lost"
    Trainer(run).end("finished")
    assert observe(run).status == "finished"


def test_a_torn_ended_event_does_not_count(run: Path) -> None:
    finish(run)
    whole = (run / "events.jsonl").read_bytes()
    (run / "events.jsonl").write_bytes(whole[:-10])
    write_json(run / "exit.json", {"status": -9})
    assert observe(run).status == "failed"


def test_on_another_host_events_tell(run: Path) -> None:
    write_json(run / "process.json", {"host": "node\x1b7", "boot_id": "its own", "events": 0})
    Trainer(run).start()
    now = time.time()
    assert observe(run, now=now) == State("running")
    assert observe(run, now=now + STALLED_AFTER + 60) == State("running", stalled=True)
    assert observe(run, now=now + LOST_AFTER + 60) == State("lost", "No events for 1 h on node7.")
    Trainer(run).end()
    assert observe(run, now=now + LOST_AFTER + 60).status == "finished"


def test_a_trainer_that_says_nothing_is_stalled(run: Path, shim: Shim) -> None:
    Trainer(run).start()
    assert observe(run, now=time.time() + STALLED_AFTER + 60) == State("running", stalled=True)
    assert observe(run, now=time.time() - 1e6) == State("running")  # the clock was set back


def test_a_run_that_nothing_ever_started_is_lost(run: Path) -> None:
    assert observe(run).status == "starting"
    assert observe(run, now=time.time() + 120) == State("lost", "The run was never started.")


@pytest.mark.parametrize("name", ["process.json", "exit.json", "queued.json", "events.jsonl", "trainer.log"])
@pytest.mark.parametrize("content", [b"", b"\x00" * 50, b"null", b'{"events": -3, "host": 5}', b'{"kind": "ended"}\n'])
def test_damaged_files_never_break_it(run: Path, name: str, content: bytes) -> None:
    finish(run)
    (run / name).write_bytes(content)
    assert observe(run).status in ("queued", "starting", "running", "finished", "failed", "lost")


def test_observers_never_keep_a_shim_from_its_claim(run: Path) -> None:
    (run / "claim.lock").touch()
    script = (
        "import sys, pathlib, handreid_tui.runs.state as state\nwhile True: state.is_claimed(pathlib.Path(sys.argv[1]))"
    )
    observers = [subprocess.Popen([sys.executable, "-c", script, run]) for _ in range(2)]
    try:
        time.sleep(0.5)
        for _ in range(200):
            lock = claim(run)
            assert lock is not None
            os.close(lock)
    finally:
        for observer in observers:
            observer.kill()
            observer.wait()


def test_a_read_of_json_is_limited(run: Path) -> None:
    (run / "exit.json").write_text('{"status": 1' + " " * (2 << 20) + "}")
    assert read_json(run / "exit.json") == {}
    append(run, b"x" * 10)
    assert observe(run).status != "finished"
