"""Retrieval and verification metrics of features. Pure: tensors in, numbers out, in chunks of queries.

Similarity is the cosine of features that are already L2-normalised.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

CHUNK = 1 << 23  # scores held at once: 32 MB in float32


@dataclass(frozen=True)
class Ranking:
    """What each of Q queries found. A query without a match in the gallery has rank 0 and NaN in the other three.

    `rank` [Q] int64: 1-based rank of the first match. `ap` [Q] float64: average precision, the mean of the precision
    at each hit. `ap_trapezoid` [Q]: Market-1501's (Zheng et al. 2015, after the Oxford buildings benchmark): per hit,
    the mean of the precision just before it and at it, times the step in recall. `inp` [Q]: inverse negative penalty,
    the number of matches over the rank of the last (Ye et al. 2021, section 2.4).
    """

    rank: Tensor
    ap: Tensor
    ap_trapezoid: Tensor
    inp: Tensor


@torch.no_grad()
def rank_queries(query: Tensor, gallery: Tensor, query_identity: Tensor, gallery_identity: Tensor) -> Ranking:
    """Rank the gallery [G, D] for each query [Q, D] by cosine; rows L2-normalised, identities integer [Q] and [G].

    Ties count against the model: a match ranks behind every other identity's image of equal score, where scores that
    only rounding tells apart are equal.

    The k-th best match has rank k + the number of other identities' images that score at least as high, so sorting the
    scores' values is enough: no permutation of the gallery is made.
    """
    gallery, first, count = _by_identity(gallery, gallery_identity, query_identity)
    # The mean shifts all scores of a query by one constant: the order stays, and where the embedding is narrow the
    # scores lose fewer digits, down to exact ties where it is constant. Negated: the best match sorts first.
    gallery = gallery.mean(dim=0) - gallery
    rounding = 4 * torch.finfo(gallery.dtype).eps
    parts = [_rank_rows(cost, first[rows], count[rows], rounding) for rows, cost in _products(query, gallery)]
    return Ranking(*(torch.cat(column) for column in zip(*parts, strict=True)))


def rank_distances(distance: Tensor, query_identity: Tensor, gallery_identity: Tensor) -> Ranking:
    """Rank by distances [Q, G], the smallest first, with ties as in `rank_queries`."""
    order = gallery_identity.argsort(stable=True)
    ordered = gallery_identity[order]
    first = torch.searchsorted(ordered, query_identity)
    count = torch.searchsorted(ordered, query_identity, right=True) - first
    rounding = 4 * torch.finfo(distance.dtype).eps
    return Ranking(*_rank_rows(distance[:, order], first, count, rounding))


def _rank_rows(cost: Tensor, first: Tensor, count: Tensor, rounding: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The fields of `Ranking` from costs [Q, G], the gallery by identity; `cost` is sorted in place."""
    hits = _own(cost, first, count).sort(dim=1).values
    limit = hits + rounding
    hits_before = torch.searchsorted(hits, limit, right=True)
    all_before = torch.searchsorted(_sort_rows(cost), limit, right=True)
    place = torch.arange(1, hits.shape[1] + 1, device=hits.device)
    return _score(place, place + all_before - hits_before, count)


