"""Which of the published results a table of ours may stand beside."""

from __future__ import annotations

from dataclasses import dataclass

from engine.contract.errors import UserError
from engine.contract.published import ASPECTS, OWN_DORSAL_RIGHT, Published, merged
from handreid_tui.compare.table import Table


@dataclass(frozen=True)
class Size:
    """The number of queries and of gallery images in each trial: what tells the full data set from a part of it."""

    queries: int
    gallery: int


# Sizes of the full data sets under the published splits: (subset, gallery) -> queries and gallery images of a trial.
SIZES = {
    ("dorsal-right", "all"): Size(971, 290),
    ("dorsal-left", "all"): Size(988, 290),
    ("palmar-right", "all"): Size(917, 290),
    ("palmar-left", "all"): Size(948, 290),
    ("dorsal-right", "own"): Size(971, 71),
    ("dorsal-left", "own"): Size(988, 73),
    ("palmar-right", "own"): Size(917, 71),
    ("palmar-left", "own"): Size(948, 75),
    ("hd", "all"): Size(1992, 1593),
}


def published_rows(table: Table) -> tuple[Published, ...]:
    """The published rows of the table's protocol: the same data set by its counts, subset and gallery. Else none."""
    protocol = table.protocol
    subset = protocol.subset if protocol.subset in ASPECTS else "hd"
    size = SIZES.get((subset, protocol.gallery))
    if size is None or protocol.reranked or _size(table) != size:
        return ()
    if protocol.gallery == "own":
        return OWN_DORSAL_RIGHT if subset == "dorsal-right" else ()
    return merged(subset)


def _size(table: Table) -> Size | None:
    """Queries and gallery images of the trials; None where they differ between trials or cannot be read."""
    run = next((run for row in table.rows for run in row.runs), None)
    if run is None:
        return None
    try:
        sizes = {Size(len(trial.query), len(trial.gallery)) for trial in run.evaluation.trials}
    except UserError:
        return None
    return sizes.pop() if len(sizes) == 1 else None
