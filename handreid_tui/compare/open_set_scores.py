"""What comparisons need of a run's open-set searches: errors by person, and what the bootstrap makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.search.open_set import FPIRS, false_negatives_at, people_without, threshold_at
from handreid_tui.compare.evaluation import Evaluation, Floats

COMPARED = "fnir_at_fpir_1e1"  # differences at an FPIR of 1 % take 300 people, more than most tests have


@dataclass(frozen=True)
class OpenSetScores:
    """`rates`: FNIR at each of FPIRS. Of COMPARED, at the run's own threshold over all trials:

    `missed` [I] searches of each enrolled person that miss, of `mated` [I]. `replicates` [B], float16: FNIR in each
    resample of the people, where the threshold is found anew.
    """

    rates: dict[str, float]
    missed: Floats
    mated: Floats
    replicates: NDArray[np.float16]


def open_set_scores(evaluation: Evaluation) -> OpenSetScores | None:
    """None where a search has nobody else to find. Raises UserError on damaged or infinite features."""
    from handreid_tui.evidence.open_set import OpenSet  # late: the package builds on this one
    from handreid_tui.evidence.searches import searches_of_trials

    searches = searches_of_trials(evaluation, best_only=True)
    if not people_without(searches) or not searches.mated.any():
        return None
    open_set = OpenSet(searches)
    threshold = threshold_at(searches, FPIRS[COMPARED])
    missed, mated = open_set.missed_by_person(threshold)
    enrolled = mated > 0
    replicates = open_set.replicates(FPIRS[COMPARED]).astype(np.float16)
    return OpenSetScores(false_negatives_at(searches), missed[enrolled], mated[enrolled], replicates)
