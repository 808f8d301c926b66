"""`handreid queue`: what waits, in which order, and for what."""

from __future__ import annotations

import json

from handreid_tui.launch import lifecycle, queue
from handreid_tui.launch.devices import list_gpus, why_waiting
from handreid_tui.launch.slurm.sync import why_waiting as slurm_words
from handreid_tui.runs import directory
from handreid_tui.runs.select import find_run
from handreid_tui.settings import Places
from handreid_tui.text.tables import BOLD, Columns, TextColumn, line, stdout


def change_order(places: Places, text: str, up: bool, down: bool, priority: int | None) -> None:
    """Move a waiting run by one place, or give it a priority. Raises UserError where it does not wait."""
    run = find_run(places.runs, text)
    if priority is not None:
        queue.set_priority(run, priority)
    if up or down:
        queue.move(run, up=up)


def show_queue(places: Places, as_json: bool) -> None:
    """Print the waiting runs, the next one first; whoever looks also sees to it that the queue goes on."""
    lifecycle.ensure_supervised([places.runs.absolute()])
    gpus, words = list_gpus(), slurm_words(places.runs)
    why = [(each, why_waiting(each, gpus)) for each in queue.waiting(places.runs)]
    why += [(each, words.get(each.path.name, "Slurm")) for each in queue.waiting(places.runs, queue.SLURM)]
    rows = [(directory.number(each.path), each.path.name, each.priority, reason) for each, reason in why]
    if as_json:
        print(json.dumps([dict(zip(("run", "name", "priority", "why"), row, strict=True)) for row in rows]))
        return
    if not rows:
        print("The queue is empty.")
        return
    headers = ("run", "name", "priority", "waits for")
    columns = [
        TextColumn([line(header, BOLD)], [[line(str(value))] for value in values], number=header in ("run", "priority"))
        for header, values in zip(headers, zip(*rows, strict=True), strict=True)
    ]
    stdout().print(Columns(columns))
