"""The sizes of the parts of Live, set by keys or by dragging a border; remembered for all histories."""

from __future__ import annotations

from textual import events
from textual.containers import Grid

from handreid_tui.ui.chart.widget import Chart
from handreid_tui.ui.page import Page
from handreid_tui.ui.screens.live.log_view import LogView
from handreid_tui.ui.screens.live.run_list import RunList

LIST = (20, 100)  # least and most columns of the list of runs
LOG = (3, 60)  # rows of the log
MOST_COLUMNS = 4  # of charts
LOWEST_CHART = 8  # rows; where there are more charts than fit, the grid scrolls


class Sizes:
    """Sets widths, heights and columns; 0 leaves a size to the style sheet."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._list = self._log = self._columns = 0
        self._dragged = ""

    def recall(self) -> None:
        """Take over what was remembered."""
        self._list = self._page.remembered("view list", 0)
        self._log = self._page.remembered("view log", 0)
        self._columns = self._page.remembered("view columns", 0)
        self.apply()

    def apply(self) -> None:
        """Set the sizes; on a narrow terminal the style sheet decides."""
        narrow = self._page.has_class("-narrow")
        runs, log, grid = (self._page.query_one(kind) for kind in (RunList, LogView, Grid))
        for styles, rule, value in ((runs.styles, "width", self._list), (log.styles, "height", self._log)):
            if value and not narrow:
                setattr(styles, rule, value)
            else:
                styles.clear_rule(rule)
        charts = len(self._page.query(Chart))
        if narrow or not (self._columns or charts != 4):
            for rule in ("grid_size_columns", "grid_size_rows", "grid_rows", "overflow_y"):
                grid.styles.clear_rule(rule)
            return
        columns = min(charts, self._columns or (2 if charts < 7 else 3)) or 1
        rows = -(-charts // columns)
        height = max(LOWEST_CHART, grid.size.height // rows)
        grid.styles.grid_size_columns, grid.styles.grid_size_rows = columns, rows
        grid.styles.grid_rows = f"{height}"
        grid.styles.overflow_y = "auto"

    def widen_list(self, by: int) -> None:
        self._set_list(self._page.query_one(RunList).outer_size.width + by)

    def heighten_log(self, by: int) -> None:
        self._set_log(self._page.query_one(LogView).outer_size.height + by)

    def next_columns(self) -> int:
        """One more column of charts, one after the most; how many there are now."""
        grid = self._page.query_one(Grid)
        self._columns = (grid.styles.grid_size_columns or 2) % MOST_COLUMNS + 1
        self._page.remember("view columns", self._columns)
        self.apply()
        return self._columns

    def _set_list(self, width: int) -> None:
        self._list = max(LIST[0], min(LIST[1], self._page.size.width - 30, width))
        self._page.remember("view list", self._list)
        self.apply()

    def _set_log(self, height: int) -> None:
        self._log = max(LOG[0], min(LOG[1], self._page.size.height - 12, height))
        self._page.remember("view log", self._log)
        self.apply()

    # --- dragging the right border of the list, or the upper one of the log

    def grab(self, event: events.MouseDown) -> None:
        runs, log = self._page.query_one(RunList), self._page.query_one(LogView)
        if self._page.has_class("-narrow"):
            return
        if event.screen_x == runs.region.right - 1 and runs.region.y <= event.screen_y < runs.region.bottom:
            self._dragged = "list"
            runs.capture_mouse()
        elif log.display and event.screen_y == log.region.y:
            self._dragged = "log"
            log.capture_mouse()

    def drag(self, event: events.MouseMove) -> None:
        if self._dragged == "list":
            self._set_list(event.screen_x - self._page.query_one(RunList).region.x + 1)
        elif self._dragged == "log":
            self._set_log(self._page.query_one(LogView).region.bottom - event.screen_y)

    def release(self) -> None:
        if self._dragged:
            self._page.query_one(RunList if self._dragged == "list" else LogView).release_mouse()
            self._dragged = ""
