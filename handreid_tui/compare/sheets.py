"""A comparison as rows of text, before any markup: what the terminal, Markdown and LaTeX show alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from engine.contract.metrics import Metric
from engine.contract.metrics import metric as metric_of
from handreid_tui.compare.claims import Finding
from handreid_tui.compare.comparison import Section
from handreid_tui.compare.configuration import show
from handreid_tui.compare.finished_run import FinishedRun
from handreid_tui.compare.statistics import Spread
from handreid_tui.compare.table import COLUMNS, TESTED, Compared, Row, Table
from handreid_tui.text.tables import printable

_NAMED = {"combo": "combination", "run": "run"}
MOST_COLUMNS = 12  # of settings side by side


@dataclass(frozen=True)
class Cell:
    """Text, and its second part (a standard deviation, an interval, a verdict) that narrow tables put below."""

    text: str
    detail: str = ""
    bold: bool = False

    def __str__(self) -> str:
        return f"{self.text} {self.detail}".strip()


@dataclass(frozen=True)
class Sheet:
    """A table of text. Every row has a cell for each header."""

    title: str
    headers: list[str]
    rows: list[list[Cell]]
    notes: list[str]

    @cached_property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers, to be aligned to the right."""
        columns = zip(*self.rows, strict=True)
        return [
            bool(place) and all(c.text[:1] in "+−–0123456789" for c in column) for place, column in enumerate(columns)
        ]


def results_sheet(table: Table) -> Sheet:
    """The metrics: mean ± standard deviation over the seeds, percent, the best of each column bold."""
    columns = [column for column in COLUMNS if any(column.key in row.metrics for row in table.rows)]
    headers = [
        _NAMED[table.by],
        *(f"{c.title}{' %' if c.unit == 'fraction' else ''}" for c in columns),
        "seeds",
        "time",
    ]
    rows = [
        [
            Cell(row.label, "(baseline)" if row.baseline else "" if row.runs else "(before training)"),
            *(_metric(table, row, column) for column in columns),
            Cell(str(row.seeds)),
            _time(row.seconds),
        ]
        for row in table.rows
    ]
    notes = [] if any(row.compared for row in table.rows) else [*table.notes]
    if any(row.seeds > 1 for row in table.rows):
        notes.append("± is the sample standard deviation over the seeds.")
    return Sheet(table.protocol.title, headers, rows, notes)


def differences_sheet(table: Table) -> Sheet | None:
    """Each row against its baseline, in percentage points; None where nothing could be compared."""
    rows = [row for row in table.rows if row.compared]
    if not rows:
        return None
    against = {row.compared["mAP"].baseline for row in rows}
    headers = [_NAMED[table.by], *(["against"] if len(against) > 1 else [])]
    tested = [metric for metric in TESTED if any(metric in row.compared for row in rows)]
    for metric in tested:
        headers += [f"Δ {metric_of(metric).title}", "verdict"]
    cells = []
    for row in rows:
        line = [Cell(row.label), *([Cell(row.compared["mAP"].baseline)] if len(against) > 1 else [])]
        for metric in tested:
            one = row.compared.get(metric)
            if one is None:
                line += [Cell("–"), Cell("")]
                continue
            sure = one.verdict in ("better", "worse")
            line += [Cell(_points(one), _interval(one), bold=sure), Cell(one.verdict or one.unequal, bold=sure)]
        cells.append(line)
    title = f"Differences to {against.pop()}" if len(against) == 1 else "Differences to the baseline"
    notes = ["Δ in percentage points with its 95 % interval; verdicts after Holm's correction over this table."]
    return Sheet(title, headers, cells, [*notes, *table.notes, *_over_seeds(rows)])


def _over_seeds(rows: list[Row]) -> list[str]:
    """The seed-level tests, for the rows with seeds enough for one."""
    notes = []
    for row in rows:
        found = {metric_of(metric).title: one.difference.p_seeds for metric, one in row.compared.items()}
        tests = [f"{title} p = {p:.3f}" for title, p in found.items() if p is not None]
        if tests:
            notes.append(f"Over the seeds alone, uncorrected: {row.label} {', '.join(tests)}.")
    return notes


