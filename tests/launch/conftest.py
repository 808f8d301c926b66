"""What the tests of launching share: a folder of runs whose trainers pretend, and stand-ins for Slurm's commands."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from handreid_tui.launch.slurm import sync
from tests.support.launch_tools import pretending
from tests.support.slurm_commands import Slurm


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
