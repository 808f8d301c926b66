"""Retrieval: a query and its best ten of the gallery as pictures, failures first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from engine.contract import run_files
from engine.contract.errors import UserError
from handreid_tui.compare.evaluation import Evaluation
from handreid_tui.text.numbers import percent
from handreid_tui.text.run_labels import run_labels
from handreid_tui.ui.background import Latest
from handreid_tui.ui.dialogs import Prompt
from handreid_tui.ui.history_feed import Snapshot
from handreid_tui.ui.keymap import named
from handreid_tui.ui.page import Page
from handreid_tui.ui.screens.retrieval.pair import PairView
from handreid_tui.ui.screens.retrieval.queries import SHOWN, Answer, Pair, answer, evaluation_of, pair, shared_prefix
from handreid_tui.ui.screens.retrieval.real_pixels import pixel_widget
from handreid_tui.ui.screens.retrieval.tile import Tile

if TYPE_CHECKING:
    from handreid_tui.history import RunRow

SHOWN_NARROW = 6  # tiles that fit at 80 columns
EMPTY = "No finished run yet. Press 1 to launch one: its queries and matches appear here."


@dataclass(frozen=True)
class RetrievalRequest:
    """What to show: a query, and a page of the gallery with `shown` images."""

    run: Path
    trial: int
    place: int
    identity: str
    page: int
    shown: int


class Retrieval(Page):
    """Looks at single queries of a finished run."""

    page = "retrieval"
    BINDING_GROUP_TITLE = "Retrieval"
    BINDINGS: ClassVar[list[BindingType]] = named(
        "retrieval",
        [
            Binding("enter", "open", "Pair", tooltip="Query and selected image at full size, zoomed together"),
            Binding("n,j", "move(1)", "Next", key_display="n", tooltip="Next query, failures first"),
            Binding("N,k", "move(-1)", "Previous", key_display="N", tooltip="Previous query"),
            Binding("left,h", "choose(-1)", "Choose", key_display="←→", tooltip="Select the image to the left"),
            Binding("right,l", "choose(1)", "Select the image to the right", show=False),
            Binding("up", "choose_row(-1)", "Select the image above", show=False),
            Binding("down", "choose_row(1)", "Select the image below", show=False),
            Binding("g,home", "first", "Worst", show=False, tooltip="Back to the worst query"),
            Binding("slash", "filter", "Identity", key_display="/", tooltip="Only queries of one identity"),
            Binding("t", "trial", "Trial", tooltip="Next trial (another random gallery)"),
            Binding("r", "run(-1)", "Run", tooltip="An earlier finished run"),
            Binding("R", "run(1)", "Later run", show=False, tooltip="A later finished run"),
            Binding("right_square_bracket,pagedown", "page(1)", "More", key_display="]", tooltip="Next gallery page"),
            Binding("left_square_bracket,pageup", "page(-1)", "Prev page", show=False, tooltip="Previous gallery page"),
            Binding("Y", "copy_identity", "Copy identity", show=False, tooltip="Copy the query's identity"),
            Binding("y", "copy", "Copy path", show=False, tooltip="Copy the path of the query's image"),
            Binding("escape", "all", "All", show=False, tooltip="Show all identities"),
        ],
    )
    DEFAULT_CSS = """
    Retrieval #line { height: 1; padding: 0 2; text-wrap: nowrap; text-overflow: ellipsis; }
    Retrieval #answer { height: 1fr; }
    Retrieval #query { width: 2fr; height: 1fr; }
    Retrieval #query Tile { max-height: 28; }
    Retrieval #query Static { height: auto; padding: 0 1; color: $secondary; }
    Retrieval #gallery { width: 5fr; height: 1fr; grid-size: 5 2; }
    Retrieval.-normal #gallery { grid-size: 4 3; }
    Retrieval.-narrow #gallery { grid-size: 3 2; width: 3fr; }
    Retrieval.-narrow #query { width: 26; }
    Retrieval.-short #query Static { display: none; }
    Retrieval.-narrow #line { height: 2; text-wrap: wrap; }
    Retrieval #empty { height: 1fr; content-align: center middle; color: $secondary; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._snapshot = Snapshot()
        self._run = 0
        self._trial = self._place = self._page = 0
        self._chosen = 0  # the tile under the cursor
        self._pixel_widget: list[type[Widget] | None] = []  # the terminal's, once it was asked
        self._identity = ""
        self._answer: Answer | None = None
        self._reader: Latest[RetrievalRequest, Answer | None] = Latest(self, _read, self._draw, self._cannot)

    def body(self) -> ComposeResult:
        with Vertical():
            yield Static(id="line")
            yield Static("Loading …", id="empty")
            with Horizontal(id="answer"):
                with Vertical(id="query"):
                    yield Tile("query")
                    yield Static()
                    yield Tile("none", id="match")
                with Grid(id="gallery"):
                    for _ in range(SHOWN):
                        yield Tile()

    def on_mount(self) -> None:
        self._run = self.remembered("run", 0)
        self.query_one("#answer").display = False

    def open_runs(self, numbers: list[int], seeds: Sequence[int] = ()) -> None:
        """Show the queries of the first of these runs."""
        if numbers[0] != self._run:
            self._run, self._place, self._trial, self._identity = numbers[0], 0, 0, ""
            self._answer = None
            self.remember("run", self._run)
            if self._snapshot.loaded:
                self.show_runs(self._snapshot, None)

    def _finished(self) -> list[int]:
        return [n for n, run in self._snapshot.runs.items() if run.status == "finished" and not run.archived]

    def show_runs(self, snapshot: Snapshot, changed: frozenset[int] | None) -> None:
        self._snapshot = snapshot
        finished = self._finished()
        if self._run not in finished:
            if not finished:
                self._show_empty(EMPTY)
                return
            self._run = finished[-1]
            self._answer = None
        if self._answer is None or changed is None or self._run in changed:
            self._ask()

    def show_nothing(self, why: str) -> None:
        self._show_empty(why)

    def _ask(self) -> None:
        run = self._snapshot.runs.get(self._run)
        if run:
            self._reader.ask(self._request(run))

    def _request(self, run: RunRow) -> RetrievalRequest:
        shown = SHOWN_NARROW if self.has_class("-narrow") else SHOWN
        return RetrievalRequest(run.path, self._trial, self._place, self._identity, self._page, shown)

    def _draw(self, found: Answer | None) -> None:
        run = self._snapshot.runs.get(self._run)
        if run is None:
            return
        self._answer = found
        if found is None:
            self._show_empty(f"No query of run {run.number} matches {self._identity!r}: esc shows all.")
            return
        self._place = found.place
        self.query_one("#empty").display = False
        self.query_one("#answer").display = True
        self.query_one("#line", Static).update(_headline(self._label(run), found, self._identity))
        self._show_tiles(found)

    def _show_tiles(self, found: Answer) -> None:
        query, true, *tiles = self.query(Tile)
        shared = shared_prefix([shot.identity for shot in (found.query, *found.gallery)])
        query.show(found.query, "query", "query", found.query.identity.removeprefix(shared))
        result = "no match in the gallery" if not found.rank else f"first match at rank {found.rank}"
        self.query_one("#query Static", Static).update(Content(f"{found.query.name}\n{result}\nAP {percent(found.ap)}"))
        if found.match:
            title, name = f"✓ {found.rank} {found.match.score:.3f}", found.match.identity.removeprefix(shared)
            true.show(found.match, title, "right", name)
        else:
            true.show(None, "", "none")
        self._chosen = min(self._chosen, len(found.gallery) - 1)
        for n, tile in enumerate(tiles):
            if n < len(found.gallery):
                shot = found.gallery[n]
                title = f"{'✓' if shot.match else '✗'} {found.before + n + 1} {shot.score:.3f}"
                kind, name = "right" if shot.match else "wrong", shot.identity.removeprefix(shared)
                tile.show(shot, title, kind, name, n == self._chosen)
            else:
                tile.show(None, "", "none")

    def _label(self, run: RunRow) -> str:
        runs = self._snapshot.runs
        labels = run_labels((runs[n] for n in self._finished() if n in runs), self._snapshot.settings)
        return f"run {run.number} {labels.get(run.number, run.combo)}"

    def _show_empty(self, text: str) -> None:
        self.query_one("#answer").display = False
        self.query_one("#line", Static).update("")
        empty = self.query_one("#empty", Static)
        empty.display = True
        empty.update(Content(text))

    def _cannot(self, text: str) -> None:
        self._answer = None
        self._show_empty(f"Run {self._run}: {text}\nr shows another run.")

    # --- actions

    def action_move(self, step: int) -> None:
        self._place += step
        self._page = self._chosen = 0
        self._ask()

    def action_page(self, step: int) -> None:
        self._page += step
        self._chosen = 0
        self._ask()

    def action_choose(self, step: int) -> None:
        if self._answer:
            self._chosen = max(0, min(len(self._answer.gallery) - 1, self._chosen + step))
            for n, tile in enumerate(self.query("#gallery Tile")):
                tile.set_class(n == self._chosen, "chosen")

    def action_choose_row(self, step: int) -> None:
        columns = self.query_one("#gallery").styles.grid_size_columns or 1
        if self._answer and 0 <= self._chosen + step * columns < len(self._answer.gallery):
            self.action_choose(step * columns)

    def action_open(self) -> None:
        if self._answer:
            self._open_pair(self._answer.before + self._chosen + 1)

    @on(Tile.Opened)
    def _clicked(self, event: Tile.Opened) -> None:
        if self._answer and event.tile.id == "match":
            self._open_pair(0)
        elif self._answer:
            tiles = list(self.query("#gallery Tile"))
            if event.tile in tiles:
                self.action_choose(tiles.index(event.tile) - self._chosen)
            self.action_open()

    def _open_pair(self, at: int) -> None:
        """at: the place in the ranking, 0 for the first true match."""
        run = self._snapshot.runs.get(self._run)
        if run is None:
            return
        request = self._request(run)
        if not self._pixel_widget:
            self._pixel_widget.append(pixel_widget(self.app))

        def closed(seen: int | None) -> None:
            if seen:
                self._page, self._chosen = divmod(seen - 1, request.shown)
                self._ask()

        view = PairView(lambda place: _read_pair(request, place), at, self._pixel_widget[0])
        self.app.push_screen(view, closed)

    def action_copy_identity(self) -> None:
        if self._answer:
            self.app.copy_to_clipboard(self._answer.query.identity)
            self.say("Copied the identity.")

    def action_first(self) -> None:
        self._place = 0
        self._ask()

    def action_trial(self) -> None:
        if self._answer:
            self._trial = (self._trial + 1) % self._answer.trials
            self._place = 0
            self._ask()

    def action_run(self, step: int) -> None:
        finished = self._finished()
        if self._run in finished:
            self._run = finished[(finished.index(self._run) + step) % len(finished)]
            self.remember("run", self._run)
            self._place = self._trial = 0
            self._ask()

    def action_filter(self) -> None:
        def answered(text: str | None) -> None:
            if text is not None:
                self._identity, self._place = text.strip(), 0
                self._ask()

        self.app.push_screen(Prompt("Queries of", self._identity, "an identity, or a part of a file name"), answered)

    def action_all(self) -> None:
        if self._identity:
            self._identity, self._place = "", 0
            self._ask()

    def action_copy(self) -> None:
        if self._answer:
            self.app.copy_to_clipboard(str(self._answer.query.path))
            self.say("Copied the path.")


