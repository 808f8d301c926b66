"""A full disk: what was written stays readable, training goes on or ends with a sentence, and it is said."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from engine.__main__ import explain
from engine.contract.config import RunConfig, resolve
from engine.contract.events import EventWriter, read_events
from engine.training.checkpoint import load_newest
from engine.training.setup import prepare
from tests.support.events import event, raw_events
from tests.support.training import small_config


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB. Only root can make one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte free; remove the returned file to make room."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(bytes(4096))
    return filler


def steps(path: Path) -> list[int]:
    return [event["step"] for event in raw_events(path) if event["kind"] == "step"]


def test_events_without_room_are_dropped_and_counted_and_the_next_are_whole(small_disk: Path) -> None:
    path = small_disk / "events.jsonl"
    events = EventWriter(path)
    events.write(event("step", step=0))
    filler = fill(small_disk)
    for step in range(1, 200):  # the file's last page has room for some
        events.write(event("step", step=step))
    written = steps(path)
    assert written == list(range(len(written))) and 0 < len(written) < 199
    filler.unlink()
    events.write(event("step", step=200))
    events.write(event("step", step=201))
    chunk = read_events(path)
    assert steps(path) == [*written, 200, 201]
    assert chunk.damaged <= 1  # the one that was cut
    (message,) = [event for event in raw_events(path) if event["kind"] == "message"]
    assert message["text"] == f"The disk was full: {200 - len(written)} events were lost."
    assert raw_events(path).index(message) == len(written)


def test_a_line_that_is_cut_never_joins_the_next(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    script = f"""
import resource
from pathlib import Path
from engine.contract.events import EventWriter
from tests.support.events import event
events = EventWriter(Path({str(path)!r}))
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
events.write(event("step", step=0))
resource.setrlimit(resource.RLIMIT_FSIZE, (70, hard))
events.write(event("step", step=1))
events.write(event("step", step=2))
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
events.write(event("step", step=3))
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    assert len(path.read_bytes().splitlines()[1]) == 70 - len(path.read_bytes().splitlines()[0]) - 1
    chunk = read_events(path)
    assert [event["kind"] for event in raw_events(path)] == ["step", "message", "step"]
    assert (steps(path), chunk.damaged) == ([0, 3], 1)


def trained(run: Path, config: RunConfig, largest_file: int | None = None) -> subprocess.CompletedProcess[str]:
    """`python -m engine train`, its log in the run as a shim has it; the images were decoded before."""
    prepare(config)
    config.save(run / "config.json")

    def limit() -> None:
        if largest_file:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    with (run / "trainer.log").open("w") as log:
        return subprocess.run(
            [sys.executable, "-m", "engine", "train", str(run)], stdout=log, stderr=log, text=True, preexec_fn=limit
        )


def check_told(run: Path, done: subprocess.CompletedProcess[str]) -> None:
    chunk, events = read_events(run / "events.jsonl"), raw_events(run / "events.jsonl")
    assert done.returncode == 1
    assert events[0]["kind"] == "started" and chunk.damaged == 0
    warnings = [event["text"] for event in events if event["kind"] == "message"]
    assert any("No checkpoint at step" in text and "Training continues" in text for text in warnings)
    assert [event["epoch"] for event in events if event["kind"] == "epoch"] == [1, 2]
    assert events[-1]["status"] == "failed"
    assert events[-1]["reason"]["kind"] == "disk"
    assert "free some space" in events[-1]["reason"]["message"]
    assert "Traceback" not in (run / "trainer.log").read_text()
    assert load_newest(run / "checkpoints") is None
    assert not list(run.glob("checkpoints/*.tmp"))


def test_training_without_room_for_checkpoints_says_so_goes_on_and_resumes(small_disk: Path, hands: Path) -> None:
    config = small_config("ce", hands, train__checkpoint_every=1e-3, evaluation__every=1)
    done = trained(small_disk, config)
    check_told(small_disk, done)
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert trained(small_disk, config).returncode == 0
    assert raw_events(small_disk / "events.jsonl")[-1]["status"] == "finished"


def test_training_where_no_large_file_can_be_written_ends_with_a_sentence(tmp_path: Path, hands: Path) -> None:
    check_told(
        tmp_path,
        trained(tmp_path, small_config("ce", hands, train__checkpoint_every=1e-3, evaluation__every=1), 100_000),
    )


def test_training_goes_on_where_not_even_events_can_be_written(tmp_path: Path, hands: Path) -> None:
    done = trained(tmp_path, small_config("ce", hands), 4096)
    assert done.returncode == 1  # the result cannot be kept either
    chunk, events = read_events(tmp_path / "events.jsonl"), raw_events(tmp_path / "events.jsonl")
    assert events[0]["kind"] == "started" and chunk.damaged == 0
    assert "free some space" in (tmp_path / "trainer.log").read_text()
    json.loads((tmp_path / "config.json").read_text())


@pytest.mark.parametrize("name", ["torch.cuda.OutOfMemoryError", "torch.OutOfMemoryError"])
@pytest.mark.parametrize(
    ("ids", "images", "way_out"),
    [
        (16, 4, ("8 identities", "train.ids_per_batch")),
        (2, 8, ("4 images of each", "train.images_per_id")),
        (2, 2, ("smaller model", "model.name")),
    ],
)
def test_out_of_gpu_memory_says_what_would_fit(name: str, ids: int, images: int, way_out: tuple[str, str]) -> None:
    error = {
        "torch.cuda.OutOfMemoryError": torch.cuda.OutOfMemoryError,
        "torch.OutOfMemoryError": torch.OutOfMemoryError,
    }
    config = resolve("ce", **{"train.ids_per_batch": ids, "train.images_per_id": images})
    reason = explain(error[name]("CUDA out of memory. Tried to allocate 2.00 GiB"), config)
    assert reason.kind == "out_of_memory"
    assert reason.traceback is None
    assert f"out of GPU memory with a batch of {ids * images} ({ids} identities x {images} images)" in reason.message
    assert way_out[0] in reason.message
    assert reason.setting == way_out[1]


def test_every_way_to_tell_a_full_disk_is_understood() -> None:
    config = resolve("ce")
    full = "Error while serializing: I/O error: No space left on device (os error 28)"
    for error in (OSError(28, os.strerror(28)), OSError(27, os.strerror(27)), RuntimeError(full)):
        assert explain(error, config).kind == "disk"
    assert explain(OSError(13, os.strerror(13)), config).kind == "error"
