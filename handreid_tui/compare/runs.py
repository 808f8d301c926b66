"""A finished run as comparisons see it: its configuration, its protocol, its final report."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from engine.config import RunConfig, flatten
from engine.errors import UserError
from engine.events import read_events
from handreid_tui.compare.evaluation import Evaluation, Scores, read_evaluation, read_summary, score

# Keys that do not change what is learnt, or that the protocol already holds.
NOT_COMPARED = ("version", "combo", "seed", "device", "threads", "train.checkpoint_every", "train.compile")


@dataclass(frozen=True, order=True)
class Protocol:
    """What must be equal for two numbers to share a table."""

    dataset: str
    subset: str
    gallery: str
    fingerprint: str
    trials: int

    @property
    def title(self) -> str:
        gallery = "merged gallery" if self.gallery == "all" else "own gallery"
        trials = "1 trial" if self.trials == 1 else f"{self.trials} trials"
        return f"{self.dataset} · {self.subset} · {gallery} · {trials} · split {self.fingerprint[:8]}"


@dataclass(frozen=True)
class FinishedRun:
    """A run with a final report. `started` is its first event of that kind, `summary` the report's metrics."""

    number: int
    name: str
    directory: Path
    config: RunConfig
    started: dict[str, Any]
    summary: dict[str, Any]

    @property
    def combo(self) -> str:
        return self.config.combo

    @property
    def seed(self) -> int:
        return self.config.seed

    @property
    def trained(self) -> bool:
        return bool(self.config.loss)

    @cached_property
    def protocol(self) -> Protocol:
        told = {key: str(self.started.get(key, "?")) for key in ("dataset", "subset", "gallery", "fingerprint")}
        return Protocol(**told, trials=self.config.data.trials)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The configuration that may differ between rows of one table, as dotted keys."""
        prefixes = ("data.",) if self.trained else ("data.", "train.", "augment.")
        flat = flatten(self.config)
        return {key: value for key, value in flat.items() if key not in NOT_COMPARED and not key.startswith(prefixes)}

    @property
    def evaluation(self) -> Evaluation:
        """Read anew each time: it is large, and runs may be thousands. Raises UserError where it is damaged."""
        return read_evaluation(self.directory)

    @cached_property
    def scores(self) -> Scores:
        return score(self.evaluation)


def read_run(directory: Path, number: int | None = None, name: str | None = None) -> FinishedRun:
    """The finished run in `directory`. Raises UserError where it is unfinished or damaged."""
    config, summary = RunConfig.load(directory / "config.json"), read_summary(directory)
    if number is None:
        prefix = directory.name.split("-")[0]
        number = int(prefix) if prefix.isdecimal() else 0
    return FinishedRun(number, name or directory.name, directory, config, _started(directory), summary)


def _started(directory: Path) -> dict[str, Any]:
    """The event that names the split; only messages about decoding stand before it."""
    offset, path = 0, directory / "events.jsonl"
    while True:
        chunk = read_events(path, offset, limit=4096)
        for event in chunk.events:
            if event["kind"] == "started":
                return event
        if chunk.end == offset:
            raise UserError(f"{directory.name} has no event that says what it was tested on.")
        offset = chunk.end
