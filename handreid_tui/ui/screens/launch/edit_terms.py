"""`e`: the weights, margins and other options of a combination."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Label

from engine.contract.combos import Combo
from engine.contract.errors import UserError
from engine.contract.terms import TERMS, Value
from handreid_tui.ui.dialogs import BOX

if TYPE_CHECKING:
    from engine.contract.config import RunConfig


class EditTerms(ModalScreen[Combo | None]):
    """A line for each weight and option. Returns the changed combination, or None.

    `config`: what the settings of the page come to for it. An option left as it is still follows the model's recipe.
    """

    BINDING_GROUP_TITLE = "Terms"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel"),
        Binding("down", "app.focus_next", "Next", show=False),
        Binding("up", "app.focus_previous", "Previous", show=False),
    ]
    DEFAULT_CSS = f"""
    EditTerms {{ {BOX}
        & Horizontal {{ height: 1; }}
        & .name {{ width: 24; height: 1; }}
        & Input {{ width: 1fr; background: $panel; }}
    }}
    """

    def __init__(self, name: str, combo: Combo, config: RunConfig | None = None) -> None:
        super().__init__()
        self._combo_name, self._combo = name, combo
        self._usual: dict[str, dict[str, Value]] = {
            term: TERMS[term].defaults | (config.loss.get(term, {}) if config else {}) for term in combo.weights
        }

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="box", can_focus=False) as box:
            box.border_title = Content(f"Terms of {self._combo_name}")
            for term, weight in self._combo.weights.items():
                options = self._usual[term] | {"weight": weight} | self._combo.options.get(term, {})
                for option, value in options.items():
                    with Horizontal():
                        yield Label(f"{TERMS[term].title} {option}", classes="name")
                        text = f"{value:g}" if isinstance(value, int | float) else value
                        yield Input(text, name=f"{term}.{option}", compact=True, select_on_focus=False)
            yield Label("", classes="reason", markup=False)
            yield Label(f"enter accepts, esc cancels{self._words()}", classes="hint")

    def _words(self) -> str:
        """Which options of these terms also take a word."""
        terms = {TERMS[term].title: TERMS[term].options for term in self._combo.weights}
        return "".join(
            f"; {title} {name} may be {' or '.join(option.words)}"
            for title, options in terms.items()
            for name, option in options.items()
            if option.words
        )

    def on_input_changed(self) -> None:
        self.query_one(".reason", Label).update(self._read()[1])

    def on_input_submitted(self) -> None:
        combo, reason = self._read()
        if not reason:
            self.dismiss(combo)

    def _read(self) -> tuple[Combo, str]:
        """The combination as typed, and why it is wrong."""
        weights: dict[str, float] = {}
        options: dict[str, dict[str, Value]] = {}
        for line in self.query(Input):
            term, _, option = (line.name or "").partition(".")
            try:
                value: Value = float(line.value)
            except ValueError:
                value = line.value.strip()
            if option == "weight":
                if isinstance(value, str):
                    return self._combo, f"The weight of {TERMS[term].title} is {value!r}, not a number."
                weights[term] = value
            elif option in self._combo.options.get(term, {}) or value != self._usual[term][option]:
                options.setdefault(term, {})[option] = value
        combo = replace(self._combo, weights=weights, options=options)
        from engine.contract.config import resolve

        try:
            resolve(self._combo_name, 0, {self._combo_name: combo})
        except UserError as error:
            return combo, str(error)
        return combo, ""

    def action_cancel(self) -> None:
        self.dismiss(None)
