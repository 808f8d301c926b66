"""What several benchmarks need: the machine in one line, made-up data sets, and ratios over interleaved rounds."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

from PIL import Image

from engine.data import synthetic

IMAGES_PER_IDENTITY = 8


def machine(gpu: str = "none") -> str:
    """CPU, cores, load, GPU and versions: printed above every table."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    named = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    family = [line.split(":")[1].strip() for line in lines if line.startswith(("cpu family", "model\t"))][:2]
    cpu = f"{named} (family {family[0]}, model {family[1]})" if len(family) == 2 else named
    cores, load = os.cpu_count(), os.getloadavg()[0]
    return (
        f"{cpu}, {cores} cores, load {load:.1f} at the start; GPU: {gpu}; "
        f"Python {platform.python_version()}, torch {version('torch')}"
    )


def make_photos(folder: Path, count: int, size: tuple[int, int], source: Path | None) -> Path:
    """`count` JPEG photos of `size` (width, height), quality 95, a folder for every eight; labels mean nothing.

    Enlarged from the images of `source`, or from drawn hands where it is None or absent.
    """
    if source is None or not source.is_dir():
        source = folder / "drawn"
        if not source.is_dir():
            synthetic.write(source, 4, 4, 4, seed=0)
    originals = sorted((source / "Hands").glob("*.jpg"))
    photos = folder / f"photos-{size[0]}x{size[1]}"

    def make(number: int) -> None:
        target = photos / f"{number // IMAGES_PER_IDENTITY:04d}" / f"{number:06d}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(originals[number % len(originals)]) as original:
            original.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(target, quality=95)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(make, range(count)))
    return photos


def interleaved(methods: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What each method returns, `rounds` times, in turns: a slow moment of the machine meets all of them.

    The order is reversed every other round.
    """
    results: dict[str, list[float]] = {name: [] for name in methods}
    for turn in range(rounds):
        for name in list(methods)[:: -1 if turn % 2 else 1]:
            results[name].append(methods[name]())
    return results


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """`theirs / ours` of each round: the median, with the least and the most."""
    each = [b / a for a, b in zip(ours, theirs, strict=True)]
    return f"{statistics.median(each):.2f} ({min(each):.2f}-{max(each):.2f})"
