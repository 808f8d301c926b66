"""The queries that a run finds hardest, with their ranked gallery, as small pictures for a page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from handreid_tui.compare.evaluation import Evaluation
from handreid_tui.compare.query_ranking import failures_first, rank_gallery

SIDE = 112  # pixels of a thumbnail
RANKED = 6  # gallery images beside a query


@dataclass(frozen=True)
class Picture:
    """An image of a ranking. `data` is a base64 JPEG, None where the file is not there any more."""

    name: str
    identity: str
    data: str | None
    similarity: float | None = None
    match: bool | None = None
    rank: int | None = None


@dataclass(frozen=True)
class GalleryRanking:
    """A query, the rank of its first match, and the best gallery images: the first ones and the first match."""

    query: Picture
    rank: int
    gallery: list[Picture]


def hardest_queries(evaluation: Evaluation, count: int = 6) -> list[GalleryRanking]:
    """The queries of the first trial whose first match comes last, one an identity, hardest first.

    Ties of similarity count against the model, as in the metrics.
    """
    trial = evaluation.trials[0]
    order = failures_first(trial)
    chosen: dict[str, int] = {}
    for place in order[trial.matched[order]].tolist():
        chosen.setdefault(str(evaluation.identity[trial.query[place]]), place)
        if len(chosen) == count:
            break
    return [_ranking(evaluation, place) for place in chosen.values()]


def _ranking(evaluation: Evaluation, place: int) -> GalleryRanking:
    trial = evaluation.trials[0]
    ranked = rank_gallery(evaluation, trial, place)
    order, similarity, match = ranked.order, ranked.similarity, ranked.match
    first = int(np.flatnonzero(match[order])[0])
    shown = list(range(min(RANKED, len(order))))
    if first not in shown:
        shown[-1] = first
    gallery = [
        _picture(evaluation, int(trial.gallery[order[k]]), float(similarity[order[k]]), bool(match[order[k]]), k + 1)
        for k in shown
    ]
    return GalleryRanking(_picture(evaluation, int(trial.query[place])), int(trial.rank[place]), gallery)


def _picture(
    evaluation: Evaluation,
    row: int,
    similarity: float | None = None,
    match: bool | None = None,
    rank: int | None = None,
) -> Picture:
    data = _thumbnail(evaluation.root, evaluation.paths[row])
    return Picture(evaluation.names[row], str(evaluation.identity[row]), data, similarity, match, rank)


@lru_cache(maxsize=2048)
def _thumbnail(root: Path, path: str) -> str | None:
    """A small JPEG; None where there is no readable image, or where its path leads out of the data set."""
    from engine.data.decode import Undecodable, read_inside

    try:
        small = read_inside(root, path, SIDE)
    except Undecodable:
        return None
    small.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=80)
    return base64.b64encode(out.getvalue()).decode()
