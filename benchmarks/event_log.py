"""What it costs to log a point, beside TensorBoard, MLflow and W&B; and what logging adds to a training step.

    python benchmarks/event_log.py [--python PATH] [--rounds 3]

PATH: an interpreter that has torch and the rivals (pip install torch tensorboard mlflow wandb); a rival that cannot be
imported is left out. Each one logs the same steps of five metrics from a process of its own that has imported torch
already, as a trainer has. In turns, `--rounds` times; each rival's store is made in a first round that does not count.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from engine.contract import run_files

METRICS = ("total", "ce", "triplet", "lr", "images_per_s")
STEPS = {"handreid": 4000, "tensorboard": 4000, "wandb": 2000, "mlflow, log_batch": 2000, "mlflow, log_metric": 40}
LARGEST_BATCH = 1000  # metrics that MLflow takes in one call
Log = Callable[[int], None]


def handreid(folder: Path) -> tuple[Log, Callable[[], None]]:
    from engine.contract.events import EventWriter, TrainingStep

    events = EventWriter(folder / run_files.EVENTS)

    def log(step: int) -> None:
        terms = {"ce": 2.5 + step, "triplet": 0.25}
        events.write(TrainingStep(step=step, epoch=1, total=2.75 + step, terms=terms, lr=1e-3, images_per_s=612.5))

    return log, events.close


def tensorboard(folder: Path) -> tuple[Log, Callable[[], None]]:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(folder)

    def log(step: int) -> None:
        for name in METRICS:
            writer.add_scalar(name, 0.25 + step, step)

    return log, writer.close


def wandb(folder: Path) -> tuple[Log, Callable[[], None]]:
    import wandb

    settings = wandb.Settings(mode="offline", silent=True, disable_git=True)
    run = wandb.init(project="benchmark", dir=str(folder), settings=settings)
    return lambda step: run.log(dict.fromkeys(METRICS, 0.25 + step), step=step), run.finish


def mlflow_run(folder: Path) -> tuple[object, str]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    found = client.get_experiment_by_name("benchmark")
    experiment = found.experiment_id if found else client.create_experiment("benchmark")
    return client, client.create_run(experiment).info.run_id


def mlflow_metric(folder: Path) -> tuple[Log, Callable[[], None]]:
    client, run = mlflow_run(folder)

    def log(step: int) -> None:
        for name in METRICS:
            client.log_metric(run, name, 0.25 + step, step=step)

    return log, lambda: client.set_terminated(run)


def mlflow_batch(folder: Path) -> tuple[Log, Callable[[], None]]:
    """Points collected, and sent as many at once as MLflow takes; the first step at once, to be a point."""
    from mlflow.entities import Metric

    client, run = mlflow_run(folder)
    waiting: list[Metric] = []

    def send() -> None:
        client.log_batch(run, metrics=waiting)
        waiting.clear()

    def log(step: int) -> None:
        waiting.extend(Metric(name, 0.25 + step, int(1000 * time.time()), step) for name in METRICS)
        if not step or len(waiting) >= LARGEST_BATCH:
            send()

    def close() -> None:
        send()
        client.set_terminated(run)

    return log, close


LOGGERS = {
    "handreid": handreid, "tensorboard": tensorboard, "wandb": wandb, "mlflow, log_batch": mlflow_batch,
    "mlflow, log_metric": mlflow_metric,
}  # fmt: skip


def measure(name: str, folder: Path) -> dict[str, float]:
    """In this process: seconds from the import to the first point; microseconds a point after it."""
    import torch  # noqa: F401  a trainer has it already

    began = time.perf_counter()
    log, close = LOGGERS[name](folder)
    log(0)
    first = time.perf_counter()
    for step in range(1, STEPS[name] + 1):
        log(step)
    logged = time.perf_counter()
    close()
    points = STEPS[name] * len(METRICS)
    written = time.perf_counter()
    return {"start": first - began, "call": 1e6 * (logged - first) / points, "whole": 1e6 * (written - first) / points}


def compare_loggers(rival_python: str, rounds: int) -> None:
    results: dict[str, list[dict[str, float]]] = {name: [] for name in LOGGERS}
    missing = set()
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds + 1):
            for name in [name for name in LOGGERS if name not in missing]:
                place = Path(folder) / name.replace(", ", "-")
                place.mkdir(exist_ok=True)
                python = sys.executable if name == "handreid" else rival_python
                # -P: our `coverage.py` and `history.py` are not the packages that a rival imports
                command = [python, "-P", __file__, "--logger", name, "--folder", str(place)]
                done = subprocess.run(command, capture_output=True, text=True, cwd=place)
                if done.returncode:
                    missing.add(name)
                    print(f"{name}: not measured ({(done.stderr.strip().splitlines() or ['failed'])[-1]})")
                elif turn:
                    results[name].append(json.loads(done.stdout.strip().splitlines()[-1]))
    print(f"{'':<20}{'us a point':>12}{'/ ours':>9}{'until written':>15}{'/ ours':>9}{'start, ms':>12}{'/ ours':>9}")
    ours = results["handreid"]
    for name in [name for name in LOGGERS if name not in missing]:
        shown = ""
        for key, width, factor in (("call", 12, 1), ("whole", 15, 1), ("start", 12, 1000)):
            pairs = zip(results[name], ours, strict=True)
            times = statistics.median(theirs[key] / own[key] for theirs, own in pairs)
            shown += f"{factor * statistics.median(each[key] for each in results[name]):>{width}.1f}{times:>9.1f}"
        print(f"{name:<20}{shown}", flush=True)


def overhead(device: str, steps: int, rounds: int) -> None:
    """Blocks of training steps with the Meter and without, in turns, on the same model."""
    from common import interleaved, make_photos, ratio
    from training import OurLoop, configuration, timed

    from engine.training.setup import prepare

    class Silent:
        """In the Meter's place: reads nothing back, writes nothing."""

        def add(self, *ignored: object) -> None: ...

        def flush(self) -> None: ...

    class Timed:
        """The Meter with a stop-watch: on a CPU what it takes, without the noise of the steps beside it."""

        def __init__(self, meter: object) -> None:
            self.meter, self.seconds = meter, 0.0

        def add(self, *values: object) -> None:
            start = time.perf_counter()
            self.meter.add(*values)
            self.seconds += time.perf_counter() - start

        def flush(self) -> None:
            start = time.perf_counter()
            self.meter.flush()
            self.seconds += time.perf_counter() - start

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["HANDREID_CACHE"] = str(folder / "cache")
        photos = make_photos(folder, 288, (64, 64), None)
        options = argparse.Namespace(device=device, threads=1)
        loop = OurLoop(prepare(configuration(photos, "handreid-tiny", options)), folder / run_files.EVENTS)
        meter, silent = Timed(loop.meter), Silent()
        loop.train(10)  # warm-up

        def block(with_meter: bool) -> float:
            loop.meter = meter if with_meter else silent  # type: ignore[assignment]
            return timed(loop.train, steps, loop.device)

        methods = {"off": lambda: block(False), "on": lambda: block(True), "off again": lambda: block(False)}
        times = interleaved(methods, rounds)
    step = statistics.median(times["on"]) / steps
    print(f"\nlogging on a training step of handreid-tiny, batch 64, {device}, 1 thread: step {1000 * step:.1f} ms")
    print(f"time with Meter / without, {rounds} blocks of {steps} steps in turns: {ratio(times['off'], times['on'])}")
    print(f"time without / without, the noise of this figure: {ratio(times['off'], times['off again'])}")
    if device == "cpu":  # on a GPU its time would hold that of waiting for the steps
        print(
            f"time inside the Meter: {1e6 * meter.seconds / steps / rounds:.0f} us a step, "
            f"{meter.seconds / sum(times['on']):.2%} of the step"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, metavar="PATH", help="interpreter with the rivals")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="of the training steps")
    parser.add_argument("--steps", type=int, default=30, help="training steps in a block")
    parser.add_argument("--logger", choices=LOGGERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)
    if options.logger:
        print(json.dumps(measure(options.logger, options.folder)))
        return
    from common import machine

    print(machine(), flush=True)
    compare_loggers(options.python, options.rounds)
    overhead(options.device, options.steps, 2 * options.rounds)


if __name__ == "__main__":
    main()
