"""What the tests of the terminal UI share: a history to look at, an open app, and what is on its screen."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.app import App
from textual.pilot import Pilot

from engine.contract import run_files
from handreid_tui.runs import directory
from handreid_tui.runs.meta import Meta
from handreid_tui.settings import Places
from handreid_tui.ui.app import HandreidApp
from handreid_tui.ui.preferences import Remembered
from tests.support.planted_runs import clusters, identities, plant
from tests.support.run_files import Trainer, append, make_run

SPREADS = {"ce": 1.4, "ce_triplet": 1.0, "ce_arcface": 1.1}

TRAINER = """
import json, signal, sys, time
from pathlib import Path
from engine.contract.events import EventWriter, parse

def event(kind, **fields):
    return parse(json.dumps({"kind": kind, **fields}))

run, stopping = Path(sys.argv[1]), []
signal.signal(signal.SIGTERM, lambda *_: stopping.append(1))
config = json.loads((run / "config.json").read_text())
place = run / "step"
first = int(place.read_text()) if place.exists() else 0
events = EventWriter(run / "events.jsonl")
told = dict(dataset="synthetic", subset="dorsal-right", gallery="own", fingerprint="f00d" * 4, device="cpu")
events.write(event("started", epochs=4, steps=40, resumed_from=first or None, combo=config["combo"], **told))
print("the trainer says hello", flush=True)
for step in range(first, 40):
    if stopping:
        place.write_text(str(step))
        events.write(event("ended", status="stopped", reason=None, summary={}))
        sys.exit(0)
    time.sleep(0.2 if config["combo"] == "ce" and not first else 0.02)  # time enough to stop the first one
    terms = {term: 2 / (step + 1) for term in config["loss"]}
    rates = dict(lr=1e-3, images_per_s=500.0)
    events.write(event("step", step=step, epoch=step // 10 + 1, total=4 / (step + 1), terms=terms, **rates))
events.write(event("evaluation", stage="final", step=40, epoch=4, rank1=0.875, mAP=0.9))
events.write(event("ended", status="finished", reason=None, summary={"rank1": 0.875, "mAP": 0.9}))
"""


def write_history(folder: Path, seeds: int = 2) -> Places:
    """Six finished runs with pictures, one that failed and one that was stopped; made some hours ago."""
    runs = folder / "runs"
    identity = identities(count=8, images=4)
    number = 0
    for seed in range(seeds):
        for combo, spread in SPREADS.items():
            number += 1
            features = clusters(identity, spread, seed + 1)
            before = {"rank1": 0.4, "mAP": 0.5}
            run = plant(runs, number, combo, features, identity, seed, before, images=folder / "images")
            report = {key: run.summary[key] for key in ("rank1", "rank5", "rank10", "mAP", "mINP", "eer")}
            append(run.directory, {"kind": "evaluation", "stage": "before", "step": 0} | before)
            append(run.directory, {"kind": "evaluation", "stage": "final", "step": 40} | report)
    failed = make_run(runs, "ce_triplet", 7)
    Trainer(failed).start().steps(0, 12).end("failed", {"kind": "nan", "message": "The loss turned NaN at step 12."})
    stopped = make_run(runs, "ce_arcface", 8, tags=["paper"], note="once more with margin 0.5")
    Trainer(stopped).start().steps(0, 15).end("stopped")
    for path in runs.iterdir():
        if path.is_dir():
            _tick(path / run_files.EVENTS)
            hours = 60 - directory.number(path)
            Meta(
                tags=Meta.read(path).tags,
                note=Meta.read(path).note,
                created=time.time() - hours * 3600 - 99,
            ).write(path)
    for path in (failed, stopped):
        (path / run_files.LOG).write_text("epoch 1\n\x1b[31mepoch 2\x1b[0m\n")
        (path / run_files.EXIT).write_text('{"status": 0}')
    return Places(folder / "runs.db", runs)


def _tick(events: Path) -> None:
    """Let every event come half a second after the one before, however fast they were written."""
    lines = [json.loads(line) | {"t": 1.7e9 + n / 2} for n, line in enumerate(events.read_text().splitlines())]
    events.write_text("".join(json.dumps(line) + "\n" for line in lines))


@asynccontextmanager
async def opened(
    places: Places, page: str = "launch", size: tuple[int, int] = (160, 48), theme: str = "handreid-dark"
) -> AsyncIterator[tuple[HandreidApp, Pilot[Any]]]:
    """The app on a page, with the history read."""
    state = places.db.parent / f"ui-{secrets.token_hex(4)}.json"
    before = Remembered(state, places.runs)
    before.put("app", "page", page)
    before.put("app", "theme", theme)
    before.write()
    app = HandreidApp(places, state)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.snapshot.loaded)
        await pilot.pause(0.3)
        yield app, pilot


def has_loaded(app: App[Any]) -> bool:
    """Whether the app has read the history."""
    return isinstance(app, HandreidApp) and app.snapshot.loaded


async def until(pilot: Pilot[Any], condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait until `condition()` is true, and return it."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen; on the screen:\n" + text_of(pilot.app)
        await pilot.pause(0.05)
    return value


async def shows(pilot: Pilot[Any], *texts: str, seconds: float = 20.0) -> None:
    """Wait until all these texts are on the screen."""
    await until(pilot, lambda: all(text in text_of(pilot.app) for text in texts), seconds)


def text_of(app: Any) -> str:
    """The characters on the screen."""
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


def picture_of(app: HandreidApp) -> str:
    """The characters on the screen, without what differs from run to run: the machine's load, folders, dates."""
    text = re.sub(r"(\d+-core )?CPU +\d+% ( *\d+/\d+ GB)?", lambda found: " " * len(found[0]), text_of(app))
    text = re.sub(r"GPU\d.*? GB", lambda found: " " * len(found[0]), text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "YYYY-MM-DD HH:MM", text)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
