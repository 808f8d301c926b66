"""`t`: a sweep over the chosen combinations, with the settings of the page, as `handreid tune` makes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label

from engine.contract.errors import UserError
from engine.data.wording import count
from handreid_tui.ui.background import Latest
from handreid_tui.ui.dialogs import BOX
from handreid_tui.ui.screens.launch.request import Order

if TYPE_CHECKING:
    from handreid_tui.sweeps.plan_file import SweepPlan

FIELDS = {
    "trials": ("Trials", "24", "per combination, including the recipe"),
    "over": ("Over", "", "empty: learning rates and options of the terms; or train.lr=1e-6..1e-4:log"),
    "shortlist": ("Shortlist", "3", "trials per combination, trained on the other folds"),
    "confirm": ("Confirm", "3", "seeds of the selected trial, by the published protocol"),
}


@dataclass(frozen=True)
class TuneRequest:
    """What the dialog holds: an order without seeds and grid, and the texts of its fields."""

    order: Order
    texts: dict[str, str]
    runs: Path


def prepare(asked: TuneRequest) -> SweepPlan:
    """The plan of the sweep, every point checked. Raises UserError, with nothing made."""
    from handreid_tui.sweeps import actions
    from handreid_tui.sweeps.space import read_over

    order = asked.order
    numbers = {}
    for name in ("trials", "shortlist", "confirm"):
        text = asked.texts[name].strip() or FIELDS[name][1]
        if not text.isdecimal():
            raise UserError(f"{FIELDS[name][0]} is a whole number, but got {text!r}.")
        numbers[name] = int(text)
    over = read_over(asked.texts["over"].split())
    launch = {"gpus": 1.0, "priority": 0, "parallel": 1}
    request = actions.SweepRequest(
        order.combos,
        order.settings,
        order.own,
        over,
        trials=numbers["trials"],
        shortlist=numbers["shortlist"],
        confirm=numbers["confirm"],
        launch=launch,
        slurm=order.slurm,
        tags=tuple(order.tags),
    )
    return actions.prepare(request, asked.runs, lambda text: None)[0]


def start(made: SweepPlan, runs: Path) -> int:
    """Queue the first trials. Returns the sweep's number. Raises UserError with nothing left of it."""
    from handreid_tui.sweeps import actions

    return actions.start(made, runs).number


class TuneDialog(ModalScreen[int | None]):
    """Asks for the size of the search, says what it comes to, and starts it. Returns the sweep's number."""

    BINDING_GROUP_TITLE = "Tune"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel")]
    DEFAULT_CSS = f"""
    TuneDialog {{ {BOX}
        & .field {{ height: 1; }}
        & .field Label {{ width: 11; }}
        & .field Input {{ width: 1fr; background: $panel; }}
    }}
    """

    def __init__(self, order: Order, runs: Path) -> None:
        super().__init__()
        self._order, self._runs = order, runs
        self._plan: SweepPlan | None = None
        self._prepare: Latest[TuneRequest, SweepPlan] = Latest(self, prepare, self._planned, self._wrong)
        self._start: Latest[SweepPlan, int] = Latest(self, lambda made: start(made, runs), self.dismiss, self._wrong)

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = f"Tune {count(len(self._order.combos), 'combination')}"
            for name, (label, usual, hint) in FIELDS.items():
                with Horizontal(classes="field"):
                    yield Label(label)
                    yield Input(usual, placeholder=hint, name=name, compact=True, select_on_focus=False)
            yield Label("", id="summary", markup=False)
            yield Label("", classes="reason", markup=False)
            with Horizontal(id="buttons"):
                yield Button("Check (enter)", id="go", variant="primary", flat=True)
                yield Button("Cancel (esc)", id="no", flat=True)

    @property
    def _request(self) -> TuneRequest:
        return TuneRequest(self._order, {field.name or "": field.value for field in self.query(Input)}, self._runs)

    def on_input_changed(self) -> None:
        self._plan = None
        self.query_one("#go", Button).label = "Check (enter)"
        self._say("", "")

    @on(Input.Submitted)
    @on(Button.Pressed, "#go")
    def _go(self) -> None:
        """First check and say what it comes to, then start it."""
        button = self.query_one("#go", Button)
        if button.loading:
            return
        button.loading = True
        if self._plan is None:
            self._prepare.ask(self._request)
        else:
            self._start.ask(self._plan)

    def _planned(self, made: SweepPlan) -> None:
        self._plan = made
        spaces = sorted({len(space) for space in made.spaces.values()})
        over = count(spaces[-1], "setting") if len(spaces) == 1 else f"{spaces[0]} to {spaces[-1]} settings"
        self._say(f"{made.trials} trials each over {over}, up to {count(made.trainings, 'training')} in all.", "")
        self.query_one("#go", Button).label = "Start (enter)"

    def _wrong(self, text: str) -> None:
        self._say("", text)

    def _say(self, summary: str, wrong: str) -> None:
        button = self.query_one("#go", Button)
        button.loading = False
        self.query_one("#summary", Label).update(summary)
        self.query_one(".reason", Label).update(wrong)

    @on(Button.Pressed, "#no")
    def action_cancel(self) -> None:
        self.dismiss(None)


def why_not(order: Order) -> str:
    """Why this order cannot be tuned, "" if it can."""
    if order.grid:
        return "A search varies settings itself: leave one value in each field, and enter ranges in the dialog."
    return ""
