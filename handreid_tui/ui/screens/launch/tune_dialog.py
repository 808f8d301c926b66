"""`t`: a sweep over the chosen combinations, with the settings of the page, as `handreid tune` makes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Button, Input, Label

from engine.data.wording import count
from handreid_tui.ui.background import Latest
from handreid_tui.ui.dialogs import BOX
from handreid_tui.ui.picker import Picker
from handreid_tui.ui.screens.launch.request import LaunchRequest
from handreid_tui.ui.screens.launch.tune_request import (
    NUMBERS,
    PlannedSweep,
    TuneRequest,
    no_bayes,
    prepare,
    start,
)

if TYPE_CHECKING:
    from handreid_tui.history import RunRow

FIELDS = {  # by name, what it is; those of CHOICES follow `over`
    "trials": "per combination, including the recipe",
    "budget": "a time such as 8h, instead of Trials",
    "epochs": "of each training",
    "over": "empty: rates and options of the terms",
    "shortlist": "trials per combination, trained on the other folds",
    "confirm": "seeds of the selected trial, by the published protocol",
}
CHOICES = {  # by name, its values with their words
    "method": {"quasi": "quasi-random", "bayes": "bayes"},
    "prune": {"off": "off", "on": "stop trials below the median"},
    "folds": {"1": "1", "4": "4, all held-out people"},
}
AFTER = 0.4  # seconds without a key


class TuneDialog(ModalScreen[int | None]):
    """Asks for the size of the search, says what it comes to, and starts it. Returns the sweep's number."""

    BINDING_GROUP_TITLE = "Tune"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel"),
        Binding("enter", "go", "Check or start", show=False),
        Binding("down", "app.focus_next", "Next", show=False),
        Binding("up", "app.focus_previous", "Previous", show=False),
    ]
    DEFAULT_CSS = f"""
    TuneDialog {{ {BOX}
        & #box {{ width: 72; }}
        & .field {{ height: auto; }}
        & .field Label {{ width: 11; }}
        & .field Input {{ width: 1fr; background: $panel; }}
        & #summary {{ margin-top: 1; text-style: bold; }}
        & #buttons {{ margin-top: 0; }}
    }}
    TuneDialog.-short #box {{ padding: 0 2; }}
    """

    def __init__(self, order: LaunchRequest, runs: Path, known: Sequence[RunRow]) -> None:
        """runs: their folder. known: those that the time is reckoned from."""
        super().__init__()
        self._order, self._runs, self._known = order, runs, known
        self._planned: PlannedSweep | None = None
        self._later: Timer | None = None
        self._prepare: Latest[TuneRequest, PlannedSweep] = Latest(self, prepare, self._tell, self._wrong)
        self._start: Latest[PlannedSweep, int] = Latest(self, start, self.dismiss, self._wrong)

    def compose(self) -> ComposeResult:
        combos = count(len(self._order.combos), "combination")
        with VerticalScroll(id="box", can_focus=False) as box:
            box.border_title = f"Tune {combos}"
            for name in FIELDS:
                yield from self._line(name, self._input(name))
                if name == "over":
                    for choice in CHOICES:
                        yield from self._line(choice, self._choice(choice))
            yield Label("", id="summary", markup=False)
            yield Label("", classes="reason", markup=False)
            with Horizontal(id="buttons"):
                yield Button("Check (enter)", id="go", variant="primary", flat=True)
                yield Button("Cancel (esc)", id="no", flat=True)

    def _line(self, name: str, widget: Widget) -> ComposeResult:
        with Horizontal(classes="field"):
            yield Label(name.capitalize())
            yield widget

    def _input(self, name: str) -> Input:
        hint = f"{FIELDS[name]}: {self._order.first_config().train.epochs}" if name == "epochs" else FIELDS[name]
        return Input(NUMBERS.get(name, ""), placeholder=hint, name=name, compact=True, select_on_focus=False)

    def _choice(self, name: str) -> Picker:
        off = {}
        if name == "method" and (reason := no_bayes(self._order)):
            off = {"bayes": reason}
        elif name == "prune" and self._order.slurm:
            off = {"on": "not on Slurm"}
        return Picker(name, CHOICES[name], off)

    def on_mount(self) -> None:
        self._prepare.ask(self._request)

    @property
    def _request(self) -> TuneRequest:
        texts = {field.name or "": field.value for field in self.query(Input)}
        choices = {choice.name or "": choice.value for choice in self.query(Picker)}
        return TuneRequest(self._order, texts, choices, self._runs, self._known)

    @on(Input.Changed)
    @on(Picker.Changed)
    def _changed(self) -> None:
        """Planned anew when no key came for a moment."""
        self._planned = None
        self.query_one("#go", Button).label = "Check (enter)"
        self._say("", "")
        if self._later:
            self._later.stop()
        self._later = self.set_timer(AFTER, lambda: self._prepare.ask(self._request))

    @on(Input.Submitted)
    @on(Button.Pressed, "#go")
    def action_go(self) -> None:
        """Start what was announced; what was not yet is checked first."""
        button = self.query_one("#go", Button)
        if button.loading:
            return
        if self._planned is None:
            self._prepare.ask(self._request)
        else:
            button.loading = True
            self._start.ask(self._planned)

    def _tell(self, planned: PlannedSweep) -> None:
        if planned.asked == self._request:  # not what was typed before
            self._planned = planned
            self._say(planned.told, "")
            self.query_one("#go", Button).label = "Start (enter)"

    def _wrong(self, text: str) -> None:
        self._planned = None
        self.query_one("#go", Button).label = "Check (enter)"
        self._say("", text)

    def _say(self, told: str, wrong: str) -> None:
        self.query_one("#go", Button).loading = False
        self.query_one("#summary", Label).update(told)
        self.query_one(".reason", Label).update(wrong)

    @on(Button.Pressed, "#no")
    def action_cancel(self) -> None:
        self.dismiss(None)
