"""The bar at the top: the pages, the devices, and how many runs go on and wait."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from handreid_tui.ui.actions import PAGES
from handreid_tui.ui.history_feed import Snapshot


class TopBar(Widget):
    """One line; it says less where there is less room."""

    DEFAULT_CSS = """
    TopBar { dock: top; height: 1; background: $panel; color: $foreground; padding: 0 1;
             link-style: none; link-style-hover: underline; link-background-hover: $panel;
             link-color: $secondary; link-color-hover: $primary; }
    """

    status: reactive[tuple[str, ...]] = reactive(("",))

    def __init__(self, page: str) -> None:
        super().__init__()
        self._page = page

    def show(self, snapshot: Snapshot) -> None:
        if snapshot.loaded:
            self.status = _summaries(snapshot)

    def render(self) -> Content:
        width = self.size.width
        pages = _pages(self._page, width)
        room = width - pages.cell_length - 2
        text = next((text for text in self.status if len(text) <= room), "")
        return Content.assemble(pages, " " * (width - pages.cell_length - len(text)), (text, "$secondary"))


def _pages(current: str, width: int) -> Content:
    parts: list[Content] = []
    if width >= 76:
        parts.append(Content.from_markup("[bold $primary]handreid[/]  "))
    for number, (page, (title, _)) in enumerate(PAGES.items(), 1):
        if page == current:
            parts.append(Content.from_markup(f"[bold reverse $primary] {number} {title} [/]"))
        else:
            name = f" {number} {title} " if width >= 56 else f" {number} "
            parts.append(Content.from_markup(f"[$secondary @click=app.go('{page}')]{name}[/]"))
    return Content.assemble(*parts)


def _summaries(snapshot: Snapshot) -> tuple[str, ...]:
    """The state of machine and queue, the longest first."""
    statuses = [run.status for run in snapshot.runs.values()]
    running = sum(status in ("running", "starting") for status in statuses)
    queued = statuses.count("queued")
    counts = [f"{running} running" if running else "", f"{queued} queued" if queued else ""]
    queue = " ".join(filter(None, counts)) or "idle"
    long = "   ".join([*(device.long for device in snapshot.devices), queue])
    short = "  ".join([*(device.short for device in snapshot.devices[:1]), queue])
    signs = [f"▶{running}" if running else "", f"◌{queued}" if queued else ""]
    return long, short, queue, " ".join(filter(None, signs))
