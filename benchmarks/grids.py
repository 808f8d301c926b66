"""What a run of a grid costs to launch, beside a run of the same number of seeds.

    python benchmarks/grids.py [--rounds 9]

Four combinations: 24 seeds each, or 24 learning rates, or 6 learning rates of 4 weight decays. Configured, checked,
created and queued on synthetic hands; nothing is trained.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from handreid_tui.launch import queue
from handreid_tui.launch.plan import plan
from handreid_tui.runs import directory

COMBOS = ["ce", "ce_triplet", "ce_triplet_center", "ce_arcface"]
RATES = [1e-4 * 1.2**n for n in range(24)]
KINDS: dict[str, tuple[list[int], dict[str, list[Any]]]] = {
    "24 seeds": (list(range(24)), {}),
    "24 learning rates": ([0], {"train.lr": RATES}),
    "6 learning rates, 4 weight decays": ([0], {"train.lr": RATES[:6], "train.weight_decay": [0.0, 0.01, 0.05, 0.1]}),
}


def launch(seeds: list[int], grid: dict[str, list[Any]]) -> float:
    """Milliseconds of processor time for each run."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        runs.mkdir()
        began = time.process_time()
        made = plan(COMBOS, seeds, {}, runs, grid=grid)
        paths = directory.create_all(runs, made.configs)
        queue.enqueue_all(paths, priority=0, gpus=1.0, parallel=1)
        return 1e3 * (time.process_time() - began) / len(paths)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    launch(*KINDS["24 seeds"])  # imports, the generated hands
    taken: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(rounds):  # turn and turn about, so that the machine's moods fall on all alike
        for kind, (seeds, grid) in KINDS.items():
            taken[kind].append(launch(seeds, grid))
    usual = taken["24 seeds"]
    for kind, found in taken.items():
        ratios = [here / there for here, there in zip(found, usual, strict=True)]
        low, high = min(ratios), max(ratios)
        print(
            f"{kind:34} {statistics.median(found):6.2f} ms a run   "
            f"/ seeds {statistics.median(ratios):.2f} ({low:.2f}-{high:.2f})"
        )


if __name__ == "__main__":
    main()
