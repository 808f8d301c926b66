"""Whether the terminal draws real pixels, by kitty's protocol or sixel, through textual-image (extra `pictures`)."""

from __future__ import annotations

import importlib
import os
from importlib.util import find_spec
from typing import Any

from textual.app import App, SuspendNotSupported
from textual.widget import Widget

# A multiplexer passes neither protocol on as it is; a browser draws characters.
WITHOUT = ("TMUX", "STY", "TEXTUAL_DRIVER")


def pixel_widget(app: App[Any]) -> type[Widget] | None:
    """The widget of textual-image for this terminal; None where characters must do.

    textual-image asks the terminal when it is imported, so the app is suspended for that moment: its answer would
    otherwise be read as keys. To be called once, in the event loop.
    """
    term = os.environ.get("TERM", "")
    if app.no_color or any(map(os.environ.get, WITHOUT)) or term.startswith(("tmux", "screen")):
        return None
    if find_spec("textual_image") is None:
        return None
    try:
        with app.suspend():
            module = importlib.import_module("textual_image.widget")
    except SuspendNotSupported:
        return None
    found: type[Widget] = module.Image
    kinds = ("textual_image.renderable.tgp", "textual_image.widget.sixel")
    return found if found.__module__ == kinds[1] or _renderable(found).__module__ == kinds[0] else None


def _renderable(widget: type[Widget]) -> type[Any]:
    """What a widget of textual-image draws with."""
    kind: type[Any] = getattr(widget, "_Renderable", object)
    return kind
