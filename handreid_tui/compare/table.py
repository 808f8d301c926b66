"""The comparison: for each protocol one table, a row per combination (or per run), differences to a baseline."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from engine.contract.combos import COMBOS
from engine.contract.errors import UserError
from engine.contract.metrics import Metric, metrics_of
from engine.contract.metrics import metric as metric_of
from engine.contract.models import START_MODEL
from engine.contract.start import is_start
from handreid_tui.compare.configuration import differing, is_usual, usual_values
from handreid_tui.compare.finished_run import FinishedRun, Protocol
from handreid_tui.compare.open_set_scores import COMPARED, OpenSetScores
from handreid_tui.compare.resampling import RESAMPLES
from handreid_tui.compare.search_variation import SearchError, joint_error, stretch
from handreid_tui.compare.statistics import (
    ALPHA,
    Difference,
    Errors,
    Spread,
    differences_of_sums,
    holm,
    seed_verdict,
    spread,
)
from handreid_tui.compare.tuning import Tuning, no_verdict, tuning_notes, unequal
from handreid_tui.text.run_labels import Subject, labels

By = Literal["combo", "run"]
UNTRAINED = "zero_shot"
TESTED = ("mAP", "rank1", COMPARED)


# Of the final report's geometry: see `_shape`
COMPACTNESS = Metric(
    "compactness", "compactness", "mean distance to the mean of the identity", "lower", "distance", "geometry", ()
)
SEPARATION = Metric("separation", "separation", "between / within", "higher", "ratio", "geometry", ())
COLUMNS = (*metrics_of("report", 3), COMPACTNESS, SEPARATION)


@dataclass(frozen=True)
class Compared:
    """A difference to the baseline and what may be claimed of it. `p_adjusted`: after Holm, over the whole table.

    unequal: why nothing may be claimed of rows that were tuned unequally, or searched too little; "" where it may be.
    Then `p_adjusted` is None, and the difference outside Holm's family. lower: whether
    less is better.
    """

    baseline: str
    difference: Difference
    p_adjusted: float | None
    unequal: str = ""
    lower: bool = False

    @property
    def verdict(self) -> Literal["better", "worse", "not distinguishable"] | None:
        """None where nothing may be claimed."""
        if self.p_adjusted is None:
            return None
        if not self.p_adjusted <= ALPHA:
            return "not distinguishable"
        return "better" if (self.difference.estimate > 0) != self.lower else "worse"


@dataclass(frozen=True)
class Row:
    """A combination in one configuration over its seeds, or one run. `compared`: those of TESTED that are known."""

    label: str
    combo: str
    runs: tuple[FinishedRun, ...]
    metrics: dict[str, Spread]
    seconds: Spread | None
    baseline: bool = False
    compared: dict[str, Compared] = field(default_factory=dict)

    @property
    def tuning(self) -> Tuning | None:
        return self.runs[0].tuning if self.runs else None

    @property
    def seeds(self) -> int:
        return len({run.seed for run in self.runs}) or next(iter(self.metrics.values())).n


@dataclass(frozen=True)
class Table:
    """Rows of one protocol. `configuration`: for each key that differs between the rows, the rows' values in order."""

    protocol: Protocol
    by: By
    rows: tuple[Row, ...]
    configuration: dict[str, list[Any]]
    notes: tuple[str, ...]

    def best(self, key: str) -> float | None:
        """The best mean of a column; None where there is nothing to be better than."""
        return self._best.get(key)

    @cached_property
    def _best(self) -> dict[str, float]:
        found = {}
        for column in COLUMNS:
            means = [row.metrics[column.key].mean for row in self.rows if column.key in row.metrics]
            if len(means) > 1:
                found[column.key] = max(means) if column.better == "higher" else min(means)
        return found


def compare_runs(
    runs: Sequence[FinishedRun], by: By = "combo", baseline: str = "ce", resamples: int = RESAMPLES
) -> list[Table]:
    """The tables of `runs`, one a protocol, with differences to the baseline.

    baseline: the label of a row, or a combination. Where a protocol has no such row, `zero_shot` takes its place; by
    run, the first run.
    """
    groups: dict[Protocol, list[FinishedRun]] = defaultdict(list)
    for run in runs:
        groups[run.protocol].append(run)
    return [_table(protocol, group, by, baseline, resamples) for protocol, group in sorted(groups.items())]


