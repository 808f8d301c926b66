"""Two processes on one run give what one process gives with the same whole batch (on the CPU, with gloo)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.support.training import events_of, small_config, train_in

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.mark.parametrize(
    "combo", ["ce_triplet_center", "clip_reid", pytest.param("clip_handid", marks=pytest.mark.long)]
)
def test_two_processes_learn_what_one_learns(combo: str, hands: Path, tmp_path: Path) -> None:
    settings = {"train__precision": "float32", "train__ids_per_batch": 4, "train__images_per_id": 2}
    config = small_config(combo, hands, **settings, train__optimizer="adam", train__lr=1e-4)
    train_in(tmp_path / "one", config)
    two = tmp_path / "two"
    two.mkdir()
    config.save(two / "config.json")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    words = [*TORCHRUN, "-m", "engine", "train", str(two)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    (started,) = events_of(two, "started")
    assert started["world_size"] == 2
    for kind in ("prompt", "step"):  # the stages
        losses = [[step["total"] for step in events_of(run, kind)] for run in (tmp_path / "one", two)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    first, second = (load_file(run / "checkpoints/best/model.safetensors") for run in (tmp_path / "one", two))
    for name, value in first.items():
        # Adam divides by the root of the second moment: rounding in a tiny gradient may move a weight by a step
        torch.testing.assert_close(second[name], value, rtol=1e-3, atol=3e-4)
    reports = [events_of(run, "ended")[0]["summary"]["mAP"] for run in (tmp_path / "one", two)]
    assert reports[0] == pytest.approx(reports[1], abs=0.02)
