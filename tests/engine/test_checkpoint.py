"""A checkpoint is whole or not there, is checked when read, and can hide no code."""

import pickle
import resource
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.contract.events import EventWriter, read_events
from engine.training import checkpoint_writer
from engine.training.checkpoint import BEST, FILES, Checkpoint, load_checkpoint, load_newest, save_checkpoint
from engine.training.checkpoint_writer import CheckpointWriter
from tests.support.events import raw_events


def checkpoint(step: int) -> Checkpoint:
    optimizer = {
        "state": {0: {"step": torch.tensor(float(step)), "exp_avg": torch.ones(3)}},
        "param_groups": [{"lr": 0.1}],
    }
    return Checkpoint({"visual.weight": torch.full((4,), float(step))}, {"step": step}, [optimizer])


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last", checkpoint(3))
    loaded = load_checkpoint(tmp_path / "last")
    assert loaded is not None
    assert loaded.state == {"step": 3}
    assert torch.equal(loaded.weights["visual.weight"], torch.full((4,), 3.0))
    assert loaded.optimizers[0]["state"][0]["step"] == 3


@pytest.mark.parametrize("file", [*FILES, BEST, "manifest.json"])
@pytest.mark.parametrize("harm", ["cut", "flip", "remove"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path, file: str, harm: str) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path / "best", checkpoint(step))
        save_checkpoint(tmp_path / "last", checkpoint(step), keep_previous=True, best=tmp_path / "best")
    place = tmp_path / "last" / file
    content = bytearray(place.read_bytes())
    if harm == "cut":
        place.write_bytes(content[: len(content) // 2])
    elif harm == "flip":
        content[len(content) // 2] ^= 0xFF
        place.write_bytes(content)
    else:
        place.unlink()
    newest = load_newest(tmp_path)
    assert newest is not None
    assert newest.state["step"] == 1
    assert torch.equal(newest.best["visual.weight"], torch.full((4,), 1.0))  # and the best of that time


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last", checkpoint(1), keep_previous=True)
    (tmp_path / "last").rename(tmp_path / "previous")
    newest = load_newest(tmp_path)
    assert newest is not None
    assert newest.state["step"] == 1
    save_checkpoint(tmp_path / "last", checkpoint(2), keep_previous=True)
    newest = load_newest(tmp_path)
    assert newest is not None
    assert newest.state["step"] == 2


def test_a_full_disk_leaves_the_last_checkpoint_as_it_was(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last", checkpoint(1), keep_previous=True)
    script = f"""
import resource, signal, torch
from pathlib import Path
from engine.training.checkpoint import Checkpoint, save_checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    save_checkpoint(Path({str(tmp_path / "last")!r}), Checkpoint({{"w": torch.zeros(100_000)}}, {{"step": 2}}), True)
except OSError:
    print("refused")
"""
    assert resource.RLIMIT_FSIZE
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "refused"
    newest = load_newest(tmp_path)
    assert newest is not None
    assert newest.state["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "harmed",))

    save_checkpoint(tmp_path / "last", checkpoint(1))
    (tmp_path / "last" / "optimizer.pt").write_bytes(pickle.dumps(Harm()))
    import hashlib
    import json

    manifest = tmp_path / "last" / "manifest.json"
    hashes = json.loads(manifest.read_text())
    hashes["optimizer.pt"] = hashlib.blake2b((tmp_path / "last" / "optimizer.pt").read_bytes()).hexdigest()[:32]
    manifest.write_text(json.dumps(hashes))
    assert load_checkpoint(tmp_path / "last") is None
    assert not (tmp_path / "harmed").exists()


def test_training_goes_on_while_a_checkpoint_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk_is_ready = threading.Event()

    def slowly(*what: Any, **how: Any) -> None:
        disk_is_ready.wait(60)
        save_checkpoint(*what, **how)

    monkeypatch.setattr(checkpoint_writer, "save_checkpoint", slowly)
    writer = CheckpointWriter(tmp_path, EventWriter(tmp_path / "events.jsonl"))
    last = checkpoint(3)
    writer.save(last, checkpoint(2), epoch=1)
    for values in (last.weights["visual.weight"], last.optimizers[0]["state"][0]["exp_avg"]):
        values.zero_()  # the next step
    writer.look()
    assert not (tmp_path / "last").exists()
    assert not read_events(tmp_path / "events.jsonl").events
    disk_is_ready.set()
    writer.wait()
    loaded = load_newest(tmp_path)
    assert loaded and torch.equal(loaded.weights["visual.weight"], torch.full((4,), 3.0))
    assert torch.equal(loaded.optimizers[0]["state"][0]["exp_avg"], torch.ones(3))
    assert torch.equal(loaded.best["visual.weight"], torch.full((4,), 2.0))
    (event,) = raw_events(tmp_path / "events.jsonl")
    assert (event["kind"], event["step"], event["path"]) == ("checkpoint", 3, "checkpoints/last")


def test_a_checkpoint_that_was_read_can_be_replaced_where_mapped_files_stay(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last", checkpoint(1))
    held = load_checkpoint(tmp_path / "last")
    assert held and str(tmp_path) not in Path("/proc/self/maps").read_text()  # NFS would keep it in its folder


def test_a_file_system_without_hard_links_gets_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "hardlink_to", lambda *_: (_ for _ in ()).throw(OSError("no links")))
    save_checkpoint(tmp_path / "best", checkpoint(1))
    save_checkpoint(tmp_path / "last", checkpoint(2), best=tmp_path / "best")
    loaded = load_checkpoint(tmp_path / "last")
    assert loaded and torch.equal(loaded.best["visual.weight"], torch.full((4,), 1.0))


def test_an_error_that_is_no_full_disk_is_not_called_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch, "save", fails)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        save_checkpoint(tmp_path / "last", Checkpoint({"w": torch.ones(2)}, {"step": 1}))
    assert not list(tmp_path.iterdir())
