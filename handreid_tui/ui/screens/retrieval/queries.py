"""Queries of a finished run and what the gallery answered. No widget: called in a thread."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.data.decode import Undecodable
from handreid_tui.compare.evaluation import Evaluation, read_evaluation
from handreid_tui.compare.query_ranking import failures_first, rank_gallery
from handreid_tui.text.streams import readable
from handreid_tui.ui.screens.retrieval.picture import Pixels, load

SHOWN = 10


@dataclass(frozen=True)
class Shot:
    """An image with what is said about it. `pixels` is None where the file cannot be read. `score` in [-1, 1]."""

    name: str
    identity: str
    path: Path
    pixels: Pixels | None
    score: float = 1.0
    match: bool = True


@dataclass(frozen=True)
class Answer:
    """One query and a page of the gallery, best first. `place` of `count`: in the order failures first.

    rank, match: the first true match, 0 and None where the gallery has none. before: images on the pages before.
    """

    query: Shot
    gallery: list[Shot]
    rank: int
    ap: float
    place: int
    count: int
    failures: int
    trial: int
    trials: int
    match: Shot | None
    before: int


@lru_cache(maxsize=4)
def evaluation_of(run: Path, stamp: float) -> Evaluation:
    """The evaluation in a run directory; `stamp` its time of change, so that a new one is read again."""
    return read_evaluation(run)


def order(evaluation: Evaluation, trial: int, identity: str) -> NDArray[np.int64]:
    """Places of the trial's queries, failures first: the worst rank, then the lowest AP; without a match at the end.

    `identity`: only queries whose identity or file name holds this text.
    """
    told = evaluation.trials[trial]
    places = failures_first(told)
    if wanted := identity.strip().lower():
        names = (f"{evaluation.identity[row]} {evaluation.names[row]}".lower() for row in told.query.tolist())
        exact = np.array([str(evaluation.identity[row]).lower() == wanted for row in told.query.tolist()])
        kept = exact if exact.any() else np.array([wanted in name for name in names], bool)
        places = places[kept[places]]
    return places


def answer(
    evaluation: Evaluation, trial: int, place: int, identity: str, page: int = 0, shown: int = SHOWN
) -> Answer | None:
    """The query at `place` of the order, and a page of `shown` images of the gallery as the metrics rank it.

    None where no query fits.
    """
    places = order(evaluation, trial, identity)
    if not len(places):
        return None
    place %= len(places)
    told = evaluation.trials[trial]
    at = int(places[place])
    query = int(told.query[at])
    gallery_of = rank_gallery(evaluation, told, at)
    ranked, scores, match = gallery_of.order, gallery_of.similarity, gallery_of.match
    page %= -(-len(ranked) // shown)
    best = ranked[page * shown : (page + 1) * shown]
    gallery = [_shot(evaluation, int(told.gallery[n]), float(scores[n]), bool(match[n])) for n in best]
    rank, ap = int(told.rank[at]), float(told.ap[at])
    failures = int((told.rank[places] > 1).sum())
    count = len(evaluation.trials)
    first = next((int(n) for n in ranked if match[n]), None)
    true = None if first is None else _shot(evaluation, int(told.gallery[first]), float(scores[first]), True)
    asked, of = _shot(evaluation, query), len(places)
    return Answer(asked, gallery, rank, ap, place, of, failures, trial, count, true, page * shown)


def shared_prefix(identities: list[str]) -> str:
    """The subset before the identities' own names, such as `dorsal-right/`, where all of them share it."""
    prefixes = {identity[: identity.rfind("/") + 1] for identity in identities}
    return prefixes.pop() if len(prefixes) == 1 else ""


def _shot(evaluation: Evaluation, row: int, score: float = 1.0, match: bool = True) -> Shot:
    root, path = evaluation.root, evaluation.paths[row]
    pixels = _pixels(root, path)
    return Shot(
        readable(evaluation.names[row]), readable(str(evaluation.identity[row])), root / path, pixels, score, match
    )


@lru_cache(maxsize=512)
def _pixels(root: Path, path: str) -> Pixels | None:
    try:
        return load(root, path)
    except Undecodable:
        return None
