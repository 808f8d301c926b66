"""Before a run is queued again: its data is found where it moved to, other data is refused; and who needs a run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine.contract.config import RunConfig, resolve
from engine.contract.errors import UserError
from engine.data import synthetic
from engine.data.split import open_split
from handreid_tui.launch import lifecycle
from handreid_tui.launch.dependents import dependents
from handreid_tui.launch.resumed_data import follow_data
from handreid_tui.runs.directory import create
from tests.support.run_files import Trainer, wait_in_queue


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with data, and a run on it that was stopped with a checkpoint and one that was stopped without."""
    folder = tmp_path / "project"
    synthetic.write(folder / "data" / "hands", train_identities=3, test_identities=2, images=3, seed=1, size=32)
    (folder / "start.safetensors").write_bytes(b"weights")
    for checkpoint in (True, False):
        settings = {"data.source": str(folder / "data" / "hands"), "data.subset": "dorsal-right", "data.trials": 2}
        settings |= {"model.pretrained": str(folder / "start.safetensors"), "model.name": "handreid-tiny"}
        run = create(folder / "runs", resolve("ce", 0, **settings))
        split = open_split(RunConfig.load(run / "config.json").data)
        Trainer(run).start(fingerprint=split.fingerprint, train_images=6).steps(0, 3).end("stopped")
        (run / "exit.json").write_text('{"status": 0}')
        if checkpoint:
            (run / "checkpoints" / "last").mkdir(parents=True)
            (run / "checkpoints" / "last" / "manifest.json").write_text("{}")
    return folder


def runs_of(project: Path) -> list[Path]:
    return sorted((project / "runs").glob("0*"))


def source(run: Path) -> Path:
    return Path(RunConfig.load(run / "config.json").data.source)


def test_unchanged_data_is_left_where_it_is(project: Path) -> None:
    before = [(run / "config.json").read_bytes() for run in runs_of(project)]
    assert follow_data(runs_of(project), None) == []
    assert [(run / "config.json").read_bytes() for run in runs_of(project)] == before


@pytest.mark.parametrize("place", ["renamed", "deeper/inside/project", "../beside"])
def test_a_project_that_moved_as_a_whole_is_resumed(project: Path, tmp_path: Path, place: str) -> None:
    moved = (tmp_path / "other" / place).resolve()
    moved.parent.mkdir(parents=True, exist_ok=True)
    project.rename(moved)
    notes = follow_data(runs_of(moved), None)
    assert len(notes) == 2 and str(moved / "data" / "hands") in notes[0]
    for run in runs_of(moved):
        assert source(run) == moved / "data" / "hands"
        assert RunConfig.load(run / "config.json").model.pretrained == str(moved / "start.safetensors")


def test_runs_that_moved_beside_their_data_are_resumed(project: Path) -> None:
    (project / "data" / "hands").rename(project / "hands")
    follow_data(runs_of(project), None)
    assert {source(run) for run in runs_of(project)} == {project / "hands"}


def test_another_folder_of_the_name_is_not_taken_for_the_data(project: Path, tmp_path: Path) -> None:
    (project / "data" / "hands").rename(tmp_path / "elsewhere")
    synthetic.write(project / "hands", train_identities=3, test_identities=2, images=4, seed=2, size=32)
    with pytest.raises(UserError, match=r"is not at .*hands any more.*handreid resume 1 --data PATH"):
        follow_data(runs_of(project), None)
    assert len(follow_data(runs_of(project), tmp_path / "elsewhere")) == 2
    assert {source(run) for run in runs_of(project)} == {tmp_path / "elsewhere"}


def test_a_place_that_the_user_names_must_hold_the_same_data_where_there_is_a_checkpoint(
    project: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    synthetic.write(other, train_identities=4, test_identities=2, images=3, seed=2, size=32)
    with_checkpoint, without = runs_of(project)
    with pytest.raises(UserError, match="has changed since run 0001-ce began"):
        follow_data([with_checkpoint], other)
    assert source(with_checkpoint) == project / "data" / "hands"
    assert follow_data([without], other)
    assert source(without) == other
    with pytest.raises(UserError, match="There is no folder"):
        follow_data([without], tmp_path / "nowhere")


def test_changed_data_is_refused_before_anything_is_queued(project: Path) -> None:
    shutil.rmtree(next((project / "data" / "hands").rglob("Hand_*")).parent)
    with pytest.raises(UserError):
        lifecycle.resume(runs_of(project))
    assert not list(project.rglob("queued.json"))


def test_on_a_cluster_the_data_need_not_be_here(project: Path, tmp_path: Path) -> None:
    (project / "data").rename(tmp_path / "unmounted")
    assert follow_data(runs_of(project), None, must_be_here=False) == []


# Who depends on a run


def start_from(project: Path, source: Path) -> Path:
    return create(
        project / "runs", resolve("ce", 1, **{"model.pretrained": str(source), "model.name": "handreid-tiny"})
    )


@pytest.mark.parametrize("part", ["", "checkpoints/best", "checkpoints/best/model.safetensors"])
def test_removing_a_run_names_those_that_started_from_it(project: Path, part: str) -> None:
    first = runs_of(project)[0]
    dependent = start_from(project, first / part)
    (found,) = dependents([first])
    assert found.run == dependent and found.needs and "cannot start without it" in found.sentence
    (dependent / "checkpoints" / "last").mkdir(parents=True)
    (dependent / "checkpoints" / "last" / "manifest.json").write_text("{}")
    (found,) = dependents([first])
    assert not found.needs and "no longer needs it" in found.sentence
    assert dependents([dependent]) == [] and dependents([first, dependent]) == []


def test_a_run_that_a_queued_run_starts_from_is_not_removed(project: Path) -> None:
    first = runs_of(project)[0]
    dependent = start_from(project, first)
    wait_in_queue(dependent)
    with pytest.raises(UserError, match=f"{dependent.name} is queued and starts from {first.name}"):
        lifecycle.remove(first)
    assert first.is_dir()
    lifecycle.remove_all([first, dependent])
    assert not first.exists() and not dependent.exists()
