"""CMC and mAP at Market-1501 size against the field's evaluators: time and peak memory, each in its own process.

    python benchmarks/ranking.py

3,368 queries, 15,913 gallery images, 512 dimensions, about 20 matches a query. The rivals are plain reimplementations
of the published algorithms, all from the same features. Times are medians over interleaved rounds.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import average_precision_score

from engine.evaluation.ranking import rank_queries, summarise

QUERIES, GALLERY, DIM, IDENTITIES, ROUNDS = 3368, 15913, 512, 800, 3


def made_up() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Unit features around a center for each identity, and identities, of queries and gallery."""
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(IDENTITIES, DIM, generator=generator)
    identity = torch.randint(0, IDENTITIES, (QUERIES + GALLERY,), generator=generator)
    noise = torch.randn(QUERIES + GALLERY, DIM, generator=generator)
    features = torch.nn.functional.normalize(noise.mul_(3).add_(centers[identity]))
    return features[:QUERIES], features[QUERIES:], identity[:QUERIES], identity[QUERIES:]


def floor(query, gallery, query_identity, gallery_identity) -> None:
    """What no evaluator that sorts can do without: every score, and each query's scores in order."""
    (query @ gallery.T).numpy().sort(axis=1)


def ours(query, gallery, query_identity, gallery_identity) -> float:
    return summarise(rank_queries(query, gallery, query_identity, gallery_identity))["mAP"]


def python_loop(query, gallery, query_identity, gallery_identity) -> float:
    """torchreid's evaluator, and fast-reid's without its compiled part: argsort of all, then a loop over queries."""
    order = np.argsort(1 - (query @ gallery.T).numpy(), axis=1)
    matches = gallery_identity.numpy()[order] == query_identity.numpy()[:, None]
    precisions, curves = [], []
    for row in matches:
        if row.any():
            hits = row.cumsum()
            curves.append((hits > 0)[:50])
            precisions.append(((hits / np.arange(1, len(row) + 1)) * row).sum() / row.sum())
    np.stack(curves).mean(axis=0)
    return float(np.mean(precisions))


def argsort_only(query, gallery, query_identity, gallery_identity) -> None:
    """The least that fast-reid's compiled evaluator can take: it is given the argsort of all distances."""
    np.argsort(1 - (query @ gallery.T).numpy(), axis=1)


def scikit_learn(query, gallery, query_identity, gallery_identity) -> float:
    """average_precision_score for each query."""
    scores = (query @ gallery.T).numpy()
    same = (query_identity[:, None] == gallery_identity).numpy()
    return float(np.mean([average_precision_score(s, row) for s, row in zip(same, scores, strict=True) if s.any()]))


METHODS = {f.__name__: f for f in (floor, ours, python_loop, argsort_only, scikit_learn)}


def measure(name: str) -> dict[str, float | None]:
    """Seconds, mAP, and the peak of memory above what the features take (MiB), in this process."""
    data = made_up()
    data[0] @ data[1][:1000].T  # the first product starts the threads
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    start = time.perf_counter()
    value = METHODS[name](*data)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "mAP": value, "memory": memory("VmHWM") - before}


def memory(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def main() -> None:
    rounds: dict[str, list[dict]] = {name: [] for name in METHODS}
    for _ in range(ROUNDS):
        for name in METHODS:
            done = subprocess.run([sys.executable, __file__, name], check=True, capture_output=True, text=True)
            rounds[name].append(json.loads(done.stdout))
    print(f"{QUERIES} x {GALLERY}, {DIM} dimensions, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'':<14}{'seconds':>9}{'/ floor':>9}{'/ ours':>9}{'peak MiB':>10}{'mAP':>10}")
    time_of = {name: statistics.median(r["seconds"] for r in each) for name, each in rounds.items()}
    for name, each in rounds.items():
        own, value = time_of[name], each[0]["mAP"]
        shown = f"{own:>9.2f}{own / time_of['floor']:>9.2f}{own / time_of['ours']:>9.2f}"
        peak = max(r["memory"] for r in each)
        print(f"{name:<14}{shown}{peak:>10.0f}{'' if value is None else f'{value:.6f}':>10}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
    else:
        main()
