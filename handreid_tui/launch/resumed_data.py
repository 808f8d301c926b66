"""The data of runs that are resumed: unchanged, moved together with the runs, named anew, or gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.contract import run_files
from engine.contract.config import DataConfig, RunConfig
from engine.contract.errors import UserError
from engine.data.catalog import Split
from engine.data.same_split import RecordedSplit, check_same_images, moved_folders, read_begun
from engine.data.split import open_split
from handreid_tui.launch import queue
from handreid_tui.launch.dependents import has_checkpoint
from handreid_tui.runs.directory import number
from handreid_tui.runs.safe_files import is_file, write_json

Opened = Callable[[DataConfig], Split]


def follow_data(paths: list[Path], data: Path | None, *, must_be_here: bool = True) -> list[str]:
    """See to it that each run finds the data that it began with, and change its config.json where that has moved.

    data: where it is now; None: where it was, or moved together with the runs. A run with a checkpoint continues on the
    same split only; one without starts anew, on whatever is there. must_be_here: whether this machine reads the data,
    not a node of a cluster. Returns what to tell the user. Raises UserError, with nothing changed, where data is gone
    or has changed.
    """
    splits: dict[str, Split] = {}

    def opened(config: DataConfig) -> Split:
        key = config.to_json()
        if key not in splits:
            splits[key] = open_split(config)
        return splits[key]

    moved = {}
    for path in paths:
        config = RunConfig.load(path / run_files.CONFIG)
        if config.data.source == "synthetic":
            if data:
                raise UserError(f"Run {path.name} trains on synthetic hands: resume it without --data.")
            continue
        events = path / run_files.EVENTS
        begun = read_begun(events) if is_file(events) else None
        found = _place(path, config, begun, data, opened)
        if found is None and must_be_here:
            raise UserError(
                f"The data set of run {path.name} is not at {config.data.source} any more. Put it back, or give "
                f"its new place: `handreid resume {number(path)} --data PATH`."
            )
        if found and str(found) != config.data.source:
            moved[path] = _at(config, found)
    for path, config in moved.items():
        with queue.owned(path):
            write_json(path / run_files.CONFIG, config.model_dump())
    return [f"Run {path.name} reads its data from {config.data.source} now." for path, config in moved.items()]


def _place(
    path: Path, config: RunConfig, begun: RecordedSplit | None, data: Path | None, opened: Opened
) -> Path | None:
    """Where the data of a run is; None where it is gone."""
    source = Path(config.data.source)
    here = data.expanduser().absolute() if data else source
    if data or here.is_dir():
        if begun and has_checkpoint(path):
            check_same_images(path.name, begun, opened(_with_source(config, here)))
        elif data:
            opened(_with_source(config, here))  # for its complaints
        return here
    for candidate in moved_folders(source, path) if begun else ():
        try:
            if begun and opened(_with_source(config, candidate)).fingerprint == begun.fingerprint:
                return candidate
        except UserError:  # another folder of that name
            continue
    return None


def _with_source(config: RunConfig, source: Path) -> DataConfig:
    return config.data.model_copy(update={"source": str(source)})


def _at(config: RunConfig, place: Path) -> RunConfig:
    """The configuration with its data at `place`; start weights that moved along are found there too."""
    data, model, source = _with_source(config, place), config.model, Path(config.data.source)
    same = 0
    while source.parts[-1 - same :] == place.parts[-1 - same :] and same + 1 < min(len(source.parts), len(place.parts)):
        same += 1
    before, now = (Path(*each.parts[: len(each.parts) - same]) for each in (source, place))
    weights = Path(model.pretrained)
    if same and weights.is_absolute() and not weights.exists() and weights.is_relative_to(before):
        there = now / weights.relative_to(before)
        model = model.model_copy(update={"pretrained": str(there)}) if there.exists() else model
    return config.model_copy(update={"data": data, "model": model})
