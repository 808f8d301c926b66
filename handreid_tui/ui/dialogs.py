"""Small questions: yes or no, and one line of text."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label

from engine.contract.errors import UserError

BOX = """
    align: center middle;
    background: $background 60%;
    & > #box {
        width: 64; max-width: 96%; height: auto; max-height: 96%; padding: 1 2; background: $surface;
        border: round $border; border-title-style: bold; border-title-color: $foreground;
    }
    & #buttons { height: auto; margin-top: 1; align-horizontal: right; }
    & Button { margin-left: 2; min-width: 12; }
    & Label { width: 100%; height: auto; }
    & .reason { color: $error; }
    & .hint { color: $secondary; }
"""


class Confirm(ModalScreen[bool]):
    """Asks first; enter alone cancels. `yes` names what will be done."""

    BINDING_GROUP_TITLE = "Question"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape", "answer(False)", "No"),
        Binding("left,h", "app.focus_previous", "Other button", show=False),
        Binding("right,l", "app.focus_next", "Other button", show=False),
    ]
    DEFAULT_CSS = f"Confirm {{ {BOX} }}"

    def __init__(self, title: str, question: str, yes: str) -> None:
        super().__init__()
        self._title, self._question, self._yes = title, question, yes

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content(self._title)
            yield Label(self._question, markup=False)
            with Horizontal(id="buttons"):
                yield Button(f"{self._yes} (y)", id="yes", variant="primary", flat=True)
                yield Button("Cancel (esc)", id="no", flat=True)

    def on_mount(self) -> None:
        self.query_one("#no").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)


class Prompt(ModalScreen[str | None]):
    """Asks for one line. `check` may raise UserError: the reason is shown and the line stays open."""

    BINDING_GROUP_TITLE = "Question"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel")]
    DEFAULT_CSS = f"Prompt {{ {BOX} }}"

    def __init__(
        self, title: str, value: str = "", hint: str = "", check: Callable[[str], object] | None = None
    ) -> None:
        super().__init__()
        self._title, self._value, self._hint, self._check = title, value, hint, check

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content(self._title)
            yield Input(self._value, compact=True, select_on_focus=False)
            yield Label("", classes="reason", markup=False)
            yield Label(self._hint or "enter accepts, esc cancels", classes="hint", markup=False)

    def on_input_changed(self, event: Input.Changed) -> None:
        self.query_one(".reason", Label).update(self._reason(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if not self._reason(event.value):
            self.dismiss(event.value)

    def _reason(self, value: str) -> str:
        try:
            if self._check:
                self._check(value)
        except UserError as error:
            return str(error)
        return ""

    def action_cancel(self) -> None:
        self.dismiss(None)
