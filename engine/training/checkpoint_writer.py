"""Writes the checkpoints of a run while it trains on: the loop waits for copies of the values, not for the disk."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from engine.contract import run_files
from engine.contract.events import CheckpointWritten, EventWriter, TrainerMessage
from engine.training.checkpoint import Checkpoint, save_checkpoint


class CheckpointWriter:
    """One checkpoint is written at a time, by a thread; torch and the hashes leave the others running meanwhile.

    Events are written by the caller's thread alone, when it looks or waits.
    """

    def __init__(self, folder: Path, events: EventWriter) -> None:
        self.folder, self.events = folder, events
        self._thread = ThreadPoolExecutor(1)
        self._writing: tuple[Future[str], CheckpointWritten] | None = None

    def save(self, last: Checkpoint, best: Checkpoint | None, epoch: int) -> None:
        """Begin to write `last`, whose values may change from now on, and `best`, whose values may not.

        A full disk is reported, and training goes on.
        """
        self.wait()
        optimizers = [_copied(state) for state in last.optimizers]
        last = replace(last, weights=_copied(last.weights), optimizers=optimizers)
        about = CheckpointWritten(last.state["step"], epoch, run_files.LAST_CHECKPOINT)
        self._writing = self._thread.submit(self._write, last, best), about

    def save_final(self, best: Checkpoint) -> Future[None]:
        """Begin to write the final `best`; the result of the future raises OSError on a full disk."""
        self.wait()
        return self._thread.submit(save_checkpoint, self.folder / run_files.BEST, best)

    @property
    def busy(self) -> bool:
        return self._writing is not None and not self._writing[0].done()

    def look(self) -> None:
        """Tell of a checkpoint that was written meanwhile."""
        if not self.busy:
            self.wait()

    def wait(self) -> None:
        """Wait for the checkpoint that is being written, and tell of it."""
        if not self._writing:
            return
        (written, about), self._writing = self._writing, None
        if problem := written.result():
            text = f"No checkpoint at step {about.step}: {problem}. Training continues."
            self.events.write(TrainerMessage("warning", text))
        else:
            self.events.write(about)

    def _write(self, last: Checkpoint, best: Checkpoint | None) -> str:
        """What went wrong, or nothing. An error that is kept keeps its half-written file open, and the disk full."""
        try:
            if best:
                save_checkpoint(self.folder / run_files.BEST, best)
            save_checkpoint(
                self.folder / run_files.LAST,
                last,
                keep_previous=True,
                best=self.folder / run_files.BEST if best else None,
            )
        except OSError as error:
            return error.strerror or str(error)
        return ""


def _copied(values: Any) -> Any:
    """The same dictionaries and lists with copies of their tensors in main memory."""
    if isinstance(values, Tensor):
        return values.detach().to("cpu", copy=True)
    if isinstance(values, dict):
        return {key: _copied(value) for key, value in values.items()}
    if isinstance(values, list):
        return [_copied(value) for value in values]
    return values
