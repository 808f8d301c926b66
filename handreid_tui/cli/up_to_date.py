"""The run history as a command needs it: with everything that happened until now."""

from __future__ import annotations

import sys

from sqlalchemy import Engine

from engine.contract import run_files
from engine.contract.errors import UserError
from handreid_tui import history as past
from handreid_tui.launch.slurm.sync import take_in
from handreid_tui.runs import directory
from handreid_tui.settings import Places


def up_to_date(places: Places) -> Engine:
    """The run history, with everything that the run directories, and Slurm about them, say by now."""
    take_in(places.runs)
    if (places.runs / run_files.SWEEPS).is_dir():
        from handreid_tui.sweeps.keeper import look_after_sweeps

        try:
            look_after_sweeps(places.runs)
        except UserError as error:
            print(f"Note: {error}", file=sys.stderr)
    opened = past.open_history(places.db)
    for problem in (*directory.left_out(places.runs), *past.ingest(opened, places.runs).problems):
        print(f"Note: {problem}", file=sys.stderr)
    return opened
