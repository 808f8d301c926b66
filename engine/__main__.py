"""`python -m engine train RUN_DIR`: the trainer as a process. Also `evaluate`, `export`, `embed` and `fuse`, of trained
runs.

Exit status: 0 finished or stopped on request, 1 failed, 2 a mistake in the configuration or the data.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import logging
import os
import sys
import traceback
from dataclasses import asdict
from pathlib import Path

from engine.contract import run_files
from engine.contract.config import DataConfig, RunConfig
from engine.contract.errors import LossNotFinite, UserError, is_full
from engine.contract.events import EndReason, EventWriter, RunEnded, dumps

LATER_STEP = "Lower the learning rate or the weight of the term."
FIRST_STEP = "Check the options of the term, or train in float32."


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engine", description="Train one run of handreid.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("train", help="train the run in RUN_DIR, or resume it from its checkpoint")
    command.add_argument("run", type=Path, metavar="RUN_DIR")
    command = commands.add_parser("evaluate", help="evaluate the run in RUN_DIR on another data set")
    command.add_argument("run", type=Path, metavar="RUN_DIR")
    command.add_argument("data", metavar="JSON", help="the data part of a configuration")
    command = commands.add_parser("export", help="write the encoder of the run in RUN_DIR for open_clip")
    command.add_argument("run", type=Path, metavar="RUN_DIR")
    command.add_argument("folder", type=Path, metavar="FOLDER")
    command = commands.add_parser(
        "embed", help="write features of image files, computed by the run in RUN_DIR; nothing is cached"
    )
    command.add_argument("run", type=Path, metavar="RUN_DIR")
    command.add_argument("images", type=Path, metavar="LIST.json")
    command.add_argument("folder", type=Path, metavar="OUT")
    command = commands.add_parser("fuse", help="combine the scores of runs; evaluation and events go into OUT")
    command.add_argument("folder", type=Path, metavar="OUT")
    command.add_argument("about", metavar="JSON", help="`combo` and `runs`: what the summary records of each member")
    command.add_argument("runs", type=Path, nargs="+", metavar="RUN_DIR")
    chosen = parser.parse_args(arguments)
    faulthandler.enable()
    try:
        if chosen.command == "train":
            return _train(chosen.run)
        logging.getLogger().setLevel(logging.ERROR)
        if chosen.command == "evaluate":
            from engine.evaluation.score import score

            scored = score(chosen.run, DataConfig.from_json(chosen.data))
            folder = str(scored.folder) if scored.folder else None
            print(dumps({"summary": scored.summary, "folder": folder, "problem": scored.problem}))
        elif chosen.command == "export":
            from engine.evaluation.export import export

            if left_out := export(chosen.run, chosen.folder):
                print(f"Note: {left_out}", file=sys.stderr)
        elif chosen.command == "fuse":
            from engine.evaluation.fuse import fuse

            print(dumps(asdict(fuse(chosen.runs, chosen.folder, json.loads(chosen.about)))))
        else:
            from engine.evaluation.embed import embed

            embed(chosen.run, chosen.images, chosen.folder)
        return 0
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        if not is_full(error):
            raise
        print("Error: The disk is full, or the file size limit was reached: free some space.", file=sys.stderr)
        return 2


def _train(run: Path) -> int:
    """Train `run`, and whatever happens, say in its events how it ended."""
    config = RunConfig.load(run / run_files.CONFIG)
    main = os.environ.get("RANK", "0") == "0"  # of several processes on one run, one writes
    events = EventWriter(run / run_files.EVENTS if main else Path(os.devnull))
    try:
        from engine.training.loop import train  # imports torch: seconds
        from engine.training.stopping import StopRequest

        logging.getLogger().setLevel(logging.ERROR)  # open_clip reports on the root logger
        stop = StopRequest()
        stop.listen()
        if train(run, config, events, stop) == "stopped":
            events.write(RunEnded("stopped"))
        return 0
    except Exception as error:
        reason = explain(error, config)
        print(f"Error: {reason.message}", file=sys.stderr)
        if reason.kind == "error":
            traceback.print_exc()
        events.write(RunEnded("failed", reason))
        return 2 if reason.kind == "usage" else 1


def explain(error: Exception, config: RunConfig) -> EndReason:
    """Why a run failed: kind, a sentence for the user, its setting, and a traceback where the fault may be ours."""
    train = config.train
    batch = train.ids_per_batch * train.images_per_id
    trace, setting = None, ""
    if isinstance(error, UserError):
        kind, message, setting = "usage", str(error), error.setting
    elif isinstance(error, LossNotFinite):
        # Nothing was learnt before step 0: no learning rate is to blame.
        advice, setting = (FIRST_STEP, "train.precision") if error.step == 0 else (LATER_STEP, error.rate)
        kind, message = "nan", f"Training failed: {error}. {advice}"
    elif type(error).__name__ == "OutOfMemoryError":  # torch's, which may not have been imported
        kind = "out_of_memory"
        shape = f"{train.ids_per_batch} identities x {train.images_per_id} images"
        way_out, setting = _what_would_fit(config)
        message = f"out of GPU memory with a batch of {batch} ({shape}). {way_out}"
    elif is_full(error):
        kind, message = "disk", "The disk is full: free some space, then resume the run with `handreid resume`."
    else:
        kind, message = "error", f"{type(error).__name__}: {error}"
        trace = "".join(traceback.format_exception(error))
    return EndReason(kind, message, setting, trace)


def _what_would_fit(config: RunConfig) -> tuple[str, str]:
    """A sentence and its setting. Activations take most memory and grow with the batch: half is a safe next try."""
    train = config.train
    if train.ids_per_batch > 2:
        return f"Half of it should fit: {max(2, train.ids_per_batch // 2)} identities.", "train.ids_per_batch"
    if train.images_per_id > 2:
        return f"Half of it should fit: {max(2, train.images_per_id // 2)} images of each.", "train.images_per_id"
    return "That is the smallest batch: use a GPU with more free memory, or a smaller model.", "model.name"


if __name__ == "__main__":
    sys.exit(main())
