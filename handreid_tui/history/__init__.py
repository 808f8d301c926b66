"""The run history: an SQLite index over the run directories, which are the truth. Imports sqlmodel (half a second)."""

from handreid_tui.history.curves import curve
from handreid_tui.history.edit import add_tag, archive, remove_tag, set_name, set_note, set_tags
from handreid_tui.history.ingest import IngestReport, ingest, ingest_run
from handreid_tui.history.queries import (
    Message,
    RunRow,
    Summary,
    configuration,
    differing_configuration,
    find_run,
    list_runs,
    messages,
    metric_keys,
    summary,
)
from handreid_tui.history.rebuild import rebuild
from handreid_tui.history.schema import open_history

__all__ = [
    "IngestReport",
    "Message",
    "RunRow",
    "Summary",
    "add_tag",
    "archive",
    "configuration",
    "curve",
    "differing_configuration",
    "find_run",
    "ingest",
    "ingest_run",
    "list_runs",
    "messages",
    "metric_keys",
    "open_history",
    "rebuild",
    "remove_tag",
    "set_name",
    "set_note",
    "set_tags",
    "summary",
]
