"""`handreid sweeps`: what became of the sweeps, and what a command does to a whole sweep."""

from __future__ import annotations

import json
import sys

from rich.table import Table
from rich.text import Text

from engine.contract.errors import UserError
from engine.data.wording import count
from handreid_tui.cli.agree import agree
from handreid_tui.cli.sweep_names import number_of
from handreid_tui.compare.configuration import show
from handreid_tui.launch import lifecycle, trash
from handreid_tui.runs import directory
from handreid_tui.settings import Places
from handreid_tui.sweeps.keeper import look_after_sweeps
from handreid_tui.sweeps.plan_file import list_sweeps, read_plan
from handreid_tui.sweeps.status import SweepStatus, as_object, at_edge, read_status
from handreid_tui.sweeps.trials import Reader
from handreid_tui.text.numbers import percent, size
from handreid_tui.text.tables import stdout


def show_sweeps(places: Places, name: str | None, as_json: bool) -> None:
    """All sweeps, a line each; or one in full. Has those that are unfinished carried on."""
    look_after_sweeps(places.runs)
    if name is None:
        found = [read_status(places.runs, number) for number in list_sweeps(places.runs)]
        if as_json:
            print(json.dumps([as_object(status) for status in found], indent=2))
        elif not found:
            print("No sweeps yet: start one with `handreid tune --combo ce --combo ce_triplet`.")
        for status in found if not as_json else []:
            print(sweep_line(status))
        return
    status = read_status(places.runs, number_of(name))
    if as_json:
        print(json.dumps(as_object(status), indent=2))
        return
    out = stdout()
    out.print(Text(sweep_line(status)))
    for combo in status.plan.combos:
        out.print(_trials(status, combo))
        for text in _about(status, combo):
            out.print(Text(text, style="dim"), soft_wrap=True)
    out.print(Text("Validation on held-out people, %. " + _next(status)), soft_wrap=True)


def sweep_line(status: SweepStatus) -> str:
    """`@3 · search · 41/72 · 2 failed · best val 91.2`"""
    plan, counts = status.plan, status.counts
    done = sum(run.settled for run in status.found.values())
    parts = [f"@{plan.number}", status.phase, f"{done}/{plan.trainings}"]
    parts += [f"{counts[state]} {state}" for state in ("running", "queued", "failed", "lost") if counts.get(state)]
    parts += [f"best val {percent(status.best)}"] if status.best is not None else []
    return " · ".join([*parts, *([plan.stopped] if plan.stopped else [])])


def stop_sweep(places: Places, number: int) -> None:
    from handreid_tui.sweeps import actions

    runs = actions.stop(places.runs, number)
    print(f"Sweep @{number} stopped ({count(runs, 'run')}). `handreid resume @{number}` continues it.", file=sys.stderr)


def resume_sweep(places: Places, number: int) -> None:
    from handreid_tui.sweeps import actions

    runs = actions.resume(places.runs, number)
    print(f"Sweep @{number} resumed ({count(runs, 'run')}).", file=sys.stderr)


def trash_sweep(places: Places, number: int, yes: bool) -> None:
    from handreid_tui.sweeps import actions

    runs = count(len(Reader(places.runs, read_plan(places.runs, number).number).read()), "run")
    agree(f"Move sweep @{number} with its {runs} to the trash?", yes, "Nothing was moved.")
    actions.trash(places.runs, number)
    how = "`handreid rm --undo` restores, `--purge` frees"
    print(f"Moved sweep @{number} with its {runs} to the trash for 30 days: {how}.", file=sys.stderr)


def purge_sweep(places: Places, number: int, yes: bool) -> None:
    from handreid_tui.sweeps import actions

    found = Reader(places.runs, read_plan(places.runs, number).number).read()
    freed = size(sum(lifecycle.size(run.path) for run in found.values()))
    agree(f"Delete sweep @{number} with its {count(len(found), 'run')} ({freed})?", yes, "Nothing was deleted.")
    print(f"Deleted sweep @{number}: {size(actions.remove(places.runs, number))} freed.", file=sys.stderr)


def trashed_runs_of(places: Places, number: int) -> list[str]:
    """The numbers of the runs of a sweep that are in the trash. Raises UserError where there are none."""
    found = [str(directory.number(path)) for path in trash.trashed(places.runs) if directory.sweep(path) == number]
    if not found:
        raise UserError(f"Sweep @{number} has no run in the trash.")
    return found


def _trials(status: SweepStatus, combo: str) -> Table:
    """The best trials of a combination, the chosen one marked, and the recipe."""
    plan, values = status.plan, status.values(combo)
    keys = [dimension.key for dimension in plan.spaces[combo]]
    table = Table(title=combo, title_justify="left")
    for column in ("trial", "val mAP", *keys):
        table.add_column(column.removeprefix("loss.").removeprefix("train."), justify="right")
    ranked = sorted((-(value if value is not None else -1.0), trial) for trial, value in enumerate(values))
    shown = [trial for _, trial in ranked[:5]]
    choice = status.choice(combo)
    for trial in [*shown, *([0] if values and 0 not in shown else [])]:
        name = "recipe" if trial == 0 else str(trial)
        chosen = choice is not None and choice.trial == trial
        point = plan.points[combo][trial]
        table.add_row(
            f"* {name}" if chosen else name,
            percent(values[trial]) if values[trial] is not None else "failed",
            *(show(point[key]) for key in keys),
            style="bold" if chosen else None,
        )
    if choice:
        others = "" if choice.other_folds is None else f", {percent(choice.other_folds)} on the other folds"
        edges = at_edge(plan, choice)
        edge = f" At the edge of its range: {', '.join(edges)}." if edges else ""
        table.caption = f"* chosen: {percent(choice.validation)} in the search (optimistic){others}.{edge}"
        table.caption_justify = "left"
    return table


def _about(status: SweepStatus, combo: str) -> list[str]:
    """The expected best of so many trials, and which settings mattered; nothing where neither is known."""
    found = next(each for each in as_object(status)["combos"] if each["combo"] == combo)
    curve, shares = found["expected_best"] or [], found["importances"] or {}
    counts = sorted({1, len(curve), *(n for n in (3, 6, 12, 24, 48, 96) if n < len(curve))}) if len(curve) > 2 else []
    texts = [" · ".join(f"{n}: {percent(curve[n - 1])}" for n in counts)]
    texts += [" · ".join(f"{key} {share:.0%}" for key, share in sorted(shares.items(), key=lambda pair: -pair[1]))]
    titles = ("Expected best validation of n trials", "Importance (PED-ANOVA)")
    return [f"{title}: {text}." for title, text in zip(titles, texts, strict=True) if text]


def _next(status: SweepStatus) -> str:
    number = status.plan.number
    return {
        "finished": f"`handreid compare @{number}` shows the confirmations on the test people.",
        "stopped": f"`handreid resume @{number}` continues.",
    }.get(status.phase, f"`handreid stop @{number}` stops it.")
