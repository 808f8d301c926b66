"""Which runs started from the weights of which: what removing a run would take from others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.contract import run_files
from engine.contract.errors import UserError
from handreid_tui.runs.directory import list_runs
from handreid_tui.runs.safe_files import is_file, read_json
from handreid_tui.runs.state import observe


@dataclass(frozen=True)
class Dependent:
    """A run that started from the weights of `source`. `needs`: it has no checkpoint of its own and may yet start."""

    run: Path
    source: Path
    needs: bool

    @property
    def sentence(self) -> str:
        rest = "It has no checkpoint yet and cannot start without it." if self.needs else "It no longer needs it."
        return f"Run {self.run.name} started from {self.source.name}. {rest}"


def dependents(paths: Iterable[Path]) -> list[Dependent]:
    """The runs beside `paths`, and not among them, that start from one of them."""
    sources = {path.resolve(): path for path in paths}
    found = []
    for folder in sorted({path.parent for path in sources}):
        for run in list_runs(folder):
            model = read_json(run / run_files.CONFIG).get("model")
            weights = model.get("pretrained") if isinstance(model, dict) else None
            if run.resolve() in sources or not isinstance(weights, str) or "/" not in weights:
                continue
            place = Path(weights).resolve()
            source = next((sources[each] for each in (place, *place.parents) if each in sources), None)
            if source:
                found.append(Dependent(run, source, not has_checkpoint(run) and observe(run).status != "finished"))
    return found


def check_not_needed(paths: Iterable[Path]) -> None:
    """Raises UserError where a queued or starting run could not start without one of `paths`."""
    for each in dependents(paths):
        if each.needs and observe(each.run).status in ("queued", "starting", "running"):
            raise UserError(
                f"Run {each.run.name} is {observe(each.run).status} and starts from {each.source.name}: "
                f"remove {each.run.name} too, or wait for its first checkpoint."
            )


def has_checkpoint(run: Path) -> bool:
    """Whether the run has a checkpoint to resume from, or to start from: it holds all weights."""
    places = (run_files.LAST, run_files.PREVIOUS, run_files.BEST)
    return any(is_file(run / run_files.CHECKPOINTS / place / run_files.MANIFEST) for place in places)
