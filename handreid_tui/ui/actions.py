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
    """The actions that work on `screen`: its own, those of its widgets, those of the app."""
    nodes: list[DOMNode] = [screen]
    for widget in screen.walk_children():
        own = type(widget).__module__.startswith("handreid_tui")
        seen = any(type(widget) is type(node) for node in nodes)
        if own and widget.display and not seen and type(widget).BINDINGS:
            nodes.append(widget)
    nodes.append(screen.app)
    found = []
    for node in nodes:
        bindings = tuple(binding for binding in _own_bindings(node) if not binding.system and binding.description)
        if bindings:
            found.append(Group(node.BINDING_GROUP_TITLE or type(node).__name__, node, bindings))
    return found


def _own_bindings(node: DOMNode) -> Iterable[Binding]:
    """The bindings that the classes of handreid give a node: one for each action, all its keys in it."""
    for kind in type(node).__mro__:
        if kind.__module__.startswith("handreid_tui"):
            for binding in kind.__dict__.get("BINDINGS", ()):
                yield binding if isinstance(binding, Binding) else Binding(*binding)


def keys_of(app: App[Any], binding: Binding) -> str:
    """The keys of a binding as a user reads them: `←, h`."""
    if binding.key_display:
        return binding.key_display
    keys = [app.get_key_display(Binding(key.strip(), "", "")) for key in binding.key.split(",")]
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
