"""Take the pictures of the terminal UI in docs/screenshots/, from a real finished history.

    python docs/screenshots.py --db runs.db --runs runs      dark and light, an SVG a page

The history should hold finished runs of several combinations and seeds; `handreid run` makes one.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from terminal_svg import app_svg

from handreid_tui.settings import Places
from handreid_tui.ui.app import HandreidApp
from handreid_tui.ui.preferences import Remembered

SIZE = (150, 42)
SMALLER = {"retrieval": (104, 31)}  # a picture of pictures: every cell of it has a colour of its own
KEYS = {  # what to press on a page before its picture
    "launch": ["j", "j", "space", "j", "space"],
    "live": [],
    "runs": ["right", "right", "right", "right"],
    "compare": [],
    "retrieval": [],
}
SMOOTHED = 0.9


async def take(places: Places, page: str, theme: str, file: Path) -> None:
    """The picture of one page."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "ui.json"
        before = Remembered(state, places.runs)
        before.put("app", "page", page)
        before.put("app", "theme", theme)
        before.put("live", "smoothing", SMOOTHED)
        before.write()
        app = HandreidApp(places, state)
        async with app.run_test(size=SMALLER.get(page, SIZE)) as pilot:
            while not app.snapshot.loaded:
                await pilot.pause(0.1)
            await pilot.pause(3.0)
            await pilot.press(*KEYS[page])
            await pilot.pause(3.0)
            file.write_text(app_svg(app))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--db", type=Path, default=Path("runs.db"))
    arguments.add_argument("--runs", type=Path, default=Path("runs"))
    arguments.add_argument("--out", type=Path, default=Path(__file__).parent / "screenshots")
    chosen = arguments.parse_args()
    chosen.out.mkdir(exist_ok=True)
    for page in KEYS:
        for theme in ("dark", "light"):
            file = chosen.out / f"{page}-{theme}.svg"
            asyncio.run(take(Places(chosen.db, chosen.runs), page, f"handreid-{theme}", file))
            print(file)


if __name__ == "__main__":
    main()
