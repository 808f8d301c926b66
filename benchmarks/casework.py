"""Searches of large galleries: time and memory, with made-up features of 1280 dimensions.

    python benchmarks/casework.py

1,000 people with 10 images and 100,000 with one. Enrolling makes the templates; a search ranks everybody exactly. Each
gallery in a process of its own, for its peak memory. Embedding is not in it: that is the model's speed.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.common import machine
from handreid_tui.casework.feature_store import FeatureStore, open_store
from handreid_tui.casework.search import enrol, search

DIMS, SEARCHES = 1280, 20
GALLERIES = ((1_000, 10), (100_000, 1))


def measure(people: int, images: int) -> dict[str, float]:
    """Seconds to save and open the features, to enrol, and of one search (median); peak memory in GB."""
    random = np.random.default_rng(0)
    features = random.standard_normal((people * images, DIMS), dtype=np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    hashes = [f"{n:064x}" for n in range(len(features))]
    persons = [f"{n // images:06}" for n in range(len(features))]
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gallery.safetensors"
        start = time.perf_counter()
        FeatureStore("model", features, hashes).save(path)
        found["save"] = time.perf_counter() - start
        start = time.perf_counter()
        features = open_store(path, "model").of(hashes)
        found["open"] = time.perf_counter() - start
    start = time.perf_counter()
    enrolled = enrol(persons, features)
    found["enrol"] = time.perf_counter() - start
    times = []
    for row in range(SEARCHES):
        start = time.perf_counter()
        hits = search(enrolled, features[row], 20)
        times.append(time.perf_counter() - start)
        assert hits[0].person == persons[row] or images > 1
    found["search"] = statistics.median(times)
    found["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return found


def main() -> None:
    if len(sys.argv) == 3:
        print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]))))
        return
    print(machine())
    print("| people x images | save, s | open, s | enrol, s | one search, ms | peak memory, GB |\n" + 6 * "|---" + "|")
    for people, images in GALLERIES:
        command = [sys.executable, "-m", "benchmarks.casework", str(people), str(images)]
        f = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        print(
            f"| {people:,} x {images} | {f['save']:.2f} | {f['open']:.2f} | {f['enrol']:.2f} "
            f"| {1000 * f['search']:.1f} | {f['memory']:.2f} |"
        )


if __name__ == "__main__":
    main()
