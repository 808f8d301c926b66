"""A finished run as comparisons see it: its configuration, its protocol, its final report."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.contract import run_files
from engine.contract.config import RunConfig, flatten
from engine.contract.errors import UserError
from engine.contract.events import RunStarted, read_events
from handreid_tui.compare.evaluation import Evaluation, Scores, read_evaluation, read_summary, score
from handreid_tui.runs.safe_files import inside, is_file

if TYPE_CHECKING:
    from handreid_tui.compare.open_set_scores import OpenSetScores
    from handreid_tui.compare.tuning import Tuning

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
    reranked: bool = False

    @property
    def title(self) -> str:
        reranked = " · re-ranked" if self.reranked else ""
        gallery = "merged gallery" if self.gallery == "all" else "own gallery"
        trials = "1 trial" if self.trials == 1 else f"{self.trials} trials"
        return f"{self.dataset} · {self.subset} · {gallery} · {trials} · split {self.fingerprint[:8]}{reranked}"


@dataclass(frozen=True)
class FinishedRun:
    """A run with a final report. `started` is its first event of that kind, `summary` the report's metrics.

    `known`, `known_open_set`: its scores where they were computed before, so that the evaluation need not be read.
    `validation`: its best validation mAP, None where unknown. `tuning`: how its settings were chosen, None if they
    were not.
    """

    number: int
    name: str
    directory: Path
    config: RunConfig
    started: RunStarted
    summary: dict[str, Any]
    known: Scores | None = field(default=None, repr=False)
    known_open_set: OpenSetScores | None = field(default=None, repr=False)
    validation: float | None = None
    tuning: Tuning | None = None

    @property
    def combo(self) -> str:
        return self.config.combo

    @property
    def seed(self) -> int:
        return self.config.seed

    @property
    def trained(self) -> bool:
        return bool(self.config.loss or self.members)

    @property
    def members(self) -> list[dict[str, Any]]:
        """Of a fusion (`handreid fuse`) its runs: `run` (number), `name`, `combo`, `setup`, `weight`; else none."""
        members: list[dict[str, Any]] = self.summary.get("fusion", {}).get("runs", [])
        return members

    @cached_property
    def protocol(self) -> Protocol:
        known = (self.started.dataset, self.started.subset, self.started.gallery, self.started.fingerprint)
        dataset, subset, gallery, fingerprint = ("?" if text is None else text for text in known)
        reranked = self.config.evaluation.rerank
        return Protocol(dataset, subset, gallery, fingerprint, self.config.data.trials, reranked)

    @property
    def settings(self) -> dict[str, Any]:
        """The configuration that may differ between rows of one table, as dotted keys."""
        return self._settings[0]

    @property
    def setup(self) -> str:
        """Equal for runs with equal settings."""
        return self._settings[1]

    @cached_property
    def _settings(self) -> tuple[dict[str, Any], str]:
        if self.members:
            members = [f"{each['combo']} {each['setup']}" for each in self.members]
            return {"fusion": " + ".join(members)}, repr(members)
        return _settings(self.config.to_json(exclude={"seed"}))

    @property
    def evaluation(self) -> Evaluation:
        """Read anew each time: it is large, and runs may be thousands. Raises UserError where it is damaged."""
        return read_evaluation(self.directory)

    @cached_property
    def scores(self) -> Scores:
        """Raises UserError where the evaluation is damaged."""
        return self.known or score(self.evaluation)

    @cached_property
    def open_set(self) -> OpenSetScores | None:
        """None where nothing can be measured. Raises UserError where the evaluation is damaged."""
        from handreid_tui.compare.open_set_scores import open_set_scores  # late: it takes the features

        return self.known_open_set or open_set_scores(self.evaluation)


@lru_cache(maxsize=4096)  # thousands of runs share a handful of configurations
def _settings(config: str) -> tuple[dict[str, Any], str]:
    """The settings to compare in a configuration (JSON without its seed), and a text that stands for them."""
    found = RunConfig.from_json(config)
    prefixes = ("data.",) if found.loss else ("data.", "train.", "augment.")
    flat = flatten(found)
    settings = {key: value for key, value in flat.items() if key not in NOT_COMPARED and not key.startswith(prefixes)}
    return settings, repr(sorted(settings.items()))


def read_run(directory: Path, number: int | None = None, name: str | None = None) -> FinishedRun:
    """The finished run in `directory`. Raises UserError where it is unfinished or damaged."""
    configuration = inside(directory, run_files.CONFIG)
    if not is_file(configuration):
        raise UserError(f"There is no configuration at {configuration}.")
    config, summary = RunConfig.load(configuration), read_summary(directory)
    if number is None:
        prefix = directory.name.split("-")[0]
        number = int(prefix) if prefix.isdecimal() else 0
    return FinishedRun(number, name or directory.name, directory, config, _started(directory), summary)


def _started(directory: Path) -> RunStarted:
    """The event that names the split; only messages about decoding stand before it."""
    offset, path = 0, inside(directory, run_files.EVENTS)
    while is_file(path):  # a pipe would never end
        chunk = read_events(path, offset, limit=4096)
        for event in chunk.events:
            if isinstance(event, RunStarted):
                return event
        if chunk.end == offset:
            break
        offset = chunk.end
    raise UserError(f"{directory.name} has no event that records what it was tested on.")
