"""One table of actions: the bindings of the screen, its widgets and the app. Keys, footer, help and palette read it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.dom import DOMNode
from textual.screen import Screen

PAGES = {
    "launch": ("Launch", "choose combinations and start runs"),
    "live": ("Live", "watch runs"),
    "runs": ("Runs", "every run: sort, filter, tag, open"),
    "compare": ("Compare", "combinations or runs side by side"),
    "retrieval": ("Retrieval", "queries with their ranked gallery, as pictures"),
}


@dataclass(frozen=True)
class Group:
    """The actions of one place, with the node that runs them."""

    title: str
    node: DOMNode
    bindings: tuple[Binding, ...]


def groups(screen: Screen[Any]) -> list[Group]:
    """The actions that work on `screen`: its own, its widgets', the app's; those of a class once."""
    nodes: list[DOMNode] = [screen]
    for widget in screen.walk_children():
        if type(widget).__module__.startswith("handreid_tui") and widget.display:
            nodes.append(widget)
    nodes.append(screen.app)
    found: list[Group] = []
    seen: set[type] = set()
    for node in nodes:
        for kind in type(node).__mro__:
            if kind in seen or not kind.__module__.startswith("handreid_tui"):
                continue
            seen.add(kind)
            own = kind.__dict__.get("BINDINGS", ())
            bindings = tuple(each for each in own if isinstance(each, Binding) and each.description)
            if bindings:
                found.append(Group(kind.__dict__.get("BINDING_GROUP_TITLE") or kind.__name__, node, bindings))
    return found


def keys_of(app: App[Any], binding: Binding) -> str:
    """The keys of a binding as a user reads them: `←, h`; those of the user's keymap where it has some."""
    own: str | None = getattr(app, "keymap", {}).get(binding.id)
    if binding.key_display and own is None:
        return binding.key_display
    keys = [app.get_key_display(Binding(key.strip(), "", "")) for key in (own or binding.key).split(",")]
    return ", ".join(dict.fromkeys(keys))


def commands(app: App[Any], screen: Screen[Any]) -> Iterable[SystemCommand]:
    """Every action for the command palette."""
    for number, (page, (title, does)) in enumerate(PAGES.items(), 1):
        yield SystemCommand(f"Go to {title}", f"{number}: {does}", partial(app.run_action, f"app.go('{page}')"))
    for group in groups(screen):
        for binding in group.bindings:
            if not binding.action.startswith("go("):
                run = partial(app.run_action, binding.action, default_namespace=group.node)
                name = binding.tooltip or binding.description
                yield SystemCommand(name, f"{group.title}: {keys_of(app, binding)}", run)