def tuning_sheet(table: Table) -> Sheet | None:
    """How each tuned row was chosen; None where none was."""
    tuned = [(row, row.tuning) for row in table.rows if row.tuning]
    if not tuned:
        return None
    headers = [
        _NAMED[table.by],
        "trials",
        "method",
        "folds",
        "settings tuned",
        "validation mAP %",
        "other folds %",
        "test mAP %",
        "chosen",
    ]
    rows = [
        [
            Cell(row.label),
            Cell(str(tuning.trials)),
            Cell(tuning.method),
            Cell(str(tuning.folds) if tuning.folds else "–"),
            Cell(str(len(tuning.values))),
            _optional(tuning.validation),
            _optional(tuning.other_folds),
            _optional(row.metrics["mAP"].mean),
            Cell(tuning.chosen),
        ]
        for row, tuning in tuned
    ]
    notes = [
        "The validation mAP that a row was selected by is optimistic; the other folds were not used in the search.",
        "Test results are shown, but nothing is selected by them.",
    ]
    return Sheet("Tuning", headers, rows, notes)


def _optional(rate: float | None) -> Cell:
    return Cell("–" if rate is None else f"{100 * rate:.1f}")


def configuration_sheet(table: Table) -> Sheet | None:
    """Only the settings that differ between the rows; None where none does. Rows with equal ones share a column.

    A setting a line, or, with more columns than can be read, a column.
    """
    if not table.configuration:
        return None
    alike: dict[str, list[str]] = {}
    values: list[list[Cell]] = []
    labels = [row.label for row in table.rows if row.runs]
    for label, settings in zip(labels, zip(*table.configuration.values(), strict=True), strict=True):
        alike.setdefault(repr(settings), []).append(label)
        if len(alike) > len(values):
            values.append([Cell(show(value)) for value in settings])
    names = [", ".join(n) if len(n) < 4 else f"{n[0]} and {len(n) - 1} more" for n in alike.values()]
    if len(names) > MOST_COLUMNS:
        rows = [[Cell(name), *settings] for name, settings in zip(names, values, strict=True)]
        return Sheet("Settings that differ", [_NAMED[table.by], *table.configuration], rows, [])
    settings_first = zip(table.configuration, zip(*values, strict=True), strict=True)
    rows = [[Cell(key), *settings] for key, settings in settings_first]
    return Sheet("Settings that differ", ["setting", *names], rows, [])


ADDED = ("branches", "aspect")  # columns that are left out where no run has it


def recipes_sheet(table: Table) -> Sheet | None:
    """What each combination was trained with; None where all had the same, and for runs, whose settings are shown."""
    trained = [row for row in table.rows if row.runs and row.runs[0].trained]
    recipes = [_recipe(row.runs[0]) for row in trained]
    if table.by != "combo" or all(recipe == recipes[0] for recipe in recipes):
        return None
    columns = [key for key in recipes[0] if key not in ADDED or any(recipe[key] != "none" for recipe in recipes)]
    rows = [
        [Cell(row.label), *(Cell(recipe[key]) for key in columns)] for row, recipe in zip(trained, recipes, strict=True)
    ]
    return Sheet("Recipes", [_NAMED[table.by], *columns], rows, [])


def _recipe(run: FinishedRun) -> dict[str, str]:
    model, train = run.config.model, run.config.train
    size = run.started.image_size or model.image_size
    return {
        "encoder": model.name,
        "start": printable(model.pretrained).rstrip("/").rpartition("/")[2],
        "input": f"{size} px" if size else "?",
        "branches": model.branches,
        "aspect": f"{model.aspect_embedding:g} x embedding" if model.aspect_embedding else "none",
        "epochs": str(train.epochs),
        "batch": f"{train.ids_per_batch}x{train.images_per_id}",
        "optimizer": train.optimizer,
        "learning rate, encoder": show(train.lr),
        "learning rate, heads": show(train.head_lr),
        "schedule": train.schedule,
    }


