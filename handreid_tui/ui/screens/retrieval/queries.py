"""Queries of a finished run and what the gallery answered. No widget: called in a thread."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.data.decode import Undecodable
from handreid_tui.compare.evaluation import Evaluation, read_evaluation
from handreid_tui.compare.query_ranking import RankedGallery, failures_first, rank_gallery
from handreid_tui.text.streams import readable
from handreid_tui.ui.screens.retrieval.picture import WHOLE, Pixels, load

SHOWN = 10


@dataclass(frozen=True)
class Shot:
    """An image with what is said about it. `pixels` is None where the file cannot be read. `score` in [-1, 1].

    file: its path in the data set at `root`.
    """

    name: str
    identity: str
    root: Path
    file: str
    pixels: Pixels | None
    score: float = 1.0
    match: bool = True

    @property
    def path(self) -> Path:
        return self.root / self.file


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


@dataclass(frozen=True)
class Pair:
    """A query and one image of its gallery, both with their pixels at full size.

    at: the image's place in the ranking of `of` images, from 1. rank: that of the first true match, 0 without one.
    caption: of a case, where nobody knows what is a match: what is said instead.
    """

    query: Shot
    other: Shot
    at: int
    of: int
    rank: int
    ap: float
    caption: str = ""


@lru_cache(maxsize=4)
def evaluation_of(run: Path, stamp: float) -> Evaluation:
    """The evaluation in a run directory; `stamp` its time of change, so that a new one is read again."""
    return read_evaluation(run)


def order(evaluation: Evaluation, trial: int, identity: str) -> NDArray[np.int64]:
    """Places of the trial's queries, failures first: the worst rank, then the lowest AP; without a match at the end.

    `identity`: only queries whose identity or file name holds this text.
    """
    chosen = evaluation.trials[trial]
    places = failures_first(chosen)
    if wanted := identity.strip().lower():
        names = (f"{evaluation.identity[row]} {evaluation.names[row]}".lower() for row in chosen.query.tolist())
        exact = np.array([str(evaluation.identity[row]).lower() == wanted for row in chosen.query.tolist()])
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
    chosen = evaluation.trials[trial]
    at = int(places[place])
    ranked = rank_gallery(evaluation, chosen, at)
    page %= -(-len(ranked.order) // shown)
    best = range(page * shown, min((page + 1) * shown, len(ranked.order)))
    gallery = [_ranked_shot(evaluation, trial, ranked, n) for n in best]
    rank, ap = int(chosen.rank[at]), float(chosen.ap[at])
    failures = int((chosen.rank[places] > 1).sum())
    count = len(evaluation.trials)
    first = _first_match(ranked)
    true = None if first is None else _ranked_shot(evaluation, trial, ranked, first)
    asked, of = _shot(evaluation, int(chosen.query[at])), len(places)
    return Answer(asked, gallery, rank, ap, place, of, failures, trial, count, true, page * shown)


def pair(evaluation: Evaluation, trial: int, place: int, identity: str, at: int) -> Pair:
    """The query at `place` of the order, and image `at` of its ranking (from 1; 0: the first true match).

    There is such a query: the page shows it.
    """
    places = order(evaluation, trial, identity)
    chosen = evaluation.trials[trial]
    query = int(places[place % len(places)])
    ranked = rank_gallery(evaluation, chosen, query)
    if at == 0:
        at = (_first_match(ranked) or 0) + 1
    at = (at - 1) % len(ranked.order) + 1
    asked = _whole(_shot(evaluation, int(chosen.query[query])))
    other = _whole(_ranked_shot(evaluation, trial, ranked, at - 1))
    return Pair(asked, other, at, len(ranked.order), int(chosen.rank[query]), float(chosen.ap[query]))


def _first_match(ranked: RankedGallery) -> int | None:
    """The place of the first true match in the ranking, from 0."""
    return next((n for n, at in enumerate(ranked.order) if ranked.match[at]), None)


def _whole(shot: Shot) -> Shot:
    """The same with its pixels at full size."""
    try:
        return replace(shot, pixels=load(shot.root, shot.file, WHOLE))
    except Undecodable:
        return shot


def short_identity(identity: str, room: int) -> str:
    """The identity in `room` characters: whole, or with the words of its subset cut (`dor-rig/1000`), or without it."""
    subset, slash, own = identity.rpartition("/")
    words = subset.replace("/", "-").split("-")
    cut = ["-".join(word[:letters] for word in words) for letters in (3, 2, 1)]
    choices = (f"id {identity}", identity, *(f"{each}{slash}{own}" for each in cut), own)
    return next((text for text in choices if len(text) <= room), own)


def shared_prefix(identities: list[str]) -> str:
    """The subset before the identities' own names, such as `dorsal-right/`, where all of them share it."""
    prefixes = {identity[: identity.rfind("/") + 1] for identity in identities}
    return prefixes.pop() if len(prefixes) == 1 else ""


def _ranked_shot(evaluation: Evaluation, trial: int, ranked: RankedGallery, n: int) -> Shot:
    """Image `n` of a ranking, from 0."""
    at = int(ranked.order[n])
    row = int(evaluation.trials[trial].gallery[at])
    return _shot(evaluation, row, float(ranked.similarity[at]), bool(ranked.match[at]))


def _shot(evaluation: Evaluation, row: int, score: float = 1.0, match: bool = True) -> Shot:
    root, file = evaluation.root, evaluation.paths[row]
    name, identity = readable(evaluation.names[row]), readable(str(evaluation.identity[row]))
    return Shot(name, identity, root, file, _pixels(root, file), score, match)


@lru_cache(maxsize=512)
def _pixels(root: Path, path: str) -> Pixels | None:
    try:
        return load(root, path)
    except Undecodable:
        return None
