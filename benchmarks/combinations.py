"""The time of a training step of each combination, over that of ce_triplet with the same encoder and batch.

    python benchmarks/combinations.py [--model handreid-tiny] [--device cuda] [--combo NAME …]

A step is the whole of it: images, encoder, losses, backward, optimizer. All take turns in one process. On the CPU it is
processor time, which other programs on the machine hardly move. A first stage is timed by itself, in steps of its own.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from common import interleaved, machine, ratio

from engine.contract import run_files
from engine.contract.config import resolve
from engine.contract.events import EventWriter
from engine.data import synthetic
from engine.machine.parallel import Workers
from engine.training.checkpoint_writer import CheckpointWriter
from engine.training.progress import TrainingProgress
from engine.training.prompt_learning import learn_prompts
from engine.training.setup import TrainingSetup, prepare
from engine.training.stopping import StopRequest

REFERENCE = "ce_triplet"
PROMPT_EPOCHS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="handreid-tiny")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--combo", action="append", help="default: facenet's, CLIP-ReID, CLIP-HandID, MBA-Net")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    clock = time.perf_counter if options.device == "cuda" else time.process_time
    print(machine(torch.cuda.get_device_name() if options.device == "cuda" else "none"))
    with tempfile.TemporaryDirectory() as folder:
        hands = Path(folder) / "hands"
        synthetic.write(hands, train_identities=24, test_identities=4, images=6, seed=0)
        combos = [REFERENCE, *(options.combo or ["ce_facenet", "clip_reid", "clip_handid", "mba_net"])]
        steps: dict[str, Callable[[], float]] = {}
        for combo in combos:
            setup = _prepare(combo, hands, options.model, options.device)
            if setup.prompts:
                began = clock()
                _learn(setup, Path(folder))
                count = PROMPT_EPOCHS * 2
                print(f"{combo}: first stage {1000 * (clock() - began) / count:.1f} ms a step of 64 images")
            steps[combo] = _timed(setup, options.steps, clock)
        interleaved(steps, 1)  # warm-up
        seconds = interleaved(steps, options.rounds)
        for combo, values in seconds.items():
            print(f"{combo:<14}{1000 * min(values):>8.1f} ms{ratio(seconds[REFERENCE], values):>22}", flush=True)


def _prepare(combo: str, hands: Path, model: str, device: str) -> TrainingSetup:
    settings = {"data.source": str(hands), "model.name": model, "model.pretrained": "none", "device": device}
    settings |= {"train.ids_per_batch": 16, "train.images_per_id": 4, "data.trials": 1, "threads": 1}
    learns = {"prompts.epochs": PROMPT_EPOCHS} if combo == "clip_reid" else {}
    return prepare(resolve(combo, **settings | learns))


def _learn(setup: TrainingSetup, folder: Path) -> None:
    writer = CheckpointWriter(folder / run_files.CHECKPOINTS, EventWriter(folder / run_files.EVENTS))
    learn_prompts(setup, TrainingProgress(), None, Workers(), writer, StopRequest())
    writer.wait()


def _timed(setup: TrainingSetup, steps: int, clock: Callable[[], float]) -> Callable[[], float]:
    """Runs some steps, and returns the seconds of one."""
    setup.model.train()

    def run() -> float:
        began = clock()
        for step in range(steps):
            images, target = setup.batch(step)
            with setup.device.precision():
                encoded = setup.model.encoder(images)
            setup.objective(setup.model.through_necks(encoded), target).total.backward()
            setup.objective.unscale_own()
            setup.optimizers.step(5.0)
        if images.is_cuda:
            torch.cuda.synchronize()
        return (clock() - began) / steps

    return run


if __name__ == "__main__":
    main()
