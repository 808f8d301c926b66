"""From Enter to the first point: the time from the start of `handreid run` to its first step event, in its parts.

    python benchmarks/start.py [--rounds 5] [--combo ce_triplet] [-- OPTION OF handreid run]...

Real starts, through command line, queue, supervisor and shim, each with a recorder: command line and trainer run
through this file, which notes the time at every mark. A first start, which draws and decodes the images where they are
not in the cache and reads every file once, does not count. Medians of the parts; they add up to about the median total.
"""

from __future__ import annotations

import os
import sys
import time

from engine.contract import run_files

MARKS = "HANDREID_START_MARKS"  # the file that the processes of one start append to


def mark(name: str) -> None:
    with open(os.environ[MARKS], "a") as file:  # noqa: PTH123  pathlib is an import of its own
        file.write(f"{time.time():.6f} {name}\n")


if __name__ == "__main__" and MARKS in os.environ:
    mark("command line: Python starts" if os.environ.get("HANDREID_START_CLI") else "trainer: Python starts")


def command_line() -> None:
    """What the program `handreid` does, with marks."""
    del os.environ["HANDREID_START_CLI"]
    import handreid_tui.cli.run as command
    from handreid_tui.__main__ import main

    mark("command line: imports")
    after(command, "plan", "command line: data and settings checked")
    main()


def trainer(run: str) -> None:
    """What `python -m engine train` does, with marks."""
    from engine.__main__ import main

    mark("trainer: settings (pydantic) imported")
    import torch  # noqa: F401

    mark("trainer: torch imported")
    import open_clip  # noqa: F401

    mark("trainer: open_clip imported, torchvision with it")
    import engine.training.loop
    import engine.training.setup
    from engine.contract.events import Event, EventWriter, as_object
    from engine.training.meter import Meter

    mark("trainer: the rest of the engine imported")
    for name, told in (
        ("open_split", "data set read and split"),
        ("open_device", "device"),
        ("build_model", "model built, weights loaded"),
        ("load_pixels", "decoded images opened"),
        ("build_optimizers", "heads and optimizers"),
    ):
        after(engine.training.setup, name, f"trainer: {told}")
    after(engine.training.loop, "prepare", "trainer: images in memory")
    after(engine.training.loop, "describe_environment", "trainer: environment described")
    after(Meter, "add", "trainer: first step")
    write = EventWriter.write

    def noting(self: EventWriter, event: Event) -> None:
        write(self, event)
        line = as_object(event)
        if line["kind"] in ("started", "evaluation", "step"):
            once(f"trainer: event {line['kind']} {line.get('stage', '')}".rstrip())

    EventWriter.write = noting  # type: ignore[method-assign]
    sys.exit(main(["train", run]))


marked: set[str] = set()


def once(name: str) -> None:
    if name not in marked:
        marked.add(name)
        mark(name)


def after(module: object, name: str, told: str) -> None:
    """Note the first return of the function `name` of a module or class."""
    function = getattr(module, name)

    def noting(*args: object, **named: object) -> object:
        result = function(*args, **named)
        once(told)
        return result

    setattr(module, name, noting)


def start_once(folder: str, words: list[str], number: int) -> list[tuple[str, float]]:
    """One start; the time of each mark in seconds since Enter, in order. The run is stopped after its first step."""
    import json
    import signal
    import subprocess
    from pathlib import Path

    marks, run_folder = Path(folder) / f"marks-{number}", Path(folder) / f"runs-{number}"
    own = {MARKS: str(marks), "HANDREID_START_CLI": "1", "HANDREID_TRAINER": __file__}
    own |= {"HANDREID_RUNS": str(run_folder), "HANDREID_DB": str(Path(folder) / "runs.db")}
    entered = time.time()
    command = [sys.executable, __file__, "run", "--detach", *words]
    subprocess.run(command, env=os.environ | own, cwd=folder, check=True, capture_output=True)
    for _ in range(6000):
        if marks.exists() and "event step" in marks.read_text():
            break
        time.sleep(0.02)
    else:
        raise SystemExit(f"No first step within two minutes: see {run_folder}.")
    run = next(run_folder.glob("0*"))
    process = json.loads((run / run_files.PROCESS).read_text())
    os.kill(process["trainer"], signal.SIGTERM)
    while not (run / run_files.EXIT).exists():
        time.sleep(0.05)
    times = [(name, float(t)) for t, _, name in (line.partition(" ") for line in marks.read_text().splitlines())]
    times.append(("run directory, queue, supervisor; shim starts", process["t"]))
    return sorted(((name, t - entered) for name, t in times), key=lambda each: each[1])


def main() -> None:
    import argparse
    import statistics
    import tempfile

    from common import machine

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--combo", default="ce_triplet")
    parser.add_argument("options", nargs="*", metavar="OPTION", help="of `handreid run`, after --")
    options = parser.parse_args()
    print(machine())
    words = ["--combo", options.combo, *options.options]
    with tempfile.TemporaryDirectory() as folder:
        starts = [start_once(folder, words, number) for number in range(options.rounds + 1)][1:]
    parts: dict[str, list[float]] = {}
    for start in starts:
        before = 0.0
        for name, t in start:
            parts.setdefault(name, []).append(t - before)
            before = t
    total = statistics.median(start[-1][1] for start in starts)
    print(f"handreid run {' '.join(words)}: Enter to the first step event {total:.2f} s, {options.rounds} starts")
    print(f"{'until':<60}{'ms':>7}{'share':>8}")
    for name, each in parts.items():
        print(f"{name:<60}{1000 * statistics.median(each):>7.0f}{statistics.median(each) / total:>8.1%}")


if __name__ == "__main__":
    if MARKS not in os.environ:
        main()
    elif "HANDREID_START_CLI" in os.environ:
        command_line()
    else:
        trainer(sys.argv[1])
