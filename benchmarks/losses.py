"""Forward and backward of each loss against pytorch-metric-learning's (ce, i2t: torch's), side by side.

    python benchmarks/losses.py [--device cuda]

Prints the time of the other over ours: above 1, ours is faster. Medians of interleaved repeats. On the CPU it is one
thread's processor time, which other programs on the machine do not move.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from pytorch_metric_learning import losses as theirs
from pytorch_metric_learning.distances import DotProductSimilarity, LpDistance
from pytorch_metric_learning.miners import BatchHardMiner, TripletMarginMiner
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor
from torch.nn.functional import cross_entropy as torch_cross_entropy

from engine.losses import ArcFace, CosFace, FaceNet, ImageToText, batch_hard_triplet, circle, cross_entropy, supcon
from engine.losses.contrast import image_text_contrast

DIM, IMAGES_PER_ID, ROUNDS = 512, 4, 7
Loss = Callable[[Tensor, Tensor], Tensor]


def rivals(classes: int, device: str) -> dict[str, tuple[Loss, Loss]]:
    """Name -> (ours, theirs), doing the same work on features [B, D]."""
    distance = LpDistance(normalize_embeddings=False)
    miner = BatchHardMiner(distance=distance)
    triplet = theirs.TripletMarginLoss(margin=0.3, distance=distance, reducer=MeanReducer())
    sphere = LpDistance(normalize_embeddings=True, p=2, power=2)
    semi_hard = TripletMarginMiner(0.2, "semihard", distance=sphere)
    face = theirs.TripletMarginLoss(margin=0.2, distance=sphere, reducer=MeanReducer())
    contrast = theirs.SupConLoss(
        temperature=1, distance=DotProductSimilarity(normalize_embeddings=False), reducer=MeanReducer()
    )
    linear = torch.nn.Linear(DIM, classes, bias=False, device=device)
    texts = torch.randn(classes, DIM, device=device)
    to_texts = ImageToText(DIM, classes).to(device)
    to_texts.texts.copy_(texts)
    by_class: dict[str, tuple[Loss, Loss]] = {
        "ce": (
            lambda x, y: cross_entropy(linear(x), y, 0.1),
            lambda x, y: torch_cross_entropy(linear(x), y, label_smoothing=0.1),
        ),
        "i2t": (to_texts, lambda x, y: torch_cross_entropy(x @ texts.T, y, label_smoothing=0.1)),
        "arcface": (
            ArcFace(DIM, classes, 30, 0.3).to(device),
            theirs.ArcFaceLoss(classes, DIM, margin=17.2, scale=30).to(device),
        ),
        "cosface": (
            CosFace(DIM, classes, 30, 0.35).to(device),
            theirs.CosFaceLoss(classes, DIM, margin=0.35, scale=30).to(device),
        ),
    }
    by_pair: dict[str, tuple[Loss, Loss]] = {
        "triplet": (batch_hard_triplet, lambda x, y: triplet(x, y, miner(x, y))),
        "facenet": (FaceNet(DIM, classes), lambda x, y: face(x, y, semi_hard(x, y))),
        "supcon": (supcon, theirs.SupConLoss(temperature=0.1)),
        "circle": (circle, theirs.CircleLoss(m=0.25, gamma=80)),
        "contrast": (
            lambda x, y: sum(image_text_contrast(x, x.detach(), y)),
            lambda x, y: (
                contrast(x, y, ref_emb=x.detach(), ref_labels=y.clone())
                + contrast(x.detach(), y, ref_emb=x, ref_labels=y.clone())
            ),
        ),
    }
    return by_class | by_pair if classes <= 72 else by_class  # pairs do not depend on the number of classes


def seconds(loss: Loss, x: Tensor, y: Tensor, steps: int) -> float:
    """Of one forward and backward, over `steps` of them."""
    clock = time.perf_counter if x.is_cuda else time.process_time
    start = clock()
    for _ in range(steps):
        loss(x, y).backward()
    if x.is_cuda:
        torch.cuda.synchronize()
    return (clock() - start) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    device = parser.parse_args().device
    torch.set_num_threads(1)
    print(f"D = {DIM}, float32, {device}, torch {torch.__version__}")
    print(f"{'loss':<10}{'B':>6}{'C':>8}{'ours, ms':>12}{'theirs/ours':>14}")
    torch.manual_seed(0)
    for batch in (64, 512):
        for classes in (72, 10_000):
            x = torch.randn(batch, DIM, device=device, requires_grad=True)
            y = torch.arange(batch, device=device) // IMAGES_PER_ID % classes
            for name, (ours, other) in rivals(classes, device).items():
                seconds(other, x, y, 2), seconds(ours, x, y, 2)  # warm-up
                steps = max(1, int(0.1 / seconds(ours, x, y, 2)))
                rounds = [(seconds(ours, x, y, steps), seconds(other, x, y, steps)) for _ in range(ROUNDS)]
                own = statistics.median(a for a, _ in rounds)
                ratio = statistics.median(b / a for a, b in rounds)
                print(f"{name:<10}{batch:>6}{classes:>8}{1000 * own:>12.2f}{ratio:>14.2f}", flush=True)


if __name__ == "__main__":
    main()
