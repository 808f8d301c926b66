"""A case of `handreid identify`: a photo of the unknown person beside the candidates, as Retrieval shows a query."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from handreid_tui.casework.report import basis, lead
from handreid_tui.text.streams import readable
from handreid_tui.ui.background import Latest
from handreid_tui.ui.key_bar import KeyBar
from handreid_tui.ui.keymap import named
from handreid_tui.ui.screens.retrieval.case_pages import CasePage, CaseRequest, case_page, case_pair, strength
from handreid_tui.ui.screens.retrieval.pair import PairView
from handreid_tui.ui.screens.retrieval.queries import SHOWN
from handreid_tui.ui.screens.retrieval.real_pixels import pixel_widget
from handreid_tui.ui.screens.retrieval.tile import Tile

SHOWN_NARROW = 6


class CandidateTile(Tile):
    """A reference of a candidate; below it the cosine, the LR and the rate of false candidates, as much as fits."""

    def _label(self) -> None:
        room = self.size.width - 4 if self.size.width else len(self._identity)
        parts = self._identity.split(", ")
        texts = (", ".join(parts[:count]) for count in (3, 2, 1))
        self.border_subtitle = Content(next((text for text in texts if len(text) <= room), ""))


class CaseView(ModalScreen[None]):
    """Looks at one case. It decides nothing: no colour says right or wrong."""

    BINDING_GROUP_TITLE = "Case"
    BINDINGS: ClassVar[list[BindingType]] = named(
        "case",
        [
            Binding("escape,q", "close", "Close", key_display="esc"),
            Binding("enter", "pair", "Pair", tooltip="Photo and candidate at full size, zoomed together"),
            Binding("left,h", "choose(-1)", "Choose", key_display="←→", tooltip="Select the candidate to the left"),
            Binding("right,l", "choose(1)", "Select the candidate to the right", show=False),
            Binding("n", "photo(1)", "Photo", tooltip="Next photo of the unknown person"),
            Binding("N", "photo(-1)", "Previous photo", show=False),
            Binding("right_square_bracket,pagedown", "page(1)", "More", key_display="]", tooltip="More candidates"),
            Binding("left_square_bracket,pageup", "page(-1)", "Prev page", show=False, tooltip="Previous candidates"),
            Binding("question_mark", "app.help", "Help", show=False),
        ],
    )
    DEFAULT_CSS = """
    CaseView { background: $background; }
    CaseView Static { height: auto; padding: 0 2; }
    CaseView #why { color: $warning; max-height: 3; }
    CaseView #lead { text-style: bold; max-height: 3; }
    CaseView #candidate { max-height: 2; }
    CaseView #basis, CaseView #facts { color: $secondary; max-height: 3; }
    CaseView #photo { width: 2fr; height: 1fr; }
    CaseView #photo Tile { max-height: 28; }
    CaseView #candidates { width: 5fr; height: 1fr; grid-size: 5 2; }
    CaseView.-normal #candidates { grid-size: 4 3; }
    CaseView.-narrow #candidates { grid-size: 3 2; width: 1fr; }
    CaseView.-narrow #photo { width: 26; }
    CaseView.-short #basis { display: none; }
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._photo = self._page = self._chosen = 0
        self._shown: CasePage | None = None
        self._pixel_widget: list[type[Widget] | None] = []
        self._reader: Latest[CaseRequest, CasePage] = Latest(self, case_page, self._draw, self._cannot)

    def compose(self) -> ComposeResult:
        yield Static("Loading …", id="title")
        yield Static(id="why")
        with Horizontal():
            with Vertical(id="photo"):
                yield Tile("query")
                yield Static(id="facts")
            with Grid(id="candidates"):
                for _ in range(SHOWN):
                    yield CandidateTile()
        yield Static(id="candidate")
        yield Static(id="basis")
        yield Static(id="lead")
        yield KeyBar()

    def on_mount(self) -> None:
        self.call_after_refresh(self._ask)

    def _request(self) -> CaseRequest:
        shown = SHOWN_NARROW if self.has_class("-narrow") else SHOWN
        return CaseRequest(self._folder, self._photo, self._page, shown)

    def _ask(self) -> None:
        self._reader.ask(self._request())

    def _cannot(self, text: str) -> None:
        self._shown = None
        self.query_one("#title", Static).update(Content(text))

    def _draw(self, found: CasePage) -> None:
        self._shown, case = found, found.case
        photos = "1 photo" if len(case.photos) == 1 else f"{len(case.photos)} photos"
        title = f"{readable(case.name)}  {photos} of one unknown person, {case.people} people searched by {case.run}"
        self._say("#title", title)
        self.query_one("#why").display = bool(case.withheld)
        self._say("#why", f"No likelihood ratio: {'; '.join(case.withheld)}." if case.withheld else "")
        self._say("#basis", basis(case))
        self._say("#lead", lead(case))
        of = f"photo {found.photo_at + 1} of {len(case.photos)}"
        self.query_one("#photo Tile", Tile).show(found.photo, of, "query")
        changed = "" if found.photo.pixels is not None else "\nnot readable, or changed since the search"
        self._say("#facts", f"{found.photo.name}\n{case.aspect or 'aspect unknown'}{changed}")
        self._chosen = max(0, min(self._chosen, len(found.candidates) - 1))
        for n, tile in enumerate(self.query(CandidateTile)):
            if n < len(found.candidates):
                candidate, shot = found.candidates[n]
                text = f"{candidate.cosine:.3f}, {strength(case, candidate)}"
                tile.show(shot, f"{candidate.place} {shot.identity}", "query", text, n == self._chosen)
            else:
                tile.show(None, "", "none")

        self._say_chosen()

    def _say_chosen(self) -> None:
        if self._shown and self._shown.candidates:
            chosen = self._shown.candidates[self._chosen][0]
            text = f"{chosen.person}, cosine {chosen.cosine:.4f}, {strength(self._shown.case, chosen)}"
            self._say("#candidate", f"Candidate {chosen.place}: {text}.")

    def _say(self, where: str, text: str) -> None:
        self.query_one(where, Static).update(Content(readable(text)))

    # --- actions

    def action_close(self) -> None:
        self.dismiss(None)

    def action_photo(self, step: int) -> None:
        self._photo += step
        self._ask()

    def action_page(self, step: int) -> None:
        self._page += step
        self._chosen = 0
        self._ask()

    def action_choose(self, step: int) -> None:
        if self._shown:
            self._chosen = max(0, min(len(self._shown.candidates) - 1, self._chosen + step))
            for n, tile in enumerate(self.query(CandidateTile)):
                tile.set_class(n == self._chosen and not tile.has_class("none"), "chosen")
            self._say_chosen()

    def action_pair(self) -> None:
        if not self._shown or not self._shown.candidates:
            return
        request, at = self._request(), self._shown.before + self._chosen + 1
        if not self._pixel_widget:
            self._pixel_widget.append(pixel_widget(self.app))
        self.app.push_screen(PairView(lambda place: case_pair(request, place), at, self._pixel_widget[0]))

    @on(Tile.Opened)
    def _clicked(self, event: Tile.Opened) -> None:
        tiles = list(self.query(CandidateTile))
        if event.tile in tiles:
            self.action_choose(tiles.index(event.tile) - self._chosen)
            self.action_pair()
