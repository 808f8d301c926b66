"""Which combination is better, and does each loss do what it says."""

from handreid_tui.compare.comparison import Comparison, Section, compare
from handreid_tui.compare.finished_run import FinishedRun, read_run
from handreid_tui.compare.formats import FORMATS, Format, render
from handreid_tui.compare.from_history import compare_history, finished_runs

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
