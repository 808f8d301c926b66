"""Whether the data of a run is still what the run began with. A run that continues on other data is another run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.contract.errors import UserError
from engine.contract.events import LONGEST_LINE

if TYPE_CHECKING:
    from engine.data.catalog import Split


@dataclass(frozen=True)
class RecordedSplit:
    """What the `started` event of a run's latest attempt says of its data; a count is None where it is not there."""

    fingerprint: str
    train_images: int | None = None
    train_identities: int | None = None
    test_identities: int | None = None

    @classmethod
    def of(cls, split: Split) -> RecordedSplit:
        test = len({split.images[image].identity for image in split.test})
        return cls(split.fingerprint, len(split.train), len(split.classes), test)

    @property
    def counts(self) -> str:
        known = ("?" if n is None else str(n) for n in (self.train_images, self.train_identities, self.test_identities))
        return "{} training images of {} identities, {} test identities".format(*known)


def read_begun(events: Path) -> RecordedSplit | None:
    """The data of the latest attempt in `events` (events.jsonl); None where no attempt got as far as that."""
    last: dict[str, Any] = {}
    for line in _lines(events):
        if b'"started"' in line:
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict) and event.get("kind") == "started":
                last = event
    fingerprint = last.get("fingerprint")
    if not isinstance(fingerprint, str):
        return None
    counts = (last.get(key) for key in ("train_images", "train_identities", "test_identities"))
    return RecordedSplit(fingerprint, *(count if isinstance(count, int) else None for count in counts))


def _lines(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as opened:
            while line := opened.readline(LONGEST_LINE):
                yield line
    except FileNotFoundError:
        return


WAY_OUT = "Restore the data set to continue this run, or start a new one with `handreid run`."


def check_same_images(run: str, begun: RecordedSplit, split: Split) -> None:
    """Raises UserError if `split` is not the one that the run called `run` began with."""
    now = RecordedSplit.of(split)
    if now.fingerprint == begun.fingerprint:
        return
    what = f"{begun.counts} then; {now.counts} now"
    if now.counts == begun.counts:
        what = f"the same number of images and identities ({now.counts}), but different ones"
    raise UserError(f"The data set {split.root} has changed since run {run} began: {what}. {WAY_OUT}")


def check_same_decoded(run: str, begun: RecordedSplit, split: Split) -> None:
    """Raises UserError if other images of the same `split` could be decoded than when the run began."""
    now = RecordedSplit.of(split)
    if (begun.train_images or now.train_images, begun.train_identities or now.train_identities) != (
        now.train_images,
        now.train_identities,
    ):
        raise UserError(
            f"The set of images of {split.root} that can be decoded has changed since run {run} began: "
            f"{begun.counts} then; {now.counts} now. {WAY_OUT}"
        )


def moved_folders(source: Path, run: Path) -> Iterator[Path]:
    """Existing folders that `source` may be now, if it was moved together with the directory `run`.

    A folder at the end of the same relative path, seen from any folder above the run: `/old/data/hands` of a run in
    `/new/runs/0003-ce` may be `/new/data/hands` or `/new/hands`. The longest path comes first.
    """
    parts = source.parts[1:] if source.is_absolute() else source.parts
    for length in range(len(parts), 0, -1):
        for above in run.absolute().parents:
            found = above.joinpath(*parts[-length:])
            if found != source and found.is_dir():
                yield found