def claims_sheet(section: Section) -> Sheet | None:
    if section.findings is None:
        return None
    headers = ["term", "claim", "outcome", "compared", "figure", "difference"]
    rows = [_finding(finding) for finding in section.findings if finding.difference]
    notes = ["Held: the difference to the same losses without the term is significant and in the claimed direction."]
    notes = notes if rows else []
    notes += [f"{f.claim.term}, not measured: {f.reason}" for f in section.findings if f.reason]
    return Sheet("Claims about the losses", headers if rows else [], rows, notes)


def published_sheet(section: Section) -> Sheet | None:
    if section.published is None:
        return None
    if not section.published:
        notes = ["No published result has this protocol: full data set, subset and gallery must be the same."]
        return Sheet("Published results", [], [], notes)
    definitions = sorted({row.ap for row in section.published})
    rows = []
    for definition in definitions:
        key = "mAP" if definition == "standard" else "mAP_trapezoid"
        for row in section.table.rows:
            if key in row.metrics and row.runs:
                rank1, mAP = row.metrics["rank1"], row.metrics[key]
                rows.append(
                    [Cell(row.label), _percent(rank1), _percent(mAP), Cell(definition), Cell("this comparison")]
                )
        for known in (known for known in section.published if known.ap == definition):
            source = f"{known.source}; {known.caution}" if known.caution else known.source
            numbers = [Cell(f"{100 * known.rank1:.2f}"), Cell(f"{100 * known.mAP:.2f}")]
            rows.append([Cell(known.method), *numbers, Cell(known.ap), Cell(source)])
    return Sheet("Published results", ["method", "rank-1 %", "mAP %", "AP", "source"], rows, [])


def sheets(section: Section) -> list[Sheet]:
    """Everything of a section, in reading order."""
    table = section.table
    found = [
        results_sheet(table),
        differences_sheet(table),
        tuning_sheet(table),
        recipes_sheet(table),
        configuration_sheet(table) if table.by == "run" else None,
        claims_sheet(section),
        published_sheet(section),
    ]
    return [sheet for sheet in found if sheet]


def _metric(table: Table, row: Row, column: Metric) -> Cell:
    value = row.metrics.get(column.key)
    if value is None:
        return Cell("–")
    cell = _percent(value) if column.unit == "fraction" else _plain(value, 3)
    return Cell(cell.text, cell.detail, bold=value.mean == table.best(column.key))


def _percent(value: Spread) -> Cell:
    return Cell(f"{100 * value.mean:.1f}", "" if value.std is None else f"± {100 * value.std:.1f}")


def _plain(value: Spread, digits: int) -> Cell:
    return Cell(f"{value.mean:.{digits}f}", "" if value.std is None else f"± {value.std:.{digits}f}")


def _time(seconds: Spread | None) -> Cell:
    if seconds is None:
        return Cell("–")
    minutes, rest = divmod(round(seconds.mean), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return Cell(f"{hours}:{minutes:02} h")
    return Cell(f"{minutes}:{rest:02} min" if minutes else f"{seconds.mean:.1f} s")


def _points(compared: Compared) -> str:
    return _signed(100 * compared.difference.estimate, 1)


def _interval(compared: Compared) -> str:
    difference = compared.difference
    if difference.low != difference.low:
        return "(no interval: one identity)"
    return f"[{_signed(100 * difference.low, 1)}, {_signed(100 * difference.high, 1)}]"


def _finding(finding: Finding) -> list[Cell]:
    claim, difference = finding.claim, finding.difference
    assert difference and finding.values
    digits = 1 if claim.unit else 3
    ours, theirs = (f"{value.mean:.{digits}f}".replace("-", "−") for value in finding.values)
    interval = f"[{_signed(difference.low, digits)}, {_signed(difference.high, digits)}]{claim.unit}"
    sure = finding.outcome in ("held", "not held")
    return [
        Cell(claim.term),
        Cell(claim.says),
        Cell(finding.outcome, bold=sure),
        Cell(finding.combo, f"against {finding.without}"),
        Cell(f"{claim.figure} ({claim.better} is better)", f"{ours}{claim.unit} against {theirs}{claim.unit}"),
        Cell(_signed(difference.estimate, digits) + claim.unit, interval),
    ]


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")
