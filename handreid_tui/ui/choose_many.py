"""A dialog to choose several of many names, with a word to find them by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Label, SelectionList
from textual.widgets.selection_list import Selection

from handreid_tui.ui.dialogs import BOX


class ChooseMany(ModalScreen[list[str] | None]):
    """Space chooses, enter accepts. Returns the names in the order they were chosen, or None."""

    BINDING_GROUP_TITLE = "Choice"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "accept", "Accept", priority=True),
        Binding("escape", "cancel", "Cancel"),
        Binding("slash", "find", "Find", show=False),
        Binding("ctrl+d", "usual", "Defaults", tooltip="Select the default ones"),
    ]
    DEFAULT_CSS = f"""
    ChooseMany {{ {BOX}
        & SelectionList {{ height: auto; max-height: 24; background: $surface; border: none; padding: 0; }}
    }}
    ChooseMany.-short SelectionList {{ max-height: 12; }}
    """

    def __init__(self, title: str, names: Mapping[str, str], chosen: Sequence[str], usual: Sequence[str]) -> None:
        """names: what to choose, each with a word on it. usual: what ctrl+d chooses."""
        super().__init__()
        self._title, self._names, self._usual = title, names, usual
        self._chosen = [name for name in chosen if name in names]

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content(self._title)
            yield Input(placeholder="find", compact=True)
            yield SelectionList[str](compact=True)
            yield Label("space chooses, / finds, ctrl+d default ones, enter accepts, esc cancels", classes="hint")

    def on_mount(self) -> None:
        self._fill("")
        self.query_one(SelectionList).focus()

    def _fill(self, word: str) -> None:
        found = [name for name in self._names if word.lower() in f"{name} {self._names[name]}".lower()]
        first = [name for name in self._chosen if name in found]
        choice = self.query_one(SelectionList)
        with self.prevent(SelectionList.SelectedChanged):
            choice.clear_options()
            rest = (name for name in found if name not in first)
            choice.add_options(
                Selection(f"{name}  {self._names[name]}", name, name in self._chosen) for name in (*first, *rest)
            )
            if choice.option_count:
                choice.highlighted = 0

    def on_input_changed(self, event: Input.Changed) -> None:
        self._fill(event.value)

    def on_selection_list_selection_toggled(self, event: SelectionList.SelectionToggled[str]) -> None:
        name = event.selection.value
        if name in self._chosen:
            self._chosen.remove(name)
        else:
            self._chosen.append(name)

    def action_find(self) -> None:
        self.query_one(Input).focus()

    def action_usual(self) -> None:
        self._chosen = list(self._usual)
        self._fill(self.query_one(Input).value)

    def action_accept(self) -> None:
        if self.query_one(Input).has_focus:
            self.query_one(SelectionList).focus()
        else:
            self.dismiss(list(self._chosen))

    def action_cancel(self) -> None:
        self.dismiss(None)
