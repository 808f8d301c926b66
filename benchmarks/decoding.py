"""What the decoder costs over Pillow alone, on 8-bit JPEGs: `python benchmarks/decoding.py FOLDER [--size 224]`.

The decoder applies the orientation, checks depth and transparency, and makes a thumbnail to find copies. Pillow
alone is draft, convert and resize. Both run in turn in one thread; the ratio is that of the fastest of several rounds
of CPU time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from engine.data.cache import Resize, decode


def pillow_alone(path: Path, size: int) -> np.ndarray:
    with Image.open(path) as image:
        image.draft("RGB", (2 * size, 2 * size))
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3))


def cpu_seconds(work: Callable[[Path, int], object], paths: list[Path], size: int) -> float:
    began = time.process_time()
    for path in paths:
        work(path, size)
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=8)
    chosen = parser.parse_args()
    paths = sorted(chosen.folder.rglob("*.jpg"))[: chosen.images]
    same = sum(
        bool((decode(path, Resize(chosen.size)).pixels == pillow_alone(path, chosen.size)).all()) for path in paths
    )
    times: dict[str, list[float]] = {"ours": [], "pillow": []}
    for _ in range(chosen.rounds):
        times["ours"].append(cpu_seconds(decode, paths, chosen.size))
        times["pillow"].append(cpu_seconds(pillow_alone, paths, chosen.size))
    ours, pillow = min(times["ours"]), min(times["pillow"])
    print(f"{len(paths)} images, {same} with the same pixels; ours / Pillow alone: {ours / pillow:.2f}")


if __name__ == "__main__":
    main()
