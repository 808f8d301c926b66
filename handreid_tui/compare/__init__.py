"""Which combination is better, and does each loss do what it says."""

from handreid_tui.compare.comparison import Comparison, Section, compare
from handreid_tui.compare.formats import FORMATS, Format, render
from handreid_tui.compare.history_runs import compare_history, finished_runs
from handreid_tui.compare.runs import FinishedRun, read_run

__all__ = [
    "FORMATS",
    "Comparison",
    "FinishedRun",
    "Format",
    "Section",
    "compare",
    "compare_history",
    "finished_runs",
    "read_run",
    "render",
]
