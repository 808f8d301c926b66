"""How long training waits for a checkpoint of the size of CLIP's ViT-B/16 with Adam's state: 1.0 GB, 0.3 GB of best.

    python benchmarks/checkpoint.py [--folder DIR] [--rounds 5]

DIR lies on the disk that is measured. In turns: written at once, and by the writer of engine/train.py, which makes
training wait for copies of the values only. "Meanwhile" is what another thread got done while it was written, of what
it gets done alone.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from common import machine

from engine.contract import run_files
from engine.contract.events import EventWriter
from engine.training.checkpoint import Checkpoint, save_checkpoint
from engine.training.checkpoint_writer import CheckpointWriter

PARAMETERS, TENSORS = 86_000_000, 152
ADAM = ("exp_avg", "exp_avg_sq")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; empty: the temporary one")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(machine())
    torch.set_num_threads(1)
    weights = {f"visual.{number}": torch.randn(PARAMETERS // TENSORS) for number in range(TENSORS)}
    moments = {number: {name: value.clone() for name in ADAM} for number, value in enumerate(weights.values())}
    last = Checkpoint(weights, {"step": 1}, [{"state": moments, "param_groups": []}])
    best = Checkpoint(weights, {"step": 1})
    alone = work(lambda seconds: seconds < 2)
    at_once, waits, done, meanwhile = [], [], [], []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            folder = Path(name)
            began = time.perf_counter()
            save_checkpoint(folder / run_files.BEST, best)
            save_checkpoint(folder / run_files.LAST, last, keep_previous=True)
            at_once.append(time.perf_counter() - began)
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            writer = CheckpointWriter(Path(name), EventWriter(Path(name) / run_files.EVENTS))
            began = time.perf_counter()
            writer.save(last, best, epoch=1)
            waits.append(time.perf_counter() - began)
            meanwhile.append(work(lambda _, writer=writer: writer.busy) / alone)
            done.append(time.perf_counter() - began)
    for what, times in (
        ("written at once: training waits", at_once),
        ("written beside the training: training waits", waits),
        ("written beside the training: on the disk after", done),
    ):
        print(f"{what:<50}{statistics.median(times):>6.2f} s ({min(times):.2f}-{max(times):.2f})")
    print(f"{'meanwhile':<50}{statistics.median(meanwhile):>6.0%}   ({min(meanwhile):.0%}-{max(meanwhile):.0%})")


def work(goes_on: Callable[[float], bool]) -> float:
    """Small matrix products a second on this thread, while `goes_on` of the seconds passed."""
    matrix, count = torch.randn(256, 256), 0
    began = time.perf_counter()
    while goes_on(time.perf_counter() - began):
        matrix @ matrix
        count += 1
    return count / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