def _table(protocol: Protocol, runs: list[FinishedRun], by: By, baseline: str, resamples: int) -> Table:
    rows = _rows_by_run(runs) if by == "run" else _rows_by_combo(runs)
    notes: list[str] = []
    mains = [row for row in rows if row.label == baseline and row.runs and baseline not in COMBOS]
    mains = mains or [row for row in rows if row.combo == baseline and row.runs]
    if not mains:
        mains = [row for row in rows if row.combo == UNTRAINED and row.runs]
        if by == "run":
            mains = rows[:1]
        if mains:
            notes.append(f"There is no run of {baseline} in this protocol: the baseline is {mains[0].label}.")
        elif len(rows) > 1:
            notes.append(_no_baseline(baseline, rows))
    if by == "run":
        mains = mains[:1]
    rows = _with_differences(rows, mains, resamples, notes)
    paired = {c.difference.seeds for row in rows if row.compared for c in row.compared.values()}
    notes += [seed_verdict(seeds) for seeds in sorted(paired)]
    notes += [f"{row.label}: {_fused(row.runs[0])}" for row in rows if row.runs and row.runs[0].members]
    notes += _starts(runs)
    notes += tuning_notes([(row.label, row.tuning) for row in rows])
    return Table(protocol, by, tuple(rows), differing([row.runs[0] for row in rows if row.runs]), tuple(notes))


def _no_baseline(baseline: str, rows: list[Row]) -> str:
    """Why there are no differences."""
    wanted = " or ".join(dict.fromkeys((baseline, UNTRAINED)))
    before = [f" The row {row.label} is a report before training, without rankings." for row in rows if not row.runs]
    told = f"No differences: this protocol has no run of {wanted}.{''.join(before[:1])}"
    return f"{told} Run one, or choose another baseline."


def _fused(run: FinishedRun) -> str:
    weights = ", ".join(f"{each['weight']:.2f} of run {each['run']}" for each in run.members)
    return f"scores fused, {weights}; weights chosen by validation mAP."


def _starts(runs: list[FinishedRun]) -> list[str]:
    """The start on synthetic hands by its key, which stands for its recipe."""
    weights = dict.fromkeys(str(run.settings.get("model.pretrained")) for run in runs)
    return [f"Start on synthetic hands: {START_MODEL} from {each}." for each in weights if is_start(each)]


def _rows_by_run(runs: list[FinishedRun]) -> list[Row]:
    subjects = {
        place: Subject(run.combo, run.settings, "" if run.name == run.directory.name else run.name, run.seed)
        for place, run in enumerate(runs)
    }
    return [_row(f"{runs[place].number} {text}".strip(), [runs[place]]) for place, text in labels(subjects).items()]


def _rows_by_combo(runs: list[FinishedRun]) -> list[Row]:
    """A row for each combination and configuration; of runs that differ in nothing, the latest."""
    groups: dict[tuple[str, str, str], dict[int, FinishedRun]] = defaultdict(dict)
    for run in sorted(runs, key=lambda run: run.number):
        groups[run.combo, run.setup, run.tuning.label if run.tuning else ""][run.seed] = run
    first = [group[min(group)] for group in groups.values()]
    texts = labels({place: Subject(run.combo, run.settings) for place, run in enumerate(first) if not run.tuning})
    texts |= {place: f"{run.combo} ({run.tuning.label})" for place, run in enumerate(first) if run.tuning}
    rows = [_row(texts[n], [group[s] for s in sorted(group)]) for n, group in enumerate(groups.values())]
    named, usual = [UNTRAINED, *(name for name in COMBOS if name != UNTRAINED)], usual_values(runs)

    def place(row: Row) -> tuple[int, bool, bool, float]:
        unusual = bool(row.runs) and not is_usual(row.runs[0], usual)
        return _place(named, row.combo), row.tuning is not None, unusual, -row.metrics["mAP"].mean

    return sorted([*rows, *_rows_before_training(rows)], key=place)


def _rows_before_training(rows: list[Row]) -> list[Row]:
    """Where each model started, from the reports that its trained runs made first, unless a zero_shot run says it."""
    known = {_encoder(row.runs[0]) for row in rows if row.combo == UNTRAINED}
    found: dict[str, dict[int, FinishedRun]] = defaultdict(dict)
    for row in rows:
        encoder = _encoder(row.runs[0])
        for run in row.runs:
            if encoder not in known and run.trained and run.summary.get("before"):
                found[encoder].setdefault(run.seed, run)
    texts = labels(
        {encoder: Subject(UNTRAINED, _of_encoder(next(iter(runs.values())))) for encoder, runs in found.items()}
    )
    return [
        Row(texts[encoder], UNTRAINED, (), _spreads([run.summary["before"] for run in runs.values()]), None)
        for encoder, runs in found.items()
    ]


