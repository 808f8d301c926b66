"""What `handreid openset` reports of one evaluation."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from engine.contract.errors import UserError
from engine.data.people import People
from engine.search.open_set import match_rate, modelled_threshold, people_without, selectivity, threshold_at
from engine.search.searches import Searches
from handreid_tui.compare.evaluation import Evaluation
from handreid_tui.evidence.groups import LEAST_PEOPLE, read_labels
from handreid_tui.evidence.open_set import OpenSet
from handreid_tui.evidence.resamples import ResampledEstimate
from handreid_tui.evidence.searches import searches_of_trials


@dataclass(frozen=True)
class AtRate:
    """FNIR where FPIR is at most `fpir`. `beyond`: below 3 / people, so too few people to know that rate."""

    fpir: float
    threshold: float
    fnir: ResampledEstimate
    selectivity: float
    beyond: bool


@dataclass(frozen=True)
class InList:
    """FNIR without a threshold: the person is not among the first `rank`."""

    rank: int
    fnir: ResampledEstimate


@dataclass(frozen=True)
class Modelled:
    """For a gallery larger than the one tested: independent comparisons. `beyond`: fewer comparisons than 3 / FMR."""

    size: int
    fpir: float
    threshold: float
    fnir: float
    beyond: bool


@dataclass(frozen=True)
class OfGroup:
    """Errors of the people with a label, at the one threshold of all; None where they are too few to measure."""

    label: str
    group: str
    people: int
    fpir: float
    fnir_at: ResampledEstimate | None
    fpir_at: ResampledEstimate | None


@dataclass(frozen=True)
class OpenSetReport:
    """Rates of a gallery of `enrolled` people (`without` in searches of somebody who is not in it)."""

    searches: int
    people: int
    without_mate: int
    enrolled: int
    without: int
    size: int | None
    rates: tuple[AtRate, ...]
    lists: tuple[InList, ...]
    modelled: tuple[Modelled, ...]
    groups: tuple[OfGroup, ...]

    def as_json(self) -> dict[str, Any]:
        """The same as plain values, NaN and infinity as None."""
        found: dict[str, Any] = _plain(asdict(self))
        return found


def report_open_set(
    evaluation: Evaluation, fpirs: list[float], ranks: list[int], size: int | None = None, by: list[str] | None = None
) -> OpenSetReport:
    """The open-set rates of an evaluation. Raises UserError where nobody could be searched for among others."""
    searches = searches_of_trials(evaluation)
    without = people_without(searches)
    if not without:
        raise UserError(f"{evaluation.folder} has a gallery of one person: an open-set test needs at least two people.")
    modelled = size is not None and size > without + 1
    exact = None if modelled or size is None else size
    open_set = OpenSet(searches, exact)
    people = len(open_set.people)
    return OpenSetReport(
        searches=len(searches.own),
        people=people,
        without_mate=int((~searches.mated).sum()),
        enrolled=without + 1,
        without=without,
        size=size,
        rates=tuple(_at(open_set, fpir, people) for fpir in fpirs),
        lists=tuple(InList(rank, open_set.missed_within(rank)) for rank in ranks),
        modelled=tuple(_model(searches, size, fpir) for fpir in fpirs) if modelled and size else (),
        groups=tuple(_groups(evaluation, open_set, by or [], fpirs)),
    )


def _at(open_set: OpenSet, fpir: float, people: int) -> AtRate:
    threshold = threshold_at(open_set.searches, fpir, open_set.size)
    fnir = open_set.false_negatives_at(fpir)
    without = people_without(open_set.searches)
    share = min(open_set.size or without, without) / without  # of the people enrolled, as many of them reach it
    return AtRate(fpir, threshold, fnir, share * selectivity(open_set.searches, threshold), fpir < 3 / people)


def _model(searches: Searches, size: int, fpir: float) -> Modelled:
    threshold = modelled_threshold(searches, fpir, size)
    fnir = float((searches.own[searches.mated] < threshold).mean())
    comparisons = len(np.unique(searches.person)) * max(1, people_without(searches))
    return Modelled(size, fpir, threshold, fnir, match_rate(searches, threshold) < 3 / comparisons)


def _groups(evaluation: Evaluation, open_set: OpenSet, by: list[str], fpirs: list[float]) -> list[OfGroup]:
    if not by:
        return []
    people = People.of(evaluation.identity.tolist())
    labels = read_labels(evaluation, people.person, by)
    found = []
    for label in by:
        of_person = dict(zip(people.person.tolist(), labels.of_image[label].tolist(), strict=True))
        groups = np.array([of_person[person] for person in open_set.people.tolist()])
        for group in sorted(set(groups.tolist())):
            members = groups == group
            count = int(members.sum())
            for fpir in fpirs:
                pair = open_set.of_group(members, fpir) if count >= LEAST_PEOPLE else (None, None)
                found.append(OfGroup(label, group, count, fpir, *pair))
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