def _evaluation(run: Path) -> Evaluation:
    try:
        stamp = (run / run_files.EVALUATION / run_files.IMAGES).stat().st_mtime
    except OSError:
        raise UserError("its evaluation no longer exists.") from None
    return evaluation_of(run, stamp)


def _read(request: RetrievalRequest) -> Answer | None:
    evaluation = _evaluation(request.run)
    return answer(
        evaluation, request.trial % len(evaluation.trials), request.place, request.identity, request.page, request.shown
    )


def _read_pair(request: RetrievalRequest, at: int) -> Pair:
    evaluation = _evaluation(request.run)
    return pair(evaluation, request.trial % len(evaluation.trials), request.place, request.identity, at)


def _headline(label: str, found: Answer, identity: str) -> Content:
    good = found.rank == 1
    return Content.assemble(
        ("✓ " if good else "✗ ", "$success" if good else "$error"),
        (label, "bold"),
        (f"  query {found.place + 1} of {found.count}, {found.failures} failures first", "$secondary"),
        (f" · first match at rank {found.rank}" if found.rank else " · no match", "$foreground"),
        (f", AP {percent(found.ap)}", "$foreground"),
        (f" · trial {found.trial + 1} of {found.trials}", "$secondary"),
        (f" · identity {identity}" if identity else "", "$accent"),
    )


def make() -> Retrieval:
    return Retrieval()