def _score(place: Tensor, rank: Tensor, count: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The fields of `Ranking` from the rank [Q, P] of each query's hits, of which the first `count` [Q] are real.

    `place` [P] is 1 … P: the number of hits up to each one.
    """
    real = place <= count[:, None]
    precision = place.double() / rank
    before = torch.where(rank == 1, 1.0, (place - 1).double() / (rank - 1))
    found = torch.where(count > 0, count.double(), torch.nan)
    return (
        torch.where(real, rank, 0)[:, :1].sum(dim=1),
        torch.where(real, precision, 0).sum(dim=1) / found,
        torch.where(real, (before + precision) / 2, 0).sum(dim=1) / found,
        torch.where(place == count[:, None], precision, 0).sum(dim=1).where(count > 0, torch.nan),
    )


def cmc(ranking: Ranking, k: int) -> Tensor:
    """Cumulative matching characteristic [k]: the fraction of queries whose first match is among the first 1 … k."""
    matched = ranking.rank[ranking.rank > 0]
    histogram = torch.bincount(matched.clamp(max=k + 1), minlength=k + 2)[1 : k + 1]
    return histogram.cumsum(0).double() / len(matched)


def summarise(ranking: Ranking) -> dict[str, float]:
    """Means over the queries that have a match (NaN where none has), and the number of those that have none."""
    curve = cmc(ranking, 10)
    return {
        "rank1": curve[0].item(),
        "rank5": curve[4].item(),
        "rank10": curve[9].item(),
        "mAP": ranking.ap.nanmean().item(),
        "mAP_trapezoid": ranking.ap_trapezoid.nanmean().item(),
        "mINP": ranking.inp.nanmean().item(),
        "queries_without_match": int((ranking.rank == 0).sum()),
    }


@torch.no_grad()
def verification(query: Tensor, gallery: Tensor, query_identity: Tensor, gallery_identity: Tensor) -> dict[str, float]:
    """Same person or not, over all query-gallery pairs: {eer, auc, tar_at_far_1e3}; arguments as in `rank_queries`.

    A pair is accepted at a threshold where its cosine is at least that. `auc`: the chance that a pair of one identity
    scores above a pair of two, equal scores counting half. `eer`: where the false accepts equal the false rejects, on
    the straight line between neighbouring thresholds. `tar_at_far_1e3`: the largest fraction of true accepts at a
    threshold that accepts at most one in a thousand pairs of two identities. Exact. NaN where either kind is missing.
    """
    gallery, first, count = _by_identity(gallery, gallery_identity, query_identity)
    own = [_own(score, first[rows], count[rows]) for rows, score in _products(query, gallery)]
    positives = torch.cat([score[score != torch.inf] for score in own]).sort().values
    total = len(positives)
    others = len(query) * len(gallery) - total
    if total == 0 or others == 0:
        return dict.fromkeys(("eer", "auc", "tar_at_far_1e3"), torch.nan)

    # of each positive: how many positives, and how many negatives, score below it, and how many at most as high
    positives_below = torch.searchsorted(positives, positives)
    positives_upto = torch.searchsorted(positives, positives, right=True)
    below, upto = -positives_below, -positives_upto
    for _, score in _products(query, gallery):
        ascending = _sort_rows(score.view(1, -1))[0]
        below = below + torch.searchsorted(ascending, positives)
        upto = upto + torch.searchsorted(ascending, positives, right=True)

    auc = (below + upto).double().sum() / (2 * total * others)
    accepted = (others - below).double() / others  # false accepts at the threshold of each positive
    return {
        "eer": _equal_error(accepted, (others - upto).double() / others, positives_below, positives_upto),
        "auc": auc.item(),
        "tar_at_far_1e3": (accepted <= 1e-3).double().mean().item(),
    }


def _equal_error(far_at: Tensor, far_above: Tensor, positives_below: Tensor, positives_upto: Tensor) -> float:
    """Where FAR = FRR on the line through the points at, and just above, each positive's score (ascending)."""
    far = torch.stack([far_at, far_above], dim=1).flatten()
    frr = torch.stack([positives_below, positives_upto], dim=1).flatten().double() / len(positives_below)
    far, frr = torch.cat([far.new_ones(1), far]), torch.cat([frr.new_zeros(1), frr])
    gap = far - frr  # descends from 1 to -1 or less than 0
    right = int((gap <= 0).int().argmax())
    left = right - 1
    share = gap[left] / (gap[left] - gap[right])
    return (far[left] + share * (far[right] - far[left])).item()


def _by_identity(gallery: Tensor, gallery_identity: Tensor, query_identity: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The gallery sorted by identity, in float32 at least; where each query's matches start, and how many there are."""
    if not len(gallery) or not len(query_identity):
        raise ValueError("a ranking needs at least one query and one gallery image")
    ordered, order = gallery_identity.sort(stable=True)
    first = torch.searchsorted(ordered, query_identity)
    count = torch.searchsorted(ordered, query_identity, right=True) - first
    return gallery[order].to(torch.promote_types(gallery.dtype, torch.float32)), first, count


def _products(query: Tensor, gallery: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Chunks of query @ gallery.T with their rows. The memory of a chunk is used again by the next one."""
    size = max(1, CHUNK // max(1, len(gallery)))
    memory = gallery.new_empty(min(size, len(query)), len(gallery))
    for start in range(0, len(query), size):
        part = query[start : start + size].to(gallery.dtype)
        with _full_precision(part):
            product = torch.mm(part, gallery.T, out=memory[: len(part)])
        yield slice(start, start + size), product


@contextmanager
def _full_precision(x: Tensor) -> Iterator[None]:
    """No bfloat16 and no TF32 in matrix products: their three digits would make ties."""
    allowed = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.autocast(x.device.type, enabled=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = allowed


def _own(values: Tensor, first: Tensor, count: Tensor) -> Tensor:
    """Of each row of `values` [Q, G], the `count` from column `first` on: [Q, P], filled up with infinity."""
    place = torch.arange(int(count.max()), device=values.device)
    columns = (first[:, None] + place).clamp(max=values.shape[1] - 1)
    return values.gather(1, columns).masked_fill(place >= count[:, None], torch.inf)


def _sort_rows(values: Tensor) -> Tensor:
    """`values` with every row ascending; on the CPU in place."""
    if values.device.type != "cpu":
        return values.sort(dim=1).values
    values.numpy().sort(axis=1)  # NumPy sorts values alone, many times faster than torch sorts values and indices
    return values