def _of_encoder(run: FinishedRun) -> dict[str, Any]:
    return {key: value for key, value in run.settings.items() if key.startswith(("model.", "evaluation."))}


def _encoder(run: FinishedRun) -> str:
    return repr(_of_encoder(run))


def _row(title: str, runs: list[FinishedRun]) -> Row:
    seconds = [float(run.summary["seconds"]) for run in runs if run.summary.get("seconds") is not None]
    metrics = _spreads([_open_set_rates(run) | run.summary | _shape(run.summary.get("geometry") or {}) for run in runs])
    return Row(title, runs[0].combo, tuple(runs), metrics, spread(seconds) if seconds else None)


def _open_set_rates(run: FinishedRun) -> dict[str, float]:
    """Those of runs whose trainer did not report them, from the stored features; none where these are damaged."""
    if COMPARED in run.summary:
        return {}
    try:
        return run.open_set.rates if run.open_set else {}
    except UserError:
        return {}


def _shape(geometry: dict[str, Any]) -> dict[str, float]:
    """Compactness: the mean distance to the own identity's mean. Separation: how many of them identities lie apart."""
    intra, inter = geometry.get("intra"), geometry.get("inter")
    if intra is None or inter is None:
        return {}
    return {COMPACTNESS.key: intra} | ({SEPARATION.key: inter / intra} if intra > 0 else {})


def _spreads(summaries: list[dict[str, Any]]) -> dict[str, Spread]:
    keys = [*(metric.key for metric in metrics_of("report")), COMPACTNESS.key, SEPARATION.key]
    values = {key: [summary[key] for summary in summaries if summary.get(key) is not None] for key in keys}
    return {key: spread(found) for key, found in values.items() if found}


def _with_differences(rows: list[Row], mains: list[Row], resamples: int, notes: list[str]) -> list[Row]:
    """The rows with their differences to the baseline row of the same configuration, or else to the first baseline."""
    paired: dict[tuple[int, str], dict[int, tuple[Row, Pairs]]] = defaultdict(dict)
    for place, row in enumerate(rows):
        if not row.runs or not mains or row is mains[0]:
            continue
        main = _main_for(row, mains)
        try:
            pairs = paired_runs(row.runs, main.runs)
        except UserError as error:
            notes.append(f"{row.label} against {main.label}: no interval. {error}")
            continue
        paired[len(pairs), pairs[0][0].scores.queries][place] = main, pairs
    found: dict[tuple[int, str], tuple[str, Difference]] = {}
    for alike in paired.values():
        for metric in TESTED:
            known = {place: row for place, row in alike.items() if metric != COMPARED or _have_open_set(row[1])}
            searches = [_search_error(rows[place], main, pairs, metric) for place, (main, pairs) in known.items()]
            differences = differences_of_runs([pairs for _, pairs in known.values()], metric, resamples, searches)
            for (place, (main, _)), difference in zip(known.items(), differences, strict=True):
                found[place, metric] = main.label, difference
    by_label = {main.label: main for main in mains}
    unequals = {key: no_verdict(rows[key[0]].tuning, by_label[against].tuning) for key, (against, _) in found.items()}
    family = [key for key in found if not unequals[key]]
    adjusted = dict(zip(family, holm([found[key][1].p for key in family]), strict=True))
    used = {against for against, _ in found.values()} or {main.label for main in mains[:1]}
    return [
        replace(
            row,
            baseline=bool(row.runs) and row.label in used,
            compared={
                metric: Compared(
                    *found[place, metric],
                    adjusted.get((place, metric)),
                    unequals[place, metric],
                    metric_of(metric).better == "lower",
                )
                for metric in TESTED
                if (place, metric) in found
            },
        )
        for place, row in enumerate(rows)
    ]


def _main_for(row: Row, mains: list[Row]) -> Row:
    """The baseline row for `row`: of equal tuning first, then with equal settings, then the first."""
    others = [main for main in mains if main is not row]
    pool = [main for main in others if not unequal(row.tuning, main.tuning)] or others
    return next((main for main in pool if _like(main, row)), pool[0])


