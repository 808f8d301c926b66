"""The figures of tuned rows: what more trials would bring, and which settings mattered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import MaxNLocator, PercentFormatter

from engine.contract.errors import UserError
from handreid_tui.sweeps.bayes import IMPORTANCES_FROM
from handreid_tui.sweeps.status import importances_of, read_status

if TYPE_CHECKING:
    from handreid_tui.compare.table import Row
    from handreid_tui.sweeps.status import SweepStatus

NO_SWEEP = "No row is a confirmation of a sweep: `handreid tune` trains them, `handreid plot {} @N` shows its curve."


def plot_expected_best(axes: Any, rows: Sequence[tuple[str, str, Row]]) -> None:
    """The expected best validation mAP of n trials (Dodge et al. 2019, without bias: Tang et al. 2020), a line a row.

    rows: each with its colour and line style. Raises UserError where no row was tuned with independent trials.
    """
    drawn = False
    for color, line, row, status in _tuned(rows, "tuning"):
        if (curve := status.expected_best(row.combo)) is None:
            continue
        axes.plot(range(1, len(curve) + 1), curve, color=color, linestyle=line, marker=".", label=row.label)
        drawn = True
    if not drawn:
        raise UserError("The expected best of n trials is known for quasi-random searches without --prune only.")
    axes.set(xlabel="trials", ylabel="expected best validation mAP")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1))


def importance_bars(rows: Sequence[tuple[str, str, Row]]) -> list[tuple[Row, dict[str, float]]]:
    """The importance of each setting (PED-ANOVA) in the search of each row. Raises UserError where none is known."""
    found = [(row, importances_of(status, row.combo)) for _, _, row, status in _tuned(rows, "importance")]
    known = [(row, shares) for row, shares in found if shares]
    if not known:
        raise UserError(
            f"Importances need at least {IMPORTANCES_FROM} trials of a combination, and Optuna: "
            "pip install 'handreid[tune]'."
        )
    return known


def draw_importances(axes: Any, row: Row, shares: dict[str, float]) -> None:
    ordered = sorted(shares.items(), key=lambda pair: pair[1])
    axes.barh([key.removeprefix("loss.").removeprefix("train.") for key, _ in ordered], [share for _, share in ordered])
    axes.set(title=row.label, xlabel="importance")
    axes.xaxis.set_major_formatter(PercentFormatter(1))


def _tuned(rows: Sequence[tuple[str, str, Row]], kind: str) -> Iterator[tuple[str, str, Row, SweepStatus]]:
    """The rows that are confirmations of a sweep, with its trials."""
    tuned = [(color, line, row) for color, line, row in rows if row.tuning and row.tuning.sweep]
    if not tuned:
        raise UserError(NO_SWEEP.format(kind))
    for color, line, row in tuned:
        assert row.tuning
        yield color, line, row, read_status(row.runs[0].directory.parent, row.tuning.sweep)
