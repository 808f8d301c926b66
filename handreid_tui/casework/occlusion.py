"""What a score rests on: how far the cosine falls when a square of a picture is hidden (Zeiler and Fergus 2014).

Attention maps and matches of patches are not shown: the score does not come from patch tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Box = tuple[float, float, float, float]  # top, left, bottom, right as fractions of the sides
Score = Callable[[Sequence[Sequence[Box]]], Floats]

DRAWS = 5  # random quarters
ALIKE = 0.5  # Spearman's correlation


@dataclass(frozen=True)
class Explained:
    """Drops of the cosine of one picture: `drops` [n, n] of each hidden window, and of hidden quarters of the windows.

    `top`: the quarter with the largest drops, `random`: the mean of 5 random quarters, `bottom`: the smallest drops.
    `untrained`: Spearman's correlation with the map of the same model with random weights (Adebayo et al. 2018).
    """

    cosine: float
    drops: Floats
    top: float
    random: float
    bottom: float
    untrained: float

    @property
    def refused(self) -> str:
        """Why the map shows nothing, empty where it does."""
        if self.top <= self.random:
            return "hiding the top quarter lowers the cosine no more than hiding a random one"
        if self.untrained > ALIKE:
            return "the same model with random weights gives nearly the same map"
        return ""


def windows(image_size: int, patch: int | None) -> list[Box]:
    """Squares of two patches a side (a seventh of the picture without patches), row by row, that cover it."""
    side = 2 * patch if patch else max(1, image_size // 7)
    edges = list(range(0, image_size, side))
    scale = 1 / image_size
    return [
        (top * scale, left * scale, min(top + side, image_size) * scale, min(left + side, image_size) * scale)
        for top in edges
        for left in edges
    ]


def explain(score: Score, untrained: Score, boxes: list[Box], seed: int = 0) -> Explained:
    """Hide each of `boxes`, then quarters of them.

    `score`: the actual cosine [M] with each of M lists of boxes of the picture hidden; `untrained`: the same by random
    weights.
    """
    single: list[list[Box]] = [[], *([box] for box in boxes)]
    first, control = score(single), untrained(single)
    cosine, drops = float(first[0]), first[0] - first[1:]
    count = max(1, len(boxes) // 4)
    order = np.argsort(-drops, kind="stable")
    generator = np.random.default_rng(seed)
    quarters = [order[:count], order[len(order) - count :]]
    quarters += [generator.choice(len(boxes), count, replace=False) for _ in range(DRAWS)]
    hidden = score([[boxes[place] for place in quarter.tolist()] for quarter in quarters])
    falls = cosine - hidden
    across = round(len(boxes) ** 0.5)
    top, bottom = float(falls[0]), float(falls[1])
    alike = _spearman(drops, control[0] - control[1:])
    return Explained(cosine, drops.reshape(across, across), top, float(falls[2:].mean()), bottom, alike)


def _spearman(a: Floats, b: Floats) -> float:
    """Rank correlation; 0 where one of the two is constant."""
    from scipy.stats import rankdata  # late: half a second

    ranks = [rankdata(each) - (len(each) + 1) / 2 for each in (a, b)]
    spread = float(np.linalg.norm(ranks[0]) * np.linalg.norm(ranks[1]))
    return float(ranks[0] @ ranks[1]) / spread if spread else 0.0