def _like(a: Row, b: Row) -> bool:
    """Whether two rows share every setting beside the loss; an untrained one has no settings of training."""
    one, other = a.runs[0].settings, b.runs[0].settings
    return all(one[key] == other[key] for key in one.keys() & other.keys() if not key.startswith("loss."))


Pairs = list[tuple[FinishedRun, FinishedRun]]


def paired_runs(ours: Sequence[FinishedRun], theirs: Sequence[FinishedRun]) -> Pairs:
    """Runs with the same seed on both sides; one run without training, or one run each, needs no common seed.

    Raises UserError where nothing pairs, or where the two did not rank the same queries.
    """
    alone = [side for side in (ours, theirs) if len(side) == 1]
    if len(alone) == 2 or any(not side[0].trained for side in alone):
        pairs = [(a, b) for a in ours for b in theirs]
    else:
        by_seed = {run.seed: run for run in theirs}
        pairs = [(run, by_seed[run.seed]) for run in ours if run.seed in by_seed]
    if not pairs:
        raise UserError("They have no seed in common.")
    queries = pairs[0][0].scores.queries
    for run in (run for pair in pairs for run in pair):
        if run.scores.queries != queries:
            raise UserError(f"{run.name} has other test queries.")
    return pairs


def differences_of_runs(
    rows: Sequence[Pairs], metric: str, resamples: int = RESAMPLES, searches: Sequence[SearchError] = ()
) -> list[Difference]:
    """The difference of `metric` (of TESTED) for each row's pairs; all have as many, and the same queries.

    searches: for each row, how much the search for its settings and for those of the baseline add to the uncertainty.
    """
    if not rows:
        return []
    errors = np.array([error.std for error in searches]), np.array([error.freedom for error in searches])
    more = [errors] if any(errors[0]) else []
    if metric == COMPARED:
        return _open_set_differences(rows, resamples, more)
    sums = (np.stack([a.scores.sums[metric] - b.scores.sums[metric] for a, b in pairs]) for pairs in rows)
    return differences_of_sums(sums, rows[0][0][0].scores.counts, resamples, more=more)


def _search_error(row: Row, main: Row, pairs: Pairs, metric: str) -> SearchError:
    """What the searches of two rows add to the uncertainty of their difference, in units of `metric`."""
    error = joint_error([each.tuning.search for each in (row, main) if each.tuning and each.tuning.search])
    if not error.std or metric == "mAP":
        return error
    return replace(error, std=error.std * stretch(_shares(pairs, metric), _shares(pairs, "mAP")))


def _shares(pairs: Pairs, metric: str) -> np.ndarray:
    """What each identity contributes to the difference of `metric`: [I]."""
    if metric == COMPARED:
        scores = [(_open_set(a), _open_set(b)) for a, b in pairs]
        return np.asarray(np.mean([(a.missed - b.missed) / a.mated.sum() for a, b in scores], axis=0))
    sums = np.mean([a.scores.sums[metric] - b.scores.sums[metric] for a, b in pairs], axis=0)
    return np.asarray(sums.sum(axis=0) / pairs[0][0].scores.counts.sum())


def _open_set_differences(rows: Sequence[Pairs], resamples: int, more: Errors) -> list[Difference]:
    """Of FNIR, each run at its own threshold; the resamples find theirs anew."""
    scores = [[(_open_set(a), _open_set(b)) for a, b in pairs] for pairs in rows]
    sums = (np.stack([(a.missed - b.missed)[None] for a, b in pairs]) for pairs in scores)
    replicates = [
        np.mean([a.replicates.astype(float) - b.replicates.astype(float) for a, b in pairs], axis=0) for pairs in scores
    ]
    return differences_of_sums(sums, scores[0][0][0].mated[None], resamples, replicates=replicates, more=more)


def _have_open_set(pairs: Pairs) -> bool:
    """Whether open-set searches of the same people are known of all the runs."""
    try:
        found = [run.open_set for pair in pairs for run in pair]
    except UserError:
        return False
    first = found[0]
    return first is not None and all(each is not None and np.array_equal(each.mated, first.mated) for each in found)


def _open_set(run: FinishedRun) -> OpenSetScores:
    assert run.open_set is not None  # as `_have_open_set` found
    return run.open_set


def _place(names: list[str], name: str) -> int:
    return names.index(name) if name in names else len(names)
